"""Upkeep of one folder: other writers of its output, emptied sub-folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon.emptied_folders import EmptiedFolders
from sharpend.daemon.writers import OutputWriters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.intake.tally import Tally
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


class FolderUpkeep:
    """Upkeep of one folder.

    Args:
        plan: of the folder.
        state_dir: of the daemon.
        quiet_s: seconds for which an emptied sub-folder must be unchanged.
        ledger: of the state directory.
        log: for what it finds and removes.
        covers_pause: returns whether a pause with a reason is that of a whole store, and logged so.
    """

    def __init__(
        self,
        plan: FolderPlan,
        state_dir: Path,
        quiet_s: float,
        ledger: Ledger,
        log: Log,
        covers_pause: Callable[[str], bool],
    ) -> None:
        self.covers_pause = covers_pause
        is_shard = plan.intake.patterns.takes is not None  # the others are meant to be there
        writers = OutputWriters(plan.destination, state_dir, ledger, log)
        self._writers = None if is_shard else writers
        self._emptied = EmptiedFolders(plan.destination, ledger, log, quiet_s)

    def step(self, now_s: float, tally: Tally | None) -> None:
        """Do what is due after a step of the folder.

        Args:
            now_s: monotonic seconds.
            tally: counts of the last full scan; None before the first.
        """
        if self._writers is not None:
            self._writers.check(now_s)
        if tally is not None:
            self._emptied.scanned(tally)

    def close(self) -> None:
        """End after the request in progress."""
        if self._writers is not None:
            self._writers.close()
