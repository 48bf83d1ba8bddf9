"""Signals and wake-ups: control of the daemon from other threads and processes.

A signal handler sets a flag and wakes the loop, nothing more. The second signal to stop asks for
an immediate end.
"""

from __future__ import annotations

import queue
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Control:
    """Flags of the main loop, and its only wait.

    Attributes:
        stops: number of requests to stop.
        signal: number of the last signal that requested it, or 0.
        reload: a reload is requested.
    """

    def __init__(self) -> None:
        # The put of a SimpleQueue is reentrant: a signal handler may interrupt anything.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awake = False
        self.stops = 0
        self.signal = 0
        self.reload = False

    def wake(self) -> None:
        """End the wait, from any thread or handler; repeated calls count once."""
        if not self._awake:
            self._awake = True
            self._wakes.put(None)

    def stop(self) -> None:
        """Request a drain; the second time, an immediate end."""
        self.stops += 1
        self.wake()

    def wait(self, timeout_s: float) -> None:
        """Wait for a wake-up, at most this long."""
        try:
            self._wakes.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return
        finally:
            self._awake = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT (stop) and SIGHUP (reload) within a block."""
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_reload,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self.stop()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.wake()
