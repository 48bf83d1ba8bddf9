"""What the ledger hands out besides jobs: plain frozen records, and how a file is marked in a row.

Owns the text form of a fingerprint. Inode numbers and times may exceed SQLite's signed 64 bits
(network mounts, files dated after 2262), so a fingerprint is stored as text and stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.job import Job, State


class LedgerRow(Protocol):
    """A row of the view `known`, addressable by column name."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - as SQLite gives it
        """The value of a column."""


@dataclass(frozen=True, slots=True)
class Product:
    """A durable staged file on its way to its final name, or the output it became."""

    output: bytes
    """The final name, below the output root."""
    fingerprint: Fingerprint
    """Of the staged file; a rename keeps it, so it proves whose output a file is."""
    temp: bytes = b""
    """Name of the staged file beside `output`; b"" where there is none."""
    unchanged: bool = False
    """True where a foreign file stands at `output` and the policy is to leave it."""
    model_digest: str = ""
    options_digest: str = ""
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """Why an input goes into quarantine."""

    reason: Reason
    message: str
    setting: str | None = None
    """The setting that would let the input through, or None where none can."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A quarantined job with its reason and what was done about it on disk."""

    job: Job
    refusal: QuarantineReason
    at_s: float
    note: bytes | None
    """Absolute path of the reason file; None until it is written."""
    moved: bytes | None
    """Absolute path of the moved source; None where the source stayed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The input whose output a file is."""

    folder: str
    relative: bytes
    let_go: bool = False
    """It was archived or deleted by its folder's policy: what has its path now is another input."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An output's name with the input that it was given to; nothing need stand there any more."""

    owner: Owner
    output: bytes
    """Below the output root."""
    fingerprint: Fingerprint
    """As the output was made."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one input fared, for reports."""

    relative: bytes
    state: State
    attempts: int
    output: bytes | None
    unchanged: bool
    reason: Reason | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that came to its end, and what it may have left behind."""

    job: Job
    at_s: float
    output: bytes | None
    """Below the output root; None where there is none of ours."""
    is_past: bool
    """A file that has its path now is a new input to the ledger, whatever it is."""


@dataclass(frozen=True, slots=True)
class Finished:
    """When an image was found and finished (wall clock), and how large it was."""

    found_at_s: float
    at_s: float
    pixels: int


def mark_of(fingerprint: Fingerprint) -> str:
    """The text that stands for a fingerprint in a row."""
    return f"{fingerprint.size}:{fingerprint.mtime_ns}:{fingerprint.inode}"


def fingerprint_of(mark: str) -> Fingerprint:
    """The fingerprint that a row's text stands for."""
    size, mtime_ns, inode = mark.split(":")
    return Fingerprint(int(size), int(mtime_ns), int(inode))


def job_of(row: LedgerRow) -> Job:
    """The job in a row of the view `known`."""
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
    """What a staged or finished row has made: the staged columns while they are filled."""
    staged = row["staged_output"] is not None
    return Product(
        output=row["staged_output"] if staged else row["output"],
        fingerprint=fingerprint_of(row["staged_mark"] if staged else row["output_mark"]),
        temp=row["temp"] or b"",
        unchanged=bool(row["unchanged"]),
        model_digest=row["model"] or "",
        options_digest=row["options"] or "",
        pixels=row["pixels"] or 0,
    )


def quarantined_of(row: LedgerRow) -> Quarantined:
    """The quarantine record in a row of the view `known`."""
    refusal = QuarantineReason(Reason(row["reason"]), row["message"], row["setting"])
    return Quarantined(job_of(row), refusal, row["finished_at"], row["note"], row["moved"])


def outcome_of(row: LedgerRow) -> Outcome:
    """The report line in a row of the view `known`."""
    return Outcome(
        relative=row["relative"],
        state=State(row["state"]),
        attempts=row["attempts"],
        output=row["output"],
        unchanged=bool(row["unchanged"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
    )


def ended_of(row: LedgerRow) -> Ended:
    """The job at its end in a row of the view `known`."""
    return Ended(
        job=job_of(row),
        at_s=max(row["added_at"], row["finished_at"] or 0.0),
        output=None if row["unchanged"] else row["output"],
        is_past=bool(row["let_go"]) or row["state"] == State.VANISHED,
    )
