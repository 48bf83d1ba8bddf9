"""SIGTERM and Ctrl-C while training: noted, and obeyed between two steps."""

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
    """Whether someone asked to stop."""

    signal_number: int = 0
    """The signal that came, or 0."""


class TrainingStoppedError(Exception):
    """A training was asked to stop, and saved what it had."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command goes on")
        self.exit_code = 128 + signal_number


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Note signals in place of dying, and restore their handlers afterwards."""
    request = StopRequest()

    def note(number: int, _: object) -> None:
        request.signal_number = number

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
