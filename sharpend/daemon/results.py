"""Result of one input: a plain value for `once`, hooks and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.attempt import Staged
    from sharpend.commit.destination import Destination
    from sharpend.commit.results import Committed
    from sharpend.errors import Reason
    from sharpend.ledger.records import Job


@dataclass(frozen=True, slots=True)
class Result:
    """Final result of one input, for `once` and for the report."""

    destination: Destination
    job: Job
    outcome: str
    """sharpened, unchanged or quarantined."""
    output: bytes | None = None
    reason: Reason | None = None
    message: str = ""
    setting: str | None = None
    """Setting that would let a quarantined input through; `message` is the cause."""
    warning: str = ""
    """Reason why the source was not archived or deleted."""
    staged: Staged | None = None
    commit_s: float = 0.0
    seconds: float = 0.0
    """Seconds from the start of the attempt to its end."""


def result_of(destination: Destination, committed: Committed) -> Result:
    """Return the result of a job that is finished; without the staged file and the times."""
    outcome = "unchanged" if committed.kept_existing or committed.is_copy else "sharpened"
    job, output = committed.job, committed.output
    return Result(destination, job, outcome, output, warning=committed.warning)
