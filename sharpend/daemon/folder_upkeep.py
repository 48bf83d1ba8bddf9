"""Upkeep of one folder beside its images: other writers of its output, emptied sub-folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon.emptied_folders import EmptiedFolders
from sharpend.daemon.writers import OutputWriters

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.commit.destination import Destination
    from sharpend.intake.tally import Tally
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


class FolderUpkeep:
    """Upkeep of one folder.

    Args:
        destination: of the folder.
        state_dir: of the daemon.
        quiet_s: seconds for which an emptied sub-folder must be unchanged.
        ledger: of the state directory.
        log: for what it finds and removes.
    """

    def __init__(
        self, destination: Destination, state_dir: Path, quiet_s: float, ledger: Ledger, log: Log
    ) -> None:
        self._writers = OutputWriters(destination, state_dir, ledger, log)
        self._emptied = EmptiedFolders(destination, ledger, log, quiet_s)

    def step(self, now_s: float, tally: Tally | None) -> None:
        """Do what is due after a step of the folder.

        Args:
            now_s: monotonic seconds.
            tally: counts of the last full scan; None before the first.
        """
        self._writers.check(now_s)
        if tally is not None:
            self._emptied.scanned(tally)
