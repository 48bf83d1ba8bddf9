"""Ray pool: actors in place of local workers, where `daemon.engine` chooses it.

An actor counts as free once it runs on a node, its versions and weights are the daemon's, and it
sees the same folders. A lost node costs its tasks nothing. The end of the driver, as when the head
is gone, is an outage: all tasks come back, and the pool connects again with growing waits. An actor
that is not fit keeps its place on its node, so that no other is started there, and is tried again.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.attempt import Died, Failed, Failure, Lost, Staged
from sharpend.errors import ConfigError, UnavailableError
from sharpend.workers import ahead
from sharpend.workers.answers import fitting
from sharpend.workers.cluster import bodies
from sharpend.workers.cluster.actors import AGAIN_S, Actors, ActorState
from sharpend.workers.cluster.connection import Connection, no_free_slots
from sharpend.workers.cluster.driver_process import DriverEnded, is_installed
from sharpend.workers.cluster.notices import (
    Answered,
    AskActor,
    FreeSlots,
    Gone,
    Joined,
    Placed,
    Refused,
    StartActor,
    StopActor,
)
from sharpend.workers.cluster.requests import FoldersChecked, NodeUnfit
from sharpend.workers.interface import ENGINE
from sharpend.workers.jsoncodec import MessageError
from sharpend.workers.loading import LoadedModel
from sharpend.workers.messages import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.attempt import AttemptResult
    from sharpend.task import Task
    from sharpend.workers.cluster.bodies import ActorAnswer
    from sharpend.workers.cluster.notices import Cluster, Notice
    from sharpend.workers.cluster.requests import ActorRequest
    from sharpend.workers.loading import WorkerOptions

LATE_S = 60.0
"""Seconds after a worker's deadline by which its actor must have answered."""
NO_ROOM_S = 60.0
"""Seconds without an actor on any node after which that is a fault."""
_UNFIT = "its staged file is not seen here, or is of another model"
_LOOK_EVERY_S = 1.0


class RayPool:
    """Actors on a cluster; implements `sharpend.workers.interface.Workers`.

    Args:
        cluster: what to join.
        wanted: number of actors; None: as many as there is room for.
        options: of the worker of every actor.
        digests: digest of the weights by model, as each node must have it.
        wake: called from any thread when a result waits.

    Attributes:
        actors, heard: all actors; set when a notice waits.
    """

    def __init__(
        self,
        cluster: Cluster,
        wanted: int | None,
        options: WorkerOptions,
        digests: Mapping[str, str],
        wake: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._digests = digests
        self.heard = threading.Event()
        self._wake = wake
        self._connection = Connection(cluster, self._on_notice)
        self.actors = Actors(options, ahead.PROGRAM, options.job_timeout_s + LATE_S)
        self._free_slots = 0
        self._no_actor_until_s = math.inf
        """Time by which an actor must run on a node; infinite while one does."""
        self._outcomes: list[AttemptResult] = []

    @property
    def running(self) -> list[Task]:
        """Tasks in progress."""
        return [actor.task for actor in self.actors if actor.task is not None]

    @property
    def count(self) -> int:
        """Number of actors that are placed and fit."""
        return sum(self.actors.is_ready(actor) for actor in self.actors)

    @property
    def free(self) -> int:
        """Number of those without a task."""
        return sum(self.actors.is_free(actor) for actor in self.actors)

    @property
    def faults(self) -> dict[str, str]:
        """Cause by node of actors that are not fit, and of an outage."""
        found = {actor.node: actor.unfit for actor in self.actors if actor.unfit}
        if self._connection.fault:
            return {ENGINE: self._connection.fault, **found}
        has_no_actor = time.monotonic() > self._no_actor_until_s
        return {ENGINE: no_free_slots(self._cluster), **found} if has_no_actor else found

    def load_model(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> LoadedModel:
        """Join the cluster and let an actor load a model, see `Workers.load_model`."""
        if not is_installed():
            raise ConfigError("engine.kind: Ray is not installed: pip install 'sharpend[ray]'")
        self.actors.want(model, teacher=teacher)
        give_up_s = time.monotonic() + self.actors.patience_s
        while model not in self.actors.loaded_models:
            now_s = time.monotonic()
            self._step(now_s)
            self._raise_for_start()
            if not go_on() or now_s > give_up_s:
                raise UnavailableError(f"engine: timed out loading {model} on the cluster")
            self.heard.wait(_LOOK_EVERY_S)
            self.heard.clear()
        return self.actors.loaded_models[model]

    def _raise_for_start(self) -> None:
        """Raise where a start cannot succeed."""
        refused = self._connection.refused
        if refused is not None:
            kind = ConfigError if refused.is_setting else UnavailableError
            raise kind(refused.message)
        if fault := self.faults.get(ENGINE):
            raise UnavailableError(fault)
        placed = [actor for actor in self.actors if actor.node]
        most = min(self._target, self._free_slots)
        if placed and len(placed) >= most and all(actor.unfit for actor in placed):
            causes = {f"{actor.node}: {actor.unfit}" for actor in placed}
            raise UnavailableError("engine: no node can work: " + "; ".join(sorted(causes)))

    def judged(self) -> list[ActorState] | None:
        """Return all actors; None until all that there is room for are ready, or found unfit."""
        actors = [one for one in self.actors if one.unfit or self.actors.is_ready(one)]
        return actors if len(actors) >= min(self._target, self._free_slots) else None

    def submit(self, task: Task, now_s: float) -> None:
        """Submit a task to a free actor, see `Workers.submit`."""
        actor = next(actor for actor in self.actors if self.actors.is_free(actor))
        try:
            work = self.actors.work(actor, task, now_s)
        except OSError as error:
            message = f"folder of {task.relative!r}: {error}"
            self._outcomes.append(Failed(task.job_id, Failure.FOLDER, None, message))
            self._wake()
            return
        self._ask(actor, work)

    def finished(self, now_s: float) -> Iterator[AttemptResult]:
        """Return results since the last call; connect, start and replace as needed."""
        self._step(now_s)
        outcomes, self._outcomes = self._outcomes, []
        return iter(outcomes)

    def next_deadline_s(self) -> float:
        """Time by which `finished` must be called, even if nothing is heard."""
        waits = [actor.deadline_s for actor in self.actors]
        return min([self._connection.next_s, *waits])

    def overdue_s(self, now_s: float) -> float:
        """Seconds by which the most overdue task exceeds its deadline; 0 if none does."""
        late = (now_s - one.deadline_s for one in self.actors if one.task is not None)
        return max([0.0, *late])

    def stop(self) -> list[Task]:
        """End all actors and the driver now, see `Workers.stop`; `finished` would join again."""
        unfinished = self.running
        self._outcomes.clear()
        self._forget()
        self._connection.close()
        return unfinished

    def _on_notice(self) -> None:
        self.heard.set()
        self._wake()

    def _step(self, now_s: float) -> None:
        for notice in self._connection.heard(now_s):
            self._hear(notice, now_s)
        for actor in [one for one in self.actors if now_s > one.deadline_s]:
            self._drop(actor, "it did not answer in time")
        self._start_missing(now_s)
        for actor in self.actors:
            question = self.actors.next_question(actor, now_s)
            if question is not None:
                self._ask(actor, question)

    def _ask(self, actor: ActorState, request: ActorRequest) -> None:
        self._connection.send(AskActor(actor.number, bodies.of_request(request)))

    def _start_missing(self, now_s: float) -> None:
        """Start actors up to the number wanted; end those beyond it that found no node."""
        actors = self.actors.by_number
        most = self._target
        if not self.actors.loaded_models:  # the first alone, whose trial the others follow
            most = min(most, sum(bool(actor.unfit) for actor in actors.values()) + 1)
        for actor in [one for one in actors.values() if not one.node][: max(0, len(actors) - most)]:
            self._drop(actor, "")
        while len(actors) < most:
            self._connection.send(StartActor(self.actors.add().number))
        if any(actor.node for actor in actors.values()):
            self._no_actor_until_s = math.inf
        else:
            self._no_actor_until_s = min(self._no_actor_until_s, now_s + NO_ROOM_S)

    @property
    def _target(self) -> int:
        if not self.actors.ray:
            return 0  # not connected
        return self._free_slots if self._wanted is None else self._wanted

    def _hear(self, notice: Notice | DriverEnded, now_s: float) -> None:
        if isinstance(notice, Joined):
            self.actors.ray, self._no_actor_until_s = notice.ray, math.inf
        elif isinstance(notice, FreeSlots):
            self._free_slots = notice.actors
        elif isinstance(notice, DriverEnded):  # all tasks come back
            self._outcomes += [Lost(one.job_id, "", self._connection.fault) for one in self.running]
            self._forget()
        elif not isinstance(notice, Refused):
            self._hear_of_actor(notice, now_s)

    def _forget(self) -> None:
        """Forget all actors, which end with the driver."""
        self.actors.by_number.clear()
        self.actors.ray, self._free_slots = "", 0

    def _hear_of_actor(self, notice: Placed | Answered | Gone, now_s: float) -> None:
        actor = self.actors.by_number.get(notice.actor)
        if actor is None:
            return  # it was ended meanwhile
        if isinstance(notice, Placed):
            self.actors.judge_versions(actor, notice, now_s)
        elif isinstance(notice, Gone):
            self._drop(actor, notice.cause)
        else:
            self._answered(actor, notice.body, now_s)

    def _answered(self, actor: ActorState, body: bytes, now_s: float) -> None:
        try:
            answer = bodies.answer(body)
        except MessageError as error:
            self._drop(actor, f"it sent an invalid answer: {error}")
            return
        actor.deadline_s = math.inf
        task, actor.task = actor.task, None
        if task is not None:
            self._outcomes.append(self._outcome(actor, task, answer, now_s))
        elif isinstance(answer, LoadedModel):
            self.actors.described(actor, answer, self._digests, now_s)
        elif isinstance(answer, FoldersChecked):
            self.actors.folders_checked(actor, answer)
        elif isinstance(answer, Unavailable | NodeUnfit):
            actor.retire(answer.message, now_s + AGAIN_S)
        else:
            self._drop(actor, "it sent an answer to no question")

    def _outcome(
        self, actor: ActorState, task: Task, answer: ActorAnswer, now_s: float
    ) -> AttemptResult:
        """Judge the answer to a task; one that does not fit counts as a lost node."""
        if isinstance(answer, Died) and answer.job_id == task.job_id:
            return replace(answer, node=actor.node)
        fit = fitting(task, answer) if isinstance(answer, Staged | Failed) else None
        if fit is not None and self._is_of_model(task, fit):
            return replace(fit, node=actor.node)
        cause = answer.message if isinstance(answer, NodeUnfit) else _UNFIT
        actor.retire(cause, now_s + AGAIN_S)
        node = "" if isinstance(answer, NodeUnfit) else actor.node
        return Lost(task.job_id, node, f"{actor.node}: {cause}")

    def _is_of_model(self, task: Task, outcome: Staged | Failed) -> bool:
        digest = self._digests.get(task.options.model)
        return digest is None or isinstance(outcome, Failed) or outcome.model_digest == digest

    def _drop(self, actor: ActorState, cause: str) -> None:
        """End an actor; its task is lost and another actor is started at the next turn."""
        self.actors.by_number.pop(actor.number, None)
        self._connection.send(StopActor(actor.number))
        if actor.task is not None:
            self._outcomes.append(Lost(actor.task.job_id, actor.node, cause))
            self._wake()
