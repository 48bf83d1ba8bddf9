"""State of each Ray actor: node, pending request, and whether each can be used.

Owns the questions that an actor must answer before it works: versions, models, folders. Sends
nothing itself.
"""

from __future__ import annotations

import math
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend import __version__
from sharpend.workers.cluster.requests import CheckFolders, LoadModel, Root, RunTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.task import Task
    from sharpend.workers.cluster.notices import Placed
    from sharpend.workers.cluster.requests import ActorRequest, FoldersChecked
    from sharpend.workers.loading import LoadedModel, WorkerOptions

AGAIN_S = 30.0
"""Seconds after which an actor that is not fit is replaced."""
FORGOTTEN_S = 600.0
"""Seconds after its last task when new actors no longer compare a folder: a reload may have removed
it from the settings, and then nodes need not have it."""


@dataclass(slots=True)
class ActorState:
    """An actor that was asked for."""

    number: int
    node: str = ""
    """Name of its node; empty until it is placed."""
    task: Task | None = None
    deadline_s: float = math.inf
    """Time by which it must have answered (monotonic), or is replaced where it is not fit."""
    niceness: int = 0
    described: int = 0
    """Number of models that it has loaded."""
    has_checked_folders: bool = False
    """True once it has compared all folders that tasks had lately."""
    proof: bytes = b""
    """Name of the files that it was asked to make, in a survey."""
    ahead_s: float = 0.0
    """Seconds by which its node's clock was ahead of this machine's, in a survey."""
    unfit: str = ""
    """Cause why it gets no work."""

    def retire(self, cause: str, again_s: float) -> None:
        """Give it no more work, until it is replaced at `again_s`."""
        self.unfit, self.deadline_s = cause, again_s


@dataclass(frozen=True, slots=True)
class Survey:
    """Question to all nodes that asks more than work needs."""

    roots: tuple[bytes, ...]
    """Folders to compare."""
    writes: tuple[bytes, ...]
    """Folders to make a file in."""
    new_name: Callable[[], bytes]
    """Makes a name for such a file."""


def root_of(path: bytes) -> Root:
    """Identify a folder as this machine sees it; OSError if that is not possible."""
    return Root(path, os.stat(path).st_ino)


class Actors:
    """All actors of a pool.

    Args:
        options: of the worker of every actor.
        program: module that a worker process runs.
        patience_s: longest time for one answer.
    """

    def __init__(self, options: WorkerOptions, program: str, patience_s: float) -> None:
        self.by_number: dict[int, ActorState] = {}
        self.loaded_models: dict[str, LoadedModel] = {}
        """By model."""
        self.patience_s = patience_s
        self.ray = ""
        """Version of Ray on this machine."""
        self._options = options
        self._program = program
        self._models: dict[str, bool] = {}
        """True by model for those with a teacher."""
        self._used_s: dict[bytes, float] = {}
        """Time of the last task by folder (monotonic)."""
        self._survey: Survey | None = None
        self._last_number = 0

    def __iter__(self) -> Iterator[ActorState]:
        return iter(list(self.by_number.values()))

    def want(self, model: str, *, teacher: bool) -> None:
        """Have every actor load a model, too, and its teacher."""
        self._models[model] = teacher

    def survey(self, survey: Survey) -> None:
        """Have every actor compare folders, and write in some, before it is ready."""
        self._survey = survey

    def add(self) -> ActorState:
        """Add an actor."""
        self._last_number += 1
        actor = self.by_number[self._last_number] = ActorState(self._last_number)
        return actor

    def is_ready(self, actor: ActorState) -> bool:
        """Return whether an actor is placed and fit, and has loaded all models."""
        has_checked = actor.has_checked_folders or not (self._used_s or self._survey)
        has_all = actor.described == len(self._models) and has_checked
        return bool(actor.node) and not actor.unfit and has_all

    def is_free(self, actor: ActorState) -> bool:
        """Return whether an actor can take a task."""
        return actor.task is None and actor.deadline_s == math.inf and self.is_ready(actor)

    def next_question(self, actor: ActorState, now_s: float) -> ActorRequest | None:
        """Choose the next request to an idle actor; None if it is ready, busy or not fit."""
        if not actor.node or actor.unfit or actor.deadline_s < math.inf or self.is_ready(actor):
            return None
        actor.deadline_s = now_s + self.patience_s
        if actor.described < len(self._models):
            model = self._next_model(actor)
            return LoadModel(self._options, self._program, model, self._models[model])
        return self._check_folders(actor, now_s)

    def _check_folders(self, actor: ActorState, now_s: float) -> CheckFolders:
        """Ask for all folders of tasks and of the survey that can be read here."""
        lately = {path: at for path, at in self._used_s.items() if now_s - at < FORGOTTEN_S}
        self._used_s, roots, survey = lately, [], self._survey
        for path in dict.fromkeys([*lately, *(survey.roots if survey else ())]):
            with suppress(OSError):  # the folder is paused, or no longer of the settings
                roots.append(root_of(path))
        if survey is None:
            return CheckFolders(tuple(roots))
        actor.proof = survey.new_name()
        return CheckFolders(tuple(roots), actor.proof, survey.writes)

    def _next_model(self, actor: ActorState) -> str:
        return list(self._models)[actor.described]

    def work(self, actor: ActorState, task: Task, now_s: float) -> RunTask:
        """Make the request for a task.

        Raises:
            OSError: a folder of it cannot be read here.
        """
        paths = dict.fromkeys((task.input_root, task.output_root), now_s)
        roots = tuple(root_of(path) for path in paths)
        self._used_s |= paths
        actor.has_checked_folders = True  # it compares the folders of each task
        actor.task, actor.deadline_s = task, now_s + self.patience_s
        return RunTask(replace(task, preview=None), roots)  # no node sees the state directory

    def folders_checked(self, actor: ActorState, answer: FoldersChecked) -> None:
        """Record that the node of an actor has the same folders."""
        actor.has_checked_folders, actor.ahead_s = True, answer.clock_s - time.time()

    def judge_versions(self, actor: ActorState, placed: Placed, now_s: float) -> None:
        """Record where an actor is; retire it if its versions are not the daemon's."""
        actor.node, actor.niceness = placed.node, placed.niceness
        ours = {"sharpend": __version__, "Python": platform.python_version(), "Ray": self.ray}
        theirs = {"sharpend": placed.sharpend, "Python": placed.python, "Ray": placed.ray}
        other = [
            f"{name} {theirs[name]} in place of {own}"
            for name, own in ours.items()
            if own != theirs[name]
        ]
        if other:
            cause = f"it has {' and '.join(other)}; install the same versions on all nodes"
            actor.retire(cause, now_s + AGAIN_S)

    def described(
        self, actor: ActorState, loaded: LoadedModel, digests: Mapping[str, str], now_s: float
    ) -> None:
        """Record that an actor has loaded its next model; retire it if that is another."""
        model = self._next_model(actor)
        if digests.get(model, loaded.digest) != loaded.digest:
            cause = f"its weights of {model} are {loaded.digest[:12]} in place of "
            cause += f"{digests[model][:12]}; install the same on all nodes"
            actor.retire(cause, now_s + AGAIN_S)
            return
        actor.described += 1
        self.loaded_models.setdefault(model, loaded)
        known = self._options.trials
        if loaded.trial is not None and loaded.trial not in known:
            self._options = replace(self._options, trials=(loaded.trial, *known))
