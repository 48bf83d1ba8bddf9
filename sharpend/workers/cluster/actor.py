"""Actor: the Ray actor on a node that holds a local pool of one confined worker.

The image is decoded in the worker's process, as confined as on one machine: Ray's own process
needs sockets and threads. Deadline, memory limit and restart of a worker are the local pool's.
Runs one request at a time, in one thread, because a worker dies with the thread that started it.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from typing import TYPE_CHECKING, Any

import ray

from sharpend import __version__
from sharpend.attempt import Failed, Failure, Lost
from sharpend.errors import UnavailableError
from sharpend.files import beneath
from sharpend.files.atomic import WRITE_NEW_FILE, fsync_directory
from sharpend.files.fingerprint import display
from sharpend.workers import ahead
from sharpend.workers.cluster import bodies
from sharpend.workers.cluster.requests import (
    CheckFolders,
    FoldersChecked,
    LoadModel,
    NodeUnfit,
    RunTask,
)
from sharpend.workers.messages import Unavailable
from sharpend.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sharpend.attempt import AttemptResult
    from sharpend.task import Task
    from sharpend.workers.cluster.bodies import ActorAnswer
    from sharpend.workers.cluster.requests import Root

_LOOK_EVERY_S = 1.0
_BLAMES_ROOT = {Failure.VANISHED, Failure.FOLDER}
"""Failures that a folder which is not mounted causes, too."""


class WorkerActor:
    """Actor with one worker; every answer is bytes, see `bodies`."""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._waiting = threading.Event()

    def where(self) -> dict[str, Any]:
        """Return the node's identifier, and the versions and the priority of this process."""
        return {
            "node": str(ray.get_runtime_context().get_node_id()),
            "sharpend": __version__,
            "python": platform.python_version(),
            "ray": str(ray.__version__),
            "niceness": os.nice(0),
        }

    def answer(self, body: bytes) -> bytes:
        """Do what is requested, and answer."""
        request = bodies.request(body)
        if isinstance(request, LoadModel):
            return bodies.of_answer(self._describe(request))
        if isinstance(request, CheckFolders):
            wrong = _other_root(request.roots) or _unwritable(request)
            return bodies.of_answer(NodeUnfit(wrong) if wrong else FoldersChecked(time.time()))
        return bodies.of_answer(self._work(request))

    def _describe(self, request: LoadModel) -> ActorAnswer:
        """Start the worker, and load a model."""
        try:
            return self._pool_for(request).load_model(request.model, teacher=request.teacher)
        except UnavailableError as error:
            return Unavailable(str(error))

    def _pool_for(self, request: LoadModel) -> Pool:
        """Return the pool; the options of the first request hold for the life of the actor."""
        if self._pool is None:
            ahead.PROGRAM = request.program
            self._pool = Pool(
                request.options,
                count=1,
                job_timeout_s=request.options.job_timeout_s,
                wake=self._waiting.set,
            )
        return self._pool

    def _work(self, request: RunTask) -> ActorAnswer:
        """Do a task, unless a folder is not the one that is meant, before it or after it."""
        task = request.task
        if self._pool is None:
            return NodeUnfit("the actor has no worker yet")
        if wrong := _other_root(request.roots):
            return NodeUnfit(wrong)
        outcome = self._outcome(self._pool, task)
        if isinstance(outcome, Lost):
            return NodeUnfit(outcome.cause)
        if isinstance(outcome, Failed) and not outcome.stage:  # no process could be started here
            return NodeUnfit(outcome.message)
        if isinstance(outcome, Failed) and outcome.failure in _BLAMES_ROOT:
            wrong = _other_root(request.roots)  # it may have been unmounted meanwhile
        return NodeUnfit(wrong) if wrong else outcome

    def _outcome(self, pool: Pool, task: Task) -> AttemptResult:
        self._waiting.clear()
        pool.submit(task, time.monotonic())
        while True:
            for outcome in pool.finished(time.monotonic()):
                return outcome
            wait_s = min(pool.next_deadline_s() - time.monotonic(), _LOOK_EVERY_S)
            self._waiting.wait(max(wait_s, 0.0))
            self._waiting.clear()


def _unwritable(request: CheckFolders) -> str:
    """Make the file that is asked for; name the first folder in which that fails."""
    for root in request.writes:
        try:
            with beneath.directory(root, b"") as folder:
                os.close(os.open(request.proof, WRITE_NEW_FILE, 0o600, dir_fd=folder))
                fsync_directory(folder)
        except OSError as error:
            return f"{display(root)}: {error.strerror}; let this node's user write there"
    return ""


def _other_root(roots: Iterable[Root]) -> str:
    """Name the first folder that is missing here or has another inode; an empty text if none is.

    Device numbers differ between nodes and are not compared.
    """
    for root in roots:
        try:
            inode = os.stat(root.path).st_ino
        except OSError as error:
            return f"{display(root.path)}: {error.strerror}; mount the share on this node"
        if inode != root.inode:
            return f"{display(root.path)} is another folder here; mount the share on this node"
    return ""
