"""Commands to the driver and its notices: the frames on the pipes between it and the daemon.

Owns the list of all fields on these pipes, with their bounds. A body is a request to an actor or
its answer (`bodies`), which the driver does not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpend.workers.jsoncodec import (
    Kind,
    dumps,
    flag,
    loads,
    octets,
    real,
    record,
    tagged,
    text,
    whole,
)

FRAME_BYTES = 40 * 1024 * 1024
"""Longest frame: a body of the longest paths, whose quotation marks are escaped."""
BODY_BYTES = 16 * 1024 * 1024
TEXT_CHARACTERS = 2000
NAME_CHARACTERS = 200
_NUMBER = whole(0, (1 << 63) - 1)
_TEXT = text(TEXT_CHARACTERS)
_NAME = text(NAME_CHARACTERS)
_BODY = octets(BODY_BYTES)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Start options of the driver."""

    address: str
    """HOST:PORT of the head, or auto for the cluster of this machine."""
    cpus: float
    """Of each actor, as Ray counts them."""
    gpus: float


@dataclass(frozen=True, slots=True)
class StartActor:
    """Command: start an actor on a node that has room for it."""

    actor: int


@dataclass(frozen=True, slots=True)
class AskActor:
    """Command: pass a request to an actor."""

    actor: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StopActor:
    """Command: end an actor, whatever it does."""

    actor: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Notice: the driver is connected."""

    ray: str
    """Version of Ray here."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Notice: the driver cannot connect, and ends."""

    message: str
    is_setting: bool
    """Trying again cannot help before something is changed."""


@dataclass(frozen=True, slots=True)
class FreeSlots:
    """Notice: the number of actors that the cluster's nodes have room for."""

    actors: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Notice: an actor runs on a node; the versions are those that it reports."""

    actor: int
    node: str
    """Name and address."""
    sharpend: str
    """Version, as the next two."""
    python: str
    ray: str
    niceness: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Notice: the answer of an actor to its last request."""

    actor: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """Notice: an actor, or its node, has ended or cannot be reached; it is killed."""

    actor: int
    cause: str


Command = StartActor | AskActor | StopActor
Notice = Joined | Refused | FreeSlots | Placed | Answered | Gone

CLUSTER = record(Cluster, address=_TEXT, cpus=real(0, 1e6), gpus=real(0, 1e6))
"""Start options on the driver's command line."""
_COMMAND: Kind[Command] = tagged(
    {
        "start": (StartActor, record(StartActor, actor=_NUMBER)),
        "ask": (AskActor, record(AskActor, actor=_NUMBER, body=_BODY)),
        "stop": (StopActor, record(StopActor, actor=_NUMBER)),
    }
)
_NOTICE: Kind[Notice] = tagged(
    {
        "joined": (Joined, record(Joined, ray=_NAME)),
        "refused": (Refused, record(Refused, message=_TEXT, is_setting=flag())),
        "free_slots": (FreeSlots, record(FreeSlots, actors=_NUMBER)),
        "placed": (
            Placed,
            record(
                Placed,
                actor=_NUMBER,
                node=_NAME,
                sharpend=_NAME,
                python=_NAME,
                ray=_NAME,
                niceness=whole(-100, 100),
            ),
        ),
        "answered": (Answered, record(Answered, actor=_NUMBER, body=_BODY)),
        "gone": (Gone, record(Gone, actor=_NUMBER, cause=_TEXT)),
    }
)


def command(body: bytes) -> Command:
    """Parse a command of the daemon; MessageError if it is not valid."""
    return _COMMAND.read(loads(body))


def notice(body: bytes) -> Notice:
    """Parse a notice of the driver; MessageError if it is not valid."""
    return _NOTICE.read(loads(body))


def encode(frame: Command | Notice) -> bytes:
    """Encode a frame's body."""
    kind: Kind[Any] = _COMMAND if isinstance(frame, StartActor | AskActor | StopActor) else _NOTICE
    return dumps(kind.write(frame))
