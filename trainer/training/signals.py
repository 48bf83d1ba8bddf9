"""Handling of SIGTERM and SIGINT: training stops after the current step."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class StopRequest:
    """State of the signal handlers."""

    signal_number: int = 0
    """The signal that came, or 0."""


class TrainingStoppedError(Exception):
    """Training was stopped by a signal, after a checkpoint."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; run the same command to resume")
        self.exit_code = 128 + signal_number


@contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Record signals in place of exiting, and restore the handlers afterwards."""
    request = StopRequest()

    def note(number: int, _: object) -> None:
        request.signal_number = number

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
