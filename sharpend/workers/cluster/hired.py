"""State of the Ray actors (`hands`): node, pending request, and whether each can be used.

Owns the questions that a hand must answer before it works: versions, models, folders. Sends
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
from sharpend.workers.cluster.requests import Begin, Look, Root, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.task import Task
    from sharpend.workers.cluster.notices import Placed
    from sharpend.workers.cluster.requests import HandRequest, Seen
    from sharpend.workers.worker import Engine, WorkerOptions

AGAIN_S = 30.0
"""Seconds after which a hand that is not fit is replaced."""
FORGOTTEN_S = 600.0
"""Seconds after its last task when new hands no longer compare a folder: a reload may have removed
it from the settings, and then nodes need not have it."""


@dataclass(slots=True)
class Hired:
    """A hand that was asked for."""

    number: int
    node: str = ""
    """Name of its node; empty until it is placed."""
    task: Task | None = None
    deadline_s: float = math.inf
    """Time by which it must have answered (monotonic), or is replaced where it is not fit."""
    niceness: int = 0
    described: int = 0
    """Number of models that it has loaded."""
    has_looked: bool = False
    """True once it has seen all folders that tasks had lately."""
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


class Crew:
    """All hands of a pool.

    Args:
        options: of the worker of every hand.
        program: module that a worker process runs.
        patience_s: longest time for one answer.
    """

    def __init__(self, options: WorkerOptions, program: str, patience_s: float) -> None:
        self.hands: dict[int, Hired] = {}
        self.engines: dict[str, Engine] = {}
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
        self._hired = 0

    def want(self, model: str, *, teacher: bool) -> None:
        """Have every hand load a model, too, and its teacher."""
        self._models[model] = teacher

    def survey(self, survey: Survey) -> None:
        """Have every hand look at folders, and write in some, before it is ready."""
        self._survey = survey

    def hire(self) -> Hired:
        """Add a hand."""
        self._hired += 1
        hand = self.hands[self._hired] = Hired(self._hired)
        return hand

    def is_ready(self, hand: Hired) -> bool:
        """Return whether a hand is placed and fit, and has loaded all models."""
        has_seen = hand.has_looked or not (self._used_s or self._survey)
        has_all = hand.described == len(self._models) and has_seen
        return bool(hand.node) and not hand.unfit and has_all

    def is_free(self, hand: Hired) -> bool:
        """Return whether a hand can take a task."""
        return hand.task is None and hand.deadline_s == math.inf and self.is_ready(hand)

    def next_question(self, hand: Hired, now_s: float) -> HandRequest | None:
        """Choose what an idle hand has to show next; None if it is ready, busy or not fit."""
        if not hand.node or hand.unfit or hand.deadline_s < math.inf or self.is_ready(hand):
            return None
        hand.deadline_s = now_s + self.patience_s
        if hand.described < len(self._models):
            model = self._next_model(hand)
            return Begin(self._options, self._program, model, self._models[model])
        return self._look(hand, now_s)

    def _look(self, hand: Hired, now_s: float) -> Look:
        """Ask for all folders of tasks and of the survey that can be looked at here."""
        lately = {path: at for path, at in self._used_s.items() if now_s - at < FORGOTTEN_S}
        self._used_s, roots, survey = lately, [], self._survey
        for path in dict.fromkeys([*lately, *(survey.roots if survey else ())]):
            with suppress(OSError):  # the folder is paused, or no longer of the settings
                roots.append(root_of(path))
        if survey is None:
            return Look(tuple(roots))
        hand.proof = survey.new_name()
        return Look(tuple(roots), hand.proof, survey.writes)

    def _next_model(self, hand: Hired) -> str:
        return list(self._models)[hand.described]

    def work(self, hand: Hired, task: Task, now_s: float) -> Work:
        """Make the request for a task.

        Raises:
            OSError: a folder of it cannot be looked at here.
        """
        paths = dict.fromkeys((task.input_root, task.output_root), now_s)
        roots = tuple(root_of(path) for path in paths)
        self._used_s |= paths
        hand.has_looked = True  # this one looks with each task
        hand.task, hand.deadline_s = task, now_s + self.patience_s
        return Work(replace(task, preview=None), roots)  # no node sees the state directory

    def looked(self, hand: Hired, seen: Seen) -> None:
        """Record that a hand has seen all folders."""
        hand.has_looked, hand.ahead_s = True, seen.clock_s - time.time()

    def judge_versions(self, hand: Hired, placed: Placed, now_s: float) -> None:
        """Record where a hand is; retire it if its versions are not the daemon's."""
        hand.node, hand.niceness = placed.node, placed.niceness
        ours = {"sharpend": __version__, "Python": platform.python_version(), "Ray": self.ray}
        theirs = {"sharpend": placed.sharpend, "Python": placed.python, "Ray": placed.ray}
        other = [f"{name} {theirs[name]} in place of {ours[name]}" for name in ours]
        other = [text for text, name in zip(other, ours, strict=True) if ours[name] != theirs[name]]
        if other:
            cause = f"it has {' and '.join(other)}; install the same versions on all nodes"
            hand.retire(cause, now_s + AGAIN_S)

    def described(
        self, hand: Hired, engine: Engine, digests: Mapping[str, str], now_s: float
    ) -> None:
        """Record that a hand has loaded its next model; retire it if that is another."""
        model = self._next_model(hand)
        if digests.get(model, engine.digest) != engine.digest:
            cause = f"its weights of {model} are {engine.digest[:12]} in place of "
            cause += f"{digests[model][:12]}; install the same on all nodes"
            hand.retire(cause, now_s + AGAIN_S)
            return
        hand.described += 1
        self.engines.setdefault(model, engine)
        known = self._options.trials
        if engine.trial is not None and engine.trial not in known:
            self._options = replace(self._options, trials=(engine.trial, *known))
