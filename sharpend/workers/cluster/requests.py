"""Requests to a hand, and the answers that only a hand gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.task import Task
    from sharpend.workers.worker import WorkerOptions


@dataclass(frozen=True, slots=True)
class Root:
    """Folder of a task, with the inode number by which each node must know it."""

    path: bytes
    inode: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Request to a hand: start its worker, load a model and try it."""

    options: WorkerOptions
    program: str
    """Module that a worker process runs."""
    model: str
    teacher: bool
    """Load its teacher, too."""


@dataclass(frozen=True, slots=True)
class Work:
    """Request to a hand: do a task, if the node sees the same folders."""

    task: Task
    roots: tuple[Root, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Request to a hand: compare these folders with those of its node."""

    roots: tuple[Root, ...]
    proof: bytes = b""
    """Name of an empty file to make, durably, in each of `writes`; the daemon looks for it."""
    writes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Answer of a hand to Look: the node sees the same folders, and could write."""

    clock_s: float
    """Of the node, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Answer of a hand: its node cannot do this task, for example without the folder."""

    message: str


HandRequest = Begin | Look | Work
