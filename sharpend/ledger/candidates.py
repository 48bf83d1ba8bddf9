"""Files that were found, and records of those that are the inputs of earlier jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

FoundFile: TypeAlias = "tuple[bytes, Fingerprint]"
"""A file's path below the input root, and its status when it was found."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finished or refused job whose input has path, size and time of a file that was found."""

    job_id: int
    fingerprint: Fingerprint
    digest: str | None
    """SHA-256 of its input; None where an older version recorded none."""
    is_own: bool
    """False for a job of another folder with the same output."""


@dataclass(frozen=True, slots=True)
class RecognisedFile:
    """A found file that is the input of a job in the ledger."""

    relative: bytes
    fingerprint: Fingerprint
    job: Candidate
    digest: str | None = None
    """SHA-256 of the file, where it was computed."""
