"""Signals and wake-ups: control of the daemon from other threads and processes.

A signal handler sets a flag and wakes the loop of `daemon`, which reloads or stops. The second
signal to stop asks for an immediate end. SIGHUP reloads, unless it says that the terminal was
closed. SIGUSR1 and SIGUSR2, which make other programs rotate logs, change nothing: the log is
written to stderr, not to a file.
"""

from __future__ import annotations

import os
import queue
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_STDERR = 2
_WITHOUT_MEANING = (signal.SIGUSR1, signal.SIGUSR2)


class Control:
    """Flags of the main loop, and its only wait.

    Args:
        on_ignored: called once, outside of a handler, with the name of a signal without a meaning.

    Attributes:
        stops: number of requests to stop.
        signal: number of the last signal that requested it, or 0.
        reload: a reload is requested.
    """

    def __init__(self, on_ignored: Callable[[str], None] = lambda _name: None) -> None:
        # The put of a SimpleQueue is reentrant: a signal handler may interrupt anything.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awake = False
        self.stops = 0
        self.signal = 0
        self.reload = False
        self._on_ignored = on_ignored
        self._ignored: str | None = None
        self._was_logged = False
        self._reloads = True
        self._has_terminal = False

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
            if self._ignored is not None and not self._was_logged:
                self._was_logged = True
                self._on_ignored(self._ignored)

    @contextmanager
    def signals(self, *, reloads: bool = True) -> Iterator[None]:
        """Handle SIGTERM and SIGINT (stop), SIGHUP, SIGUSR1 and SIGUSR2 within a block.

        Args:
            reloads: SIGHUP reloads, unless the terminal of stderr was closed; False: it stops, or
                is ignored where the caller ignored it (nohup).
        """
        self._reloads, self._has_terminal = reloads, os.isatty(_STDERR)
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_hangup,
            **dict.fromkeys(_WITHOUT_MEANING, self._on_other),
        }
        if not reloads and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            del handlers[signal.SIGHUP]
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self.stop()

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        # The kernel sends this signal when a terminal is closed; then it is no terminal any more.
        if not self._reloads or (self._has_terminal and not os.isatty(_STDERR)):
            self._on_stop(number, frame)
            return
        self.reload = True
        self.wake()

    def _on_other(self, number: int, _frame: FrameType | None) -> None:
        if self._ignored is None:
            self._ignored = signal.Signals(number).name
            self.wake()
