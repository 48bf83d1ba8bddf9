"""Formatting of times, durations, counts and names for the pages, safe to show.

Names of files are bytes: control characters, marks that turn the direction of text, and bytes that
are no UTF-8 are escaped here; markup is escaped by the templates.
"""

from __future__ import annotations

import os
import time
from typing import Any

from sharpend.files.fingerprint import display
from sharpend.ledger.records import State
from sharpend.logs.plain import printable

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))
NONE = "\N{EN DASH}"


_STATES = {
    State.PENDING: "waits",
    State.RUNNING: "in progress",
    State.STAGED: "in progress",
    State.DONE: "finished",
    State.DISPOSED: "finished",
    State.DEFERRED: "waits for another attempt",
    State.QUARANTINED: "in quarantine",
    State.VANISHED: "gone before it was done",
}


def state(one: State) -> str:
    """Format the state of a job for people."""
    return _STATES[one]


_HEALTHS = {
    "ok": "All is well",
    "degraded": "Works, with a fault",
    "fail": "Does not work",
    "starting": "Starts",
    "not running": "Not running",
}


def health(word: str) -> str:
    """Format the health of a daemon for people."""
    return _HEALTHS[word]


def name(path: bytes | str) -> str:
    """Format a path or a text that others have written."""
    return printable(display(path) if isinstance(path, bytes) else path)


def base(path: bytes | str) -> str:
    """Format the last part of a path."""
    return name(os.path.basename(path))


def clock(at_s: float | None) -> str:
    """Format a wall-clock time in the local time zone."""
    if at_s is None:
        return NONE
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def zone() -> str:
    """Format the time zone of `clock`, with its offset if the name does not show it."""
    short, distance = time.strftime("%Z"), time.strftime("%z")
    return short if short == "UTC" else f"{short} (UTC{distance})"


def stamp(at_s: float) -> str:
    """Format a wall-clock time for the attribute `datetime`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def duration(seconds: float | None) -> str:
    """Format a duration with its two largest units: `3 d 4 h`, `12 s`."""
    if seconds is None:
        return NONE
    if seconds < 10:  # noqa: PLR2004 - tenths matter only below
        return f"{seconds:.1f} s"
    remaining, parts = int(seconds), []
    for size, unit in _STEPS:
        if remaining >= size:
            parts.append(f"{remaining // size} {unit}")
            remaining %= size
    if remaining and len(parts) < 2:  # noqa: PLR2004 - two units
        parts.append(f"{remaining} s")
    return " ".join(parts[:2])


def count(number: float) -> str:
    """Format a whole number with groups of three digits."""
    return f"{number:,.0f}".replace(",", "\u202f")


def figure(number: float | None, digits: int = 3) -> str:
    """Format a measured number."""
    return NONE if number is None else f"{number:.{digits}f}"


def fact(value: Any) -> str:  # noqa: ANN401 - as JSON has it
    """Format a value of a log line or a setting."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "; ".join(fact(one) for one in value) or NONE
    if isinstance(value, dict):
        return ", ".join(f"{name(str(key))}: {fact(one)}" for key, one in value.items()) or NONE
    return name(str(value))
