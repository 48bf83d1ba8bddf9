"""Bodies that pass through the driver: requests to an actor and its answers, as bounded JSON."""

from __future__ import annotations

from typing import Any

from sharpend.attempt import Died, Failed, Staged
from sharpend.workers import messages
from sharpend.workers.cluster.requests import (
    ActorRequest,
    CheckFolders,
    FoldersChecked,
    LoadModel,
    NodeUnfit,
    Root,
    RunTask,
)
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
from sharpend.workers.loading import LoadedModel
from sharpend.workers.messages import Unavailable

MOST_ROOTS = 10_000
"""Folders of all tasks; a task has two."""
_TEXT = text(messages.MESSAGE_CHARACTERS)
_NAME = text(messages.NAME_CHARACTERS)
_FAR_S = 1e11
"""Beyond any clock."""
_JOB_ID = whole(0, (1 << 63) - 1)

ActorAnswer = Staged | Failed | Died | LoadedModel | Unavailable | FoldersChecked | NodeUnfit

_PATH, _FILE = octets(messages.REQUEST_BYTES), octets(messages.NAME_CHARACTERS)
_ROOT = record(Root, path=_PATH, inode=whole(0, (1 << 64) - 1))
_ROOTS = items(_ROOT, MOST_ROOTS)
_REQUEST: Kind[ActorRequest] = tagged(
    {
        "load_model": (
            LoadModel,
            record(
                LoadModel,
                options=messages.WORKER_OPTIONS,
                program=_NAME,
                model=messages.PATH_TEXT,
                teacher=flag(),
            ),
        ),
        "check_folders": (
            CheckFolders,
            record(CheckFolders, roots=_ROOTS, proof=_FILE, writes=items(_PATH, MOST_ROOTS)),
        ),
        "run_task": (RunTask, record(RunTask, task=messages.REQUESTS["task"][1], roots=_ROOTS)),
    }
)
_DIED = record(Died, job_id=_JOB_ID, cause=_TEXT, setting=optional(_NAME), node=messages.NOT_NAMED)
_ANSWERS: dict[str, tuple[type, Kind[Any]]] = {
    **{tag: messages.ANSWERS[tag] for tag in ("staged", "failed", "loaded_model", "unavailable")},
    "died": (Died, _DIED),
    "folders_checked": (FoldersChecked, record(FoldersChecked, clock_s=real(0.0, _FAR_S))),
    "node_unfit": (NodeUnfit, record(NodeUnfit, message=_TEXT)),
}
_ANSWER: Kind[ActorAnswer] = tagged(_ANSWERS)


def request(body: bytes) -> ActorRequest:
    """Parse a request to an actor; MessageError if it is not valid."""
    return _REQUEST.read(loads(body))


def answer(body: bytes) -> ActorAnswer:
    """Parse an answer of an actor; MessageError if it is not valid."""
    return _ANSWER.read(loads(body))


def of_request(asked: ActorRequest) -> bytes:
    """Encode a request to an actor."""
    return dumps(_REQUEST.write(asked))


def of_answer(answered: ActorAnswer) -> bytes:
    """Encode an answer of an actor."""
    return dumps(_ANSWER.write(answered))
