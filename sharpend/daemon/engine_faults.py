"""Faults of the engine: log the begin and end of each; detect a stall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.workers.interface import ENGINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.logs.logs import Log

LONGEST_OVERDUE_S = 30.0
"""Seconds after a deadline by which the pool must have replaced a worker; later is a stall."""


def stalled_by(overdue_s: float) -> str | None:
    """Return what is stalled, or None.

    Args:
        overdue_s: seconds since the deadline of the worker that is latest.
    """
    if overdue_s > LONGEST_OVERDUE_S:
        return f"a worker that is {overdue_s:.0f} s overdue was not replaced"
    return None


def raise_for_outage(faults: Mapping[str, str]) -> None:
    """Raise UnavailableError where the whole engine is out of order: a command does not wait."""
    if ENGINE in faults:
        raise UnavailableError(faults[ENGINE])


class EngineFaults:
    """Comparison of the engine's faults with those of the last turn."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, str] = {}
        """Cause by subject."""

    def update(self, faults: Mapping[str, str]) -> None:
        """Log what is new, and what has passed.

        Args:
            faults: cause by subject: the engine, or the name of a node.
        """
        if faults == self._known:
            return
        for subject, cause in faults.items():
            if self._known.get(subject) != cause:
                self._log.warning(Event.ENGINE_DEGRADED, subject=subject, message=cause)
        for subject in self._known.keys() - faults.keys():
            self._log.info(Event.ENGINE_RECOVERED, subject=subject)
        self._known = dict(faults)
