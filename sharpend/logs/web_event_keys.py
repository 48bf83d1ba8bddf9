"""The reference of the log for the status page, which is a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.logs.events import ERROR, INFO, WARNING, Described, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHO = {
    "who": "text: name of the token, or `local` where none is asked for",
    "caller": "text: IP address, of IPv6 its network; `unix` for the unix socket",
}
_ACTION = {"action": "text: `retry`, `pause`, `resume` or `enter`"}

OF_WEB: Mapping[Event, Described] = {
    Event.WEB_READY: Described(
        INFO,
        "the status page answers",
        {
            "address": "text: where a browser finds it",
            "state": "text: the state directory that it shows",
            "asks_for_token": "boolean: true where visitors need a token",
        },
    ),
    Event.ACTION_TAKEN: Described(
        INFO,
        "somebody did something on the status page",
        {
            **_ACTION,
            "folder": "text: name of the folder, empty for all",
            "path": "text or null: the input, below the input folder",
            **_WHO,
        },
    ),
    Event.ACTION_FAILED: Described(
        WARNING,
        "somebody tried to do something on the status page",
        {**_ACTION, "message": "text: what went wrong, in words", **_WHO},
    ),
    Event.REQUEST_REFUSED: Described(
        WARNING,
        "a request to the status page was refused before any page was asked",
        {
            "cause": "text: why, in words",
            "caller": _WHO["caller"],
            "address": "text: path of the request",
        },
    ),
    Event.REQUEST_FAILED: Described(
        ERROR,
        "a request to the status page met a fault of the page itself",
        {
            "cause": "text: class and words of the error",
            "caller": _WHO["caller"],
            "address": "text: path of the request",
        },
    ),
}
