"""Pages of the ledger: tallies by folder, the last results, the refused images, one image.

Owns the queries of the status page. Refuses to read more than a page: every answer is bounded, and
costs the same however many rows there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sharpend.errors import LedgerError, Reason
from sharpend.ledger import pages_sql, sql
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import Job, State, content_of, job_of, quarantined_of
from sharpend.ledger.store import open_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sharpend.ledger.records import LedgerRow, Quarantined

LARGEST_ID = 2**63 - 1
"""SQLite's largest integer; no id is larger."""
_MOST_RUNNING = 64


class Place(NamedTuple):
    """Place between two rows of a page: time of the end, and id."""

    at_s: float
    job_id: int


NEWEST = Place(1e300, LARGEST_ID)
"""Before the newest row."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as a page shows it."""

    job: Job
    added_at_s: float
    """Time of its discovery (wall clock)."""
    finished_at_s: float | None
    next_s: float | None
    """Time of its next attempt, if it waits for one."""
    output: bytes | None
    """Below the output root."""
    kept_existing: bool
    """True where the output is a foreign file that was left alone."""
    model_digest: str
    """Empty in a page: read for one image alone, as the next one."""
    options_digest: str
    pixels: int
    input_digest: str | None
    kept_reason: str
    reason: Reason | None
    message: str | None
    setting: str | None
    moved: bytes | None
    """Absolute path of a refused source that was moved."""

    @property
    def place(self) -> Place:
        """Place after this row."""
        return Place(self.finished_at_s or 0.0, self.job.id)


class LedgerPages(LedgerReader):
    """Pages of a ledger that is opened read-only; errors as those of `LedgerReader`."""

    @classmethod
    def read_only(cls, state_dir: Path) -> LedgerPages:
        """Open without a lock, as `LedgerReader.read_only` does."""
        return LedgerPages(open_to_read(state_dir))

    def tallies(self) -> dict[str, dict[State, int]]:
        """Count the jobs of each folder in each state; every state has its key."""
        tallies = {name: dict.fromkeys(State, 0) for name, _ in self.folders()}
        for row in self._store.rows(self._store.counting(pages_sql.TALLIES)):
            tallies[row["name"]][State(row["state"])] = row["jobs"]
        return tallies

    def results(self, after: Place, most: int) -> Sequence[JobRow]:
        """Return finished jobs, the last ones first."""
        return self._entries(pages_sql.RESULTS, *after, most)

    def chosen(self, after: Place, most: int, ids: Sequence[int]) -> Sequence[JobRow]:
        """Return those of a bounded list of jobs that are finished, the last ones first."""
        return self._entries(pages_sql.CHOSEN, *after, most, json.dumps(list(ids)))

    def refused(self, after: Place, most: int) -> Sequence[JobRow]:
        """Return quarantined jobs, the last ones first."""
        return self._entries(pages_sql.REFUSED, *after, most)

    def in_work(self) -> Sequence[Job]:
        """Return the jobs that workers have now."""
        return [job_of(row) for row in self._store.rows(pages_sql.RUNNING, _MOST_RUNNING)]

    def entry(self, job_id: int) -> JobRow | None:
        """Return a job by its id; None for one that is not there."""
        found = self._entries(pages_sql.ENTRY, job_id) if job_id <= LARGEST_ID else ()
        return next(iter(found), None)

    def _entries(self, query: str, *values: object) -> Sequence[JobRow]:
        """Return the rows of a bounded query; LedgerError where an older version wrote them."""
        if self._store.row(pages_sql.HAS_DIGESTS) is None:
            raise LedgerError(
                "images cannot be shown: an older sharpend wrote this ledger, and the one that runs"
                " has not upgraded it: restart the daemon"
            )
        return [entry_of(row) for row in self._store.rows(query, *values)]

    def refusal(self, job_id: int) -> Quarantined | None:
        """Return the quarantine record of a job; None where it is not in quarantine."""
        row = self._store.row(sql.BY_ID, job_id) if job_id <= LARGEST_ID else None
        is_refused = row is not None and row["state"] == State.QUARANTINED
        return quarantined_of(row) if row is not None and is_refused else None


def entry_of(row: LedgerRow) -> JobRow:
    """Convert a row of the view `known` to an entry of a page."""
    return JobRow(
        job=job_of(row),
        added_at_s=row["added_at"],
        finished_at_s=row["finished_at"],
        next_s=row["next_at"],
        output=row["output"],
        kept_existing=bool(row["unchanged"]),
        model_digest=row["model_digest"] or "",
        options_digest=row["options_digest"] or "",
        pixels=row["pixels"] or 0,
        input_digest=content_of(row["digest"]),
        kept_reason=row["stays_for"] or "",
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        setting=row["setting"],
        moved=row["moved"],
    )
