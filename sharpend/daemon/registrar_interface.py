"""Protocol of `registrar.Registrar`, which a folder uses; and the wake-up of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.daemon.early_reads import EarlyReads
    from sharpend.intake.tally import Found
    from sharpend.ledger.candidates import FoundFile


class FolderWake:
    """Wake-up of one folder: its next step is due at once.

    Args:
        wake: wakes the main loop, from any thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._asked = True

    def __call__(self) -> None:
        """Ask for a step, from any thread."""
        self._asked = True
        self._wake()

    def take(self) -> bool:
        """Return whether a step was asked for since the last call; True at the first."""
        if not self._asked:
            return False
        self._asked = False  # before the step: what another thread asks for now gets one more
        return True


class RegistrarInterface(Protocol):
    """Registration of one folder's files; all methods are called from one thread."""

    early_reads: EarlyReads
    """Of the files that were entered."""
    wake: FolderWake
    """Asks for a step of the folder: an answer waits, or the intake has found something."""

    def fresh(self, found: Sequence[Found]) -> list[Found]:
        """Return the files that the ledger has neither finished nor queued nor seen."""

    def scanned(self) -> None:
        """Record that a full scan has found every file that was there before it."""

    def register(self, entries: Sequence[FoundFile]) -> tuple[list[bytes], str]:
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
