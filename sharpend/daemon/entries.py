"""Interface of the entry of settled files into the ledger, as a folder uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.daemon.judgements import Judgements
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.intake.scan import Found


class Entries(Protocol):
    """Entry of one folder's files; all methods are called from one thread."""

    judgements: Judgements
    """Of the files that were entered."""

    def fresh(self, found: Sequence[Found]) -> list[Found]:
        """Return the files that the ledger has neither finished nor queued nor seen."""

    def scanned(self) -> None:
        """Record that a full scan has found every file that was there before it."""

    def register(self, entries: Sequence[tuple[bytes, Fingerprint]]) -> tuple[list[bytes], str]:
        """Enter settled files, or begin to compare them.

        Returns:
            Paths of files that could not be judged because the output folder cannot be read, and
            the reason.
        """

    def collect(self) -> list[bytes]:
        """Enter the files that were compared; return paths of those that changed meanwhile."""

    @property
    def is_busy(self) -> bool:
        """True while files are compared."""

    def complete_scan(self) -> None:
        """Record that every file of the folder was entered: later ones are new."""

    def close(self) -> None:
        """Stop comparing."""
