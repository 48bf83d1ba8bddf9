"""Results of workers that the ledger does not have yet, in the order in which they came.

Owns the size of a group: all results of one turn are committed together, at most MAX_GROUP at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.attempt import Staged
from sharpend.ledger.records import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.attempt import AttemptResult, Died, Failed, Lost
    from sharpend.daemon.folder import AssignedJob
    from sharpend.ledger.reader import LedgerReader

MAX_GROUP = 50
"""Most staged files committed together; it bounds open folders and the time until the first of
them is finished."""


class PendingResults:
    """Results that wait to be recorded; during a state outage they go on waiting."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[AssignedJob, AttemptResult]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, assigned: AssignedJob, outcome: AttemptResult) -> None:
        """Remember the result of an attempt."""
        self._waiting[assigned.job.id] = (assigned, outcome)

    def remove(self, assigned: AssignedJob) -> None:
        """Forget a result that is recorded."""
        del self._waiting[assigned.job.id]

    def keep_running(self, ledger: LedgerReader) -> None:
        """Forget the results of jobs that are not running any more according to the ledger."""
        known = {number: ledger.job(number) for number in self._waiting}
        running = [number for number, job in known.items() if job and job.state is State.RUNNING]
        self._waiting = {number: self._waiting[number] for number in running}

    @property
    def folders(self) -> set[str]:
        """Return the names of the folders that have a result here."""
        return {assigned.folder.name for assigned, _ in self._waiting.values()}

    def failures(self) -> list[tuple[AssignedJob, Failed | Died | Lost]]:
        """Return the failures."""
        return [(one, end) for one, end in self._waiting.values() if not isinstance(end, Staged)]

    def groups(self) -> Iterator[list[tuple[AssignedJob, Staged]]]:
        """Return the staged files, at most `MAX_GROUP` at a time."""
        staged = [(one, end) for one, end in self._waiting.values() if isinstance(end, Staged)]
        for first in range(0, len(staged), MAX_GROUP):
            yield staged[first : first + MAX_GROUP]
