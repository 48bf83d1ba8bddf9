"""Upkeep of one folder: other writers of its output, emptied sub-folders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.commit.emptied import remove_emptied
from sharpend.daemon.writers import OutputWriters
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sharpend.commit.destination import Destination
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.intake.tally import Tally
    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.reader import LedgerReader
    from sharpend.logs.logs import Log


MOST_LISTED = 16
"""Most paths in one event."""


class EmptiedFolders:
    """Emptied sub-folders of one input.

    Args:
        destination: of the folder; it says whether they are removed.
        ledger: knows what was taken out of them.
        log: for what was removed.
        quiet_s: see `remove_emptied`.
    """

    def __init__(
        self, destination: Destination, ledger: LedgerReader, log: Log, quiet_s: float | None
    ) -> None:
        self._destination = destination
        self._ledger = ledger
        self._log = log
        self._quiet_s = quiet_s
        self._last: Tally | None = None

    def scanned(self, tally: Tally) -> None:
        """Remove emptied sub-folders after a full scan, once for each scan."""
        if tally is self._last or not self._destination.remove_empty_folders:
            return
        self._last, destination = tally, self._destination
        removed = remove_emptied(self._ledger, destination, tally.empty, time.time(), self._quiet_s)
        if removed:
            self._log.info(
                Event.SUBFOLDERS_REMOVED,
                folder=destination.folder,
                removed=len(removed),
                paths=removed[:MOST_LISTED],
            )


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
