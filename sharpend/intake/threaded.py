"""Intake in a thread of its own, for a folder on a file system that may hang.

Owns that thread and its queues: the intake works there, while queries of the ledger run, and steps
are returned, in the caller's thread. The caller never waits: a file system that does not respond
blocks this folder only, and is reported as a pause. Steps without changes are begun and returned at
common times of all folders, so that many polled folders cost the caller few turns.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.intake.interface import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.intake.interface import Fresh, Intake
    from sharpend.intake.tally import Found

PATIENCE_S = 10.0
"""Seconds after which a step counts as hanging."""
_LOOK_S = 2.0
_COMMON_S = 0.25
"""Seconds between the times at which steps without changes are begun and returned."""
_SHORT_S = 1.0
"""Longest step without changes whose end does not wake the caller."""


def _common(at_s: float) -> float:
    """Return the first common time of all folders after a time."""
    return (math.floor(at_s / _COMMON_S) + 1) * _COMMON_S


class _ClosedError(Exception):
    """Ends a step after the intake was closed."""


@dataclass(frozen=True, slots=True)
class _Order:
    """Order to the thread: the steps that are due, and what to do before them."""

    now_s: float
    restart: bool
    unsettled: list[bytes]


class ThreadedIntake:
    """Intake that never blocks its caller.

    All methods are called from one thread. The result of a step is returned by a later call, which
    `wake` asks for.

    Args:
        inner: makes the intake, given `fresh`.
        fresh: selects the files that are new to the ledger.
        wake: asks for a step soon, from any thread; must return at once.
    """

    def __init__(
        self, inner: Callable[..., Intake], fresh: Fresh, wake: Callable[[], None]
    ) -> None:
        self._fresh = fresh
        self._wake = wake
        self._inner = inner(fresh=self._ask)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[Step | BaseException] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Sequence[Found] | None] = queue.SimpleQueue()
        self._question: Sequence[Found] | None = None
        self._began_s: float | None = None
        self._restart = False
        self._unsettled: list[bytes] = []
        self._last = Step(0.0)
        # A daemon thread: one that hangs in the kernel must not prevent the end of the process.
        threading.Thread(target=self._work, daemon=True).start()

    def step(self, now_s: float) -> Step:
        """Return a step that ended, or begin the next one if it is due; never blocks."""
        if self._began_s is None:
            # Each end wakes the caller: without this, two such folders would step without pause.
            if now_s < self._last.next_s:
                return replace(self._last, settled=[])
            self._order(now_s)
        elif (question := self._question) is not None:
            answer = self._fresh(question)  # if this raises, the next call tries again
            self._question = None
            self._answers.put(answer)
        else:
            try:
                end = self._ends.get_nowait()
            except queue.Empty:
                return self._waiting(now_s)
            self._began_s = None
            if isinstance(end, BaseException):
                raise end
            self._last = end
            if self._restart or self._unsettled:  # asked for after this step was begun
                self._last = replace(end, next_s=now_s, settling=max(1, end.settling))
            elif not end.settling and end.next_s > now_s:
                self._last = replace(end, next_s=_common(end.next_s))
            return self._last
        return self._waiting(now_s)

    def unsettle(self, relative: bytes) -> None:
        """Make a file settle again that changed after it was reported as settled."""
        self._unsettled.append(relative)
        self._last = replace(self._last, next_s=-math.inf)

    def restart(self) -> None:
        """Discard all state: the next step begins with a full scan."""
        self._restart = True
        self._last = replace(self._last, next_s=-math.inf)

    def close(self) -> None:
        """End the thread as soon as the file system responds."""
        self._answers.put(None)
        self._orders.put(None)

    def _order(self, now_s: float) -> None:
        self._orders.put(_Order(now_s, self._restart, self._unsettled))
        self._began_s, self._restart, self._unsettled = now_s, False, []

    def _waiting(self, now_s: float) -> Step:
        """Return the last state while a step is in progress, as paused if that hangs."""
        began_s = now_s if self._began_s is None else self._began_s
        look_s = _common(now_s) if now_s - began_s < _SHORT_S else now_s + _LOOK_S
        waiting = replace(
            self._last, next_s=look_s, settled=[], settling=max(1, self._last.settling)
        )
        if now_s - began_s < PATIENCE_S:
            return waiting
        return replace(waiting, paused="the file system does not respond")

    # In the thread

    def _work(self) -> None:
        last = Step(0.0)
        while (order := self._orders.get()) is not None:
            began_s = time.monotonic()
            is_news = True
            try:
                end = self._do(order)
                is_news = end.next_s <= order.now_s or replace(end, next_s=last.next_s) != last
                last = replace(end, settled=[])
                self._ends.put(end)
            except _ClosedError:
                break
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._ends.put(error)
            if is_news or time.monotonic() - began_s > _SHORT_S / 2:
                self._wake()
        self._inner.close()

    def _do(self, order: _Order) -> Step:
        if order.restart:
            self._inner.restart()
        for relative in order.unsettled:
            self._inner.unsettle(relative)
        until_s = time.monotonic() + _SHORT_S / 4
        end = self._inner.step(order.now_s)
        while not end.settled and end.next_s <= order.now_s and time.monotonic() < until_s:
            end = self._inner.step(order.now_s)
        return end

    def _ask(self, found: Sequence[Found]) -> Sequence[Found]:
        """Ask the caller's thread to query the ledger, and wait for the answer."""
        self._question = found
        self._wake()
        answer = self._answers.get()
        if answer is None:
            raise _ClosedError
        return answer
