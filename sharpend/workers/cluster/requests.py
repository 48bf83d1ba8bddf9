"""Requests to an actor, and the answers that only an actor gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.task import Task
    from sharpend.workers.loading import WorkerOptions


@dataclass(frozen=True, slots=True)
class Root:
    """Folder of a task, with the inode number by which each node must know it."""

    path: bytes
    inode: int


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Request to an actor: start its worker, load a model and try it."""

    options: WorkerOptions
    program: str
    """Module that a worker process runs."""
    model: str
    teacher: bool
    """Load its teacher, too."""


@dataclass(frozen=True, slots=True)
class RunTask:
    """Request to an actor: do a task, if the node sees the same folders."""

    task: Task
    roots: tuple[Root, ...]


@dataclass(frozen=True, slots=True)
class CheckFolders:
    """Request to an actor: compare these folders with those of its node."""

    roots: tuple[Root, ...]
    proof: bytes = b""
    """Name of an empty file to make, durably, in each of `writes`; the daemon looks for it."""
    writes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FoldersChecked:
    """Answer of an actor to CheckFolders: the node sees the same folders, and could write."""

    clock_s: float
    """Of the node, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class NodeUnfit:
    """Answer of an actor: its node cannot do this task, for example without the folder."""

    message: str


ActorRequest = LoadModel | CheckFolders | RunTask
