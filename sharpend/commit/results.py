"""Values that a commit takes and returns: names, and finished or unfinished jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
    from sharpend.ledger.records import Job


@dataclass(frozen=True, slots=True)
class Prepared:
    """Names for the staged file of one attempt."""

    parent: bytes
    """The output's folder, below the output root."""
    name: bytes
    """Name that the output will have in it, unless that is taken then."""
    temp_name: bytes
    """Name of the staged file in that folder."""


@dataclass(frozen=True, slots=True)
class Disposed:
    """Result of the disposal of one source."""

    kept_reason: str = ""
    """Reason why the source stays for good, against the policy of its folder; empty if none."""
    archived: bytes | None = None
    """Path of the source below the archive, also if an earlier call had moved it there."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Result for the sidecars of one image."""

    paths: tuple[bytes, ...] = ()
    """Their new places, below the archive or the output folder."""
    refusals: tuple[str, ...] = ()
    """Reasons why others are not there, in words."""


NOTHING = Followed()


@dataclass(frozen=True, slots=True)
class Committed:
    """A finished job."""

    job: Job
    output: bytes
    """Path below the output root."""
    kept_existing: bool
    """True where a foreign file has that name and was kept (`existing = "skip"`)."""
    warning: str = ""
    """Reason why the source or a sidecar stays: it cannot be disposed of, or not yet."""
    copied: tuple[bytes, ...] = ()
    """Sidecars beside the output, below the output root."""
    rewritten: bool = False
    """True where the output has another name than the template gives, to be portable."""
    archived: tuple[bytes, ...] = ()
    """Sidecars that followed the source, below the archive."""
    disposal_pending: bool = False
    """True where the source cannot be disposed of yet; `recover` tries again."""
    is_copy: bool = False
    """True where the output is a copy of the input."""

    @property
    def finished_keys(self) -> Mapping[str, object]:
        """Return the keys that this adds to `image.finished`; those without a value are omitted."""
        return (
            ({"warning": self.warning} if self.warning else {})
            | ({"rewritten": True} if self.rewritten else {})
            | ({"sidecars": list(self.archived)} if self.archived else {})
            | ({"sidecar_copies": list(self.copied)} if self.copied else {})
        )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A job that `recover` could not finish."""

    job: Job
    error: FolderFaultError | TransientError | ImageRefusedError
