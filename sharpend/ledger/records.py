"""Ledger records: jobs with their states and legal transitions, and conversion from rows.

Owns the text form of a fingerprint. Inode numbers and times may exceed SQLite's signed 64 bits
(network mounts, files dated after 2262), so a fingerprint is stored as text and stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class State(StrEnum):
    """State of a job; one row of the ledger is one job."""

    PENDING = "pending"
    RUNNING = "running"
    STAGED = "staged"
    DONE = "done"
    DISPOSED = "disposed"
    DEFERRED = "deferred"
    QUARANTINED = "quarantined"
    VANISHED = "vanished"


MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.RUNNING, State.QUARANTINED, State.VANISHED}),
    State.RUNNING: frozenset(
        {State.STAGED, State.DEFERRED, State.QUARANTINED, State.VANISHED, State.PENDING}
    ),
    State.STAGED: frozenset({State.DONE, State.PENDING, State.QUARANTINED, State.DEFERRED}),
    State.DONE: frozenset({State.DISPOSED, State.PENDING}),
    State.DISPOSED: frozenset({State.PENDING}),
    State.DEFERRED: frozenset({State.RUNNING, State.PENDING, State.QUARANTINED, State.VANISHED}),
    State.QUARANTINED: frozenset({State.PENDING}),
    State.VANISHED: frozenset({State.PENDING}),
}
"""The legal transitions. To PENDING: recovery, drain, `retry`, or the same file reappeared."""


@dataclass(frozen=True, slots=True)
class Job:
    """One input in the queue, as the ledger stores it."""

    id: int
    folder: str
    relative: bytes
    fingerprint: Fingerprint
    state: State
    attempts: int
    """Attempts begun, without those interrupted by the daemon's own death."""
    orphans: int
    """Attempts that the daemon's own death cut short; not counted against `retry.attempts`."""


class LedgerRow(Protocol):
    """A row of the view `known`, addressable by column name."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - as SQLite gives it
        """The value of a column."""


@dataclass(frozen=True, slots=True)
class Product:
    """A durable staged file before its rename, or the output that it became."""

    output: bytes
    """The final name, below the output root."""
    fingerprint: Fingerprint
    """Of the staged file; a rename keeps it, so it proves whose output a file is."""
    temp: bytes = b""
    """Name of the staged file beside `output`; b"" where there is none."""
    kept_existing: bool = False
    """True where a foreign file exists at `output` and the policy is to leave it."""
    model_digest: str = ""
    options_digest: str = ""
    pixels: int = 0
    input_digest: str | None = None
    """SHA-256 of the input; None where it is not known."""
    kept_reason: str = ""
    """Content that the output lacks, for which the source must not be deleted, in words; empty
    where it may be."""


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """Reason of a quarantine, with its text and setting."""

    reason: Reason
    message: str
    setting: str | None = None
    """The setting that would let the input through, or None where none can."""
    input_digest: str | None = None
    """SHA-256 of the input; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A quarantined job with its reason, and the steps already done on disk."""

    job: Job
    refusal: QuarantineReason
    at_s: float
    note: bytes | None
    """Absolute path of the reason file; None until it is written."""
    moved: bytes | None
    """Absolute path of the moved source; None where the source stayed."""


@dataclass(frozen=True, slots=True)
class Added:
    """Result of adding settled files."""

    jobs: int
    """Jobs that became pending."""
    superseded: Sequence[tuple[bytes, bytes]]
    """Inputs that were refused and have changed since, each with its reason file, to be deleted."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The input whose output a file is."""

    folder: str
    relative: bytes
    is_past: bool = False
    """True if the source was archived or deleted by its folder's policy: a file that has its path
    now is another input."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An output name and the input that it was given to; the file need not exist any more."""

    owner: Owner
    output: bytes
    """Below the output root."""
    fingerprint: Fingerprint
    """As the output was made."""


@dataclass(frozen=True, slots=True)
class KnownInput:
    """Result of one input, for reports."""

    relative: bytes
    state: State
    attempts: int
    output: bytes | None
    kept_existing: bool
    reason: Reason | None
    message: str | None
    setting: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A job as `sharpend list` shows it."""

    job: Job
    since_s: float
    """Time of its end, or of its discovery where it waits (wall clock)."""
    next_s: float | None
    """Time of its next attempt, if it waits for one."""
    output: bytes | None
    """Below the output root."""
    reason: Reason | None
    """Of the quarantine, or of the last attempt that failed."""
    message: str | None
    setting: str | None
    note: bytes | None
    """Absolute path of the reason file."""


@dataclass(frozen=True, slots=True)
class CompletedJob:
    """A completed job, and the files that it may have left behind."""

    job: Job
    at_s: float
    output: bytes | None
    """Path below the output root; None without an output of sharpend."""
    is_past: bool
    """True if the source was archived, deleted or vanished: a file at its path is a new input."""


@dataclass(frozen=True, slots=True)
class FinishTimes:
    """Times when an image was found and finished (wall clock), and its size."""

    found_at_s: float
    at_s: float
    pixels: int


def fingerprint_text(fingerprint: Fingerprint) -> str:
    """Convert a fingerprint to the text in a row."""
    return f"{fingerprint.size}:{fingerprint.mtime_ns}:{fingerprint.inode}"


def content_text(fingerprint: Fingerprint) -> str:
    """Convert a fingerprint to a text without the inode, which a restore or a mount changes."""
    return f"{fingerprint.size}:{fingerprint.mtime_ns}"


def binary(digest: str | None) -> bytes | None:
    """Convert a hexadecimal digest to the bytes in a row."""
    return None if digest is None else bytes.fromhex(digest)


def content_of(digest: bytes | None) -> str | None:
    """Convert the bytes in a row to a hexadecimal digest."""
    return None if digest is None else digest.hex()


def fingerprint_of(mark: str) -> Fingerprint:
    """Convert the text in a row to a fingerprint."""
    size, mtime_ns, inode = mark.split(":")
    return Fingerprint(int(size), int(mtime_ns), int(inode))


def job_of(row: LedgerRow) -> Job:
    """Convert a row of the view `known` to a job."""
    return Job(
        id=row["id"],
        folder=row["folder_name"],
        relative=row["relative"],
        fingerprint=fingerprint_of(row["mark"]),
        state=State(row["state"]),
        attempts=row["attempts"],
        orphans=row["orphans"],
    )


def product_of(row: LedgerRow) -> Product:
    """Convert a row of a staged or finished job to its product."""
    staged = row["staged_output"] is not None
    return Product(
        output=row["staged_output"] if staged else row["output"],
        fingerprint=fingerprint_of(row["staged_mark"] if staged else row["output_mark"]),
        temp=row["temp"] or b"",
        kept_existing=bool(row["unchanged"]),
        model_digest=row["model_digest"] or "",
        options_digest=row["options_digest"] or "",
        pixels=row["pixels"] or 0,
        kept_reason=row["stays_for"] or "",
    )


def quarantined_of(row: LedgerRow) -> Quarantined:
    """Convert a row of the view `known` to a quarantine record."""
    refusal = QuarantineReason(Reason(row["reason"]), row["message"], row["setting"])
    return Quarantined(job_of(row), refusal, row["finished_at"], row["note"], row["moved"])


def outcome_of(row: LedgerRow) -> KnownInput:
    """Convert a row of the view `known` to an outcome."""
    return KnownInput(
        relative=row["relative"],
        state=State(row["state"]),
        attempts=row["attempts"],
        output=row["output"],
        kept_existing=bool(row["unchanged"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        setting=row["setting"],
    )


def listed_of(row: LedgerRow) -> Listed:
    """Convert a row of the view `known` to an entry of a list."""
    return Listed(
        job=job_of(row),
        since_s=row["added_at"] if row["finished_at"] is None else row["finished_at"],
        next_s=row["next_at"],
        output=row["output"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        setting=row["setting"],
        note=row["note"],
    )


def ended_of(row: LedgerRow) -> CompletedJob:
    """Convert a row of the view `known` to a completed job."""
    return CompletedJob(
        job=job_of(row),
        at_s=max(row["added_at"], row["finished_at"] or 0.0),
        output=None if row["unchanged"] else row["output"],
        is_past=bool(row["let_go"]) or row["state"] == State.VANISHED,
    )
