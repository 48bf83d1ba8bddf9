"""Bodies that pass through the ferry: requests to a hand and its answers, as bounded JSON."""

from __future__ import annotations

from typing import Any

from sharpend.task import Died, Failed, Staged
from sharpend.workers import messages
from sharpend.workers.cluster.requests import Begin, Elsewhere, HandRequest, Look, Root, Seen, Work
from sharpend.workers.jsoncodec import (
    Kind,
    dumps,
    flag,
    items,
    loads,
    octets,
    optional,
    real,
    record,
    tagged,
    text,
    whole,
)
from sharpend.workers.messages import Unavailable
from sharpend.workers.worker import Engine

MOST_ROOTS = 10_000
"""Folders of all tasks; a task has two."""
_TEXT = text(messages.MESSAGE_CHARACTERS)
_NAME = text(messages.NAME_CHARACTERS)
_FAR_S = 1e11
"""Beyond any clock."""
_JOB_ID = whole(0, (1 << 63) - 1)

HandAnswer = Staged | Failed | Died | Engine | Unavailable | Seen | Elsewhere

_PATH, _FILE = octets(messages.REQUEST_BYTES), octets(messages.NAME_CHARACTERS)
_ROOT = record(Root, path=_PATH, inode=whole(0, (1 << 64) - 1))
_ROOTS = items(_ROOT, MOST_ROOTS)
_REQUEST: Kind[HandRequest] = tagged(
    {
        "begin": (
            Begin,
            record(
                Begin,
                options=messages.WORKER_OPTIONS,
                program=_NAME,
                model=messages.PATH_TEXT,
                teacher=flag(),
            ),
        ),
        "look": (Look, record(Look, roots=_ROOTS, proof=_FILE, writes=items(_PATH, MOST_ROOTS))),
        "work": (Work, record(Work, task=messages.REQUESTS["task"][1], roots=_ROOTS)),
    }
)
_DIED = record(Died, job_id=_JOB_ID, cause=_TEXT, setting=optional(_NAME))
_ANSWERS: dict[str, tuple[type, Kind[Any]]] = {
    **{tag: messages.ANSWERS[tag] for tag in ("staged", "failed", "engine", "unavailable")},
    "died": (Died, _DIED),
    "seen": (Seen, record(Seen, clock_s=real(0.0, _FAR_S))),
    "elsewhere": (Elsewhere, record(Elsewhere, message=_TEXT)),
}
_ANSWER: Kind[HandAnswer] = tagged(_ANSWERS)


def request(body: bytes) -> HandRequest:
    """Parse a request to a hand; MessageError if it is not valid."""
    return _REQUEST.read(loads(body))


def answer(body: bytes) -> HandAnswer:
    """Parse an answer of a hand; MessageError if it is not valid."""
    return _ANSWER.read(loads(body))


def of_request(asked: HandRequest) -> bytes:
    """Encode a request to a hand."""
    return dumps(_REQUEST.write(asked))


def of_answer(answered: HandAnswer) -> bytes:
    """Encode an answer of a hand."""
    return dumps(_ANSWER.write(answered))
