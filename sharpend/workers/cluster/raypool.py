"""Ray pool: the daemon's side of a cluster: starts Ray actors, submits tasks, survives an outage.

A hand counts as free once it runs on a node, its versions and weights are the daemon's, and it
sees the same folders. A lost node costs its tasks nothing. The end of the ferry, as when the head
is gone, is an outage: all tasks come back, and the pool connects again with growing waits. A hand
that is not fit keeps its place on its node, so that no other is hired there, and is tried again.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from sharpend.errors import ConfigError, UnavailableError
from sharpend.task import Died, Failed, Failure, Lost, Staged
from sharpend.workers import process
from sharpend.workers.answers import fitting
from sharpend.workers.cluster import bodies
from sharpend.workers.cluster.contact import Contact, no_room
from sharpend.workers.cluster.hired import AGAIN_S, Crew, Hired
from sharpend.workers.cluster.link import FerryEnded, is_installed
from sharpend.workers.cluster.notices import (
    Answered,
    Ask,
    Fire,
    Gone,
    Hire,
    Joined,
    Placed,
    Refused,
    Room,
)
from sharpend.workers.cluster.requests import Elsewhere, Seen
from sharpend.workers.interface import ENGINE
from sharpend.workers.jsoncodec import MessageError
from sharpend.workers.messages import Unavailable
from sharpend.workers.worker import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.task import AttemptResult, Task
    from sharpend.workers.cluster.bodies import HandAnswer
    from sharpend.workers.cluster.notices import Cluster, Notice
    from sharpend.workers.cluster.requests import HandRequest
    from sharpend.workers.worker import WorkerOptions

LATE_S = 60.0
"""Seconds after a worker's deadline by which its hand must have answered."""
NO_ROOM_S = 60.0
"""Seconds without a hand on any node after which that is a fault."""
_UNFIT = "its staged file is not seen here, or is of another model"
_LOOK_EVERY_S = 1.0


class RayPool:
    """Hands on a cluster; implements `sharpend.workers.interface.Workers`.

    Args:
        cluster: what to join.
        wanted: number of hands; None: as many as there is room for.
        options: of the worker of every hand.
        digests: digest of the weights by model, as each node must have it.
        wake: called from any thread when a result waits.

    Attributes:
        crew, heard: the hands; set when a notice waits.
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
        self._contact = Contact(cluster, self._on_notice)
        self.crew = Crew(options, process.PROGRAM, options.job_timeout_s + LATE_S)
        self._room = 0
        self._unmanned_s = math.inf
        """Time by which a hand must run on a node; infinite while one does."""
        self._outcomes: list[AttemptResult] = []

    @property
    def running(self) -> list[Task]:
        """Tasks in progress."""
        return [hand.task for hand in self.crew.hands.values() if hand.task is not None]

    @property
    def count(self) -> int:
        """Number of hands that are placed and fit."""
        return sum(self.crew.is_ready(hand) for hand in self.crew.hands.values())

    @property
    def free(self) -> int:
        """Number of those without a task."""
        return sum(self.crew.is_free(hand) for hand in self.crew.hands.values())

    @property
    def faults(self) -> dict[str, str]:
        """Cause by node of hands that are not fit, and of an outage."""
        found = {hand.node: hand.unfit for hand in self.crew.hands.values() if hand.unfit}
        if self._contact.fault:
            return {ENGINE: self._contact.fault, **found}
        is_unmanned = time.monotonic() > self._unmanned_s
        return {ENGINE: no_room(self._cluster), **found} if is_unmanned else found

    def engine(
        self, model: str, *, teacher: bool, go_on: Callable[[], bool] = lambda: True
    ) -> Engine:
        """Join the cluster and let a hand load a model, see `Workers.engine`."""
        if not is_installed():
            raise ConfigError("engine.kind: Ray is not installed: pip install 'sharpend[ray]'")
        self.crew.want(model, teacher=teacher)
        give_up_s = time.monotonic() + self.crew.patience_s
        while model not in self.crew.engines:
            now_s = time.monotonic()
            self._step(now_s)
            self._raise_for_start()
            if not go_on() or now_s > give_up_s:
                raise UnavailableError(f"engine: timed out loading {model} on the cluster")
            self.heard.wait(_LOOK_EVERY_S)
            self.heard.clear()
        return self.crew.engines[model]

    def _raise_for_start(self) -> None:
        """Raise where a start cannot succeed."""
        refused = self._contact.refused
        if refused is not None:
            kind = ConfigError if refused.is_setting else UnavailableError
            raise kind(refused.message)
        if fault := self.faults.get(ENGINE):
            raise UnavailableError(fault)
        placed = [hand for hand in self.crew.hands.values() if hand.node]
        most = min(self._target, self._room)
        if placed and len(placed) >= most and all(hand.unfit for hand in placed):
            causes = {f"{hand.node}: {hand.unfit}" for hand in placed}
            raise UnavailableError("engine: no node can work: " + "; ".join(sorted(causes)))

    def judged(self) -> list[Hired] | None:
        """Return all hands; None until all that there is room for are ready, or found unfit."""
        hands = [one for one in self.crew.hands.values() if one.unfit or self.crew.is_ready(one)]
        return hands if len(hands) >= min(self._target, self._room) else None

    def submit(self, task: Task, now_s: float) -> None:
        """Hand a task to a free hand, see `Workers.submit`."""
        hand = next(hand for hand in self.crew.hands.values() if self.crew.is_free(hand))
        try:
            work = self.crew.work(hand, task, now_s)
        except OSError as error:
            message = f"folder of {task.relative!r}: {error}"
            self._outcomes.append(Failed(task.job_id, Failure.FOLDER, None, message))
            self._wake()
            return
        self._ask(hand, work)

    def finished(self, now_s: float) -> Iterator[AttemptResult]:
        """Return results since the last call; connect, hire and replace as needed."""
        self._step(now_s)
        outcomes, self._outcomes = self._outcomes, []
        return iter(outcomes)

    def next_deadline_s(self) -> float:
        """Time by which `finished` must be called, even if nothing is heard."""
        waits = [hand.deadline_s for hand in self.crew.hands.values()]
        return min([self._contact.next_s, *waits])

    def overdue_s(self, now_s: float) -> float:
        """Seconds by which the most overdue task exceeds its deadline; 0 if none does."""
        late = (now_s - one.deadline_s for one in self.crew.hands.values() if one.task is not None)
        return max([0.0, *late])

    def stop(self) -> list[Task]:
        """End all hands and the ferry now, see `Workers.stop`; `finished` would join again."""
        unfinished = self.running
        self._outcomes.clear()
        self._forget()
        self._contact.close()
        return unfinished

    def _on_notice(self) -> None:
        self.heard.set()
        self._wake()

    def _step(self, now_s: float) -> None:
        for notice in self._contact.heard(now_s):
            self._hear(notice, now_s)
        for hand in [one for one in self.crew.hands.values() if now_s > one.deadline_s]:
            self._drop(hand, "it did not answer in time")
        self._hire(now_s)
        for hand in self.crew.hands.values():
            question = self.crew.next_question(hand, now_s)
            if question is not None:
                self._ask(hand, question)

    def _ask(self, hand: Hired, request: HandRequest) -> None:
        self._contact.send(Ask(hand.number, bodies.of_request(request)))

    def _hire(self, now_s: float) -> None:
        """Hire hands up to the number wanted; let go of those beyond it that found no node."""
        hands = self.crew.hands
        most = self._target
        if not self.crew.engines:  # the first alone, whose trial the others follow
            most = min(most, sum(bool(hand.unfit) for hand in hands.values()) + 1)
        for hand in [one for one in hands.values() if not one.node][: max(0, len(hands) - most)]:
            self._drop(hand, "")
        while len(hands) < most:
            self._contact.send(Hire(self.crew.hire().number))
        if any(hand.node for hand in hands.values()):
            self._unmanned_s = math.inf
        else:
            self._unmanned_s = min(self._unmanned_s, now_s + NO_ROOM_S)

    @property
    def _target(self) -> int:
        if not self.crew.ray:
            return 0  # not connected
        return self._room if self._wanted is None else self._wanted

    # Notices

    def _hear(self, notice: Notice | FerryEnded, now_s: float) -> None:
        if isinstance(notice, Joined):
            self.crew.ray, self._unmanned_s = notice.ray, math.inf
        elif isinstance(notice, Room):
            self._room = notice.hands
        elif isinstance(notice, FerryEnded):  # all tasks come back
            self._outcomes += [Lost(one.job_id, "", self._contact.fault) for one in self.running]
            self._forget()
        elif not isinstance(notice, Refused):
            self._hear_of_hand(notice, now_s)

    def _forget(self) -> None:
        """Forget all hands, which end with the ferry."""
        self.crew.hands.clear()
        self.crew.ray, self._room = "", 0

    def _hear_of_hand(self, notice: Placed | Answered | Gone, now_s: float) -> None:
        hand = self.crew.hands.get(notice.hand)
        if hand is None:
            return  # it was fired meanwhile
        if isinstance(notice, Placed):
            self.crew.judge_versions(hand, notice, now_s)
        elif isinstance(notice, Gone):
            self._drop(hand, notice.cause)
        else:
            self._answered(hand, notice.body, now_s)

    def _answered(self, hand: Hired, body: bytes, now_s: float) -> None:
        try:
            answer = bodies.answer(body)
        except MessageError as error:
            self._drop(hand, f"it sent an invalid answer: {error}")
            return
        hand.deadline_s = math.inf
        task, hand.task = hand.task, None
        if task is not None:
            self._outcomes.append(self._outcome(hand, task, answer, now_s))
        elif isinstance(answer, Engine):
            self.crew.described(hand, answer, self._digests, now_s)
        elif isinstance(answer, Seen):
            self.crew.looked(hand, answer)
        elif isinstance(answer, Unavailable | Elsewhere):
            hand.retire(answer.message, now_s + AGAIN_S)
        else:
            self._drop(hand, "it sent an answer to no question")

    def _outcome(self, hand: Hired, task: Task, answer: HandAnswer, now_s: float) -> AttemptResult:
        """Judge the answer to a task; one that does not fit counts as a lost node."""
        if isinstance(answer, Died) and answer.job_id == task.job_id:
            return answer
        if isinstance(answer, Staged | Failed):
            fit = fitting(task, answer)
            if fit is not None and self._is_of_model(task, fit):
                return fit
        is_elsewhere = isinstance(answer, Elsewhere)
        cause = answer.message if isinstance(answer, Elsewhere) else _UNFIT
        hand.retire(cause, now_s + AGAIN_S)
        return Lost(task.job_id, "" if is_elsewhere else hand.node, f"{hand.node}: {cause}")

    def _is_of_model(self, task: Task, outcome: Staged | Failed) -> bool:
        digest = self._digests.get(task.options.model)
        return digest is None or isinstance(outcome, Failed) or outcome.model_digest == digest

    def _drop(self, hand: Hired, cause: str) -> None:
        """End a hand; its task is lost and another hand is hired at the next turn."""
        self.crew.hands.pop(hand.number, None)
        self._contact.send(Fire(hand.number))
        if hand.task is not None:
            self._outcomes.append(Lost(hand.task.job_id, hand.node, cause))
            self._wake()
