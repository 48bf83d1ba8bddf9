"""Emptied sub-folders of one input: remove those that a full scan found, and log it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.commit.emptied import remove_emptied
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from sharpend.commit.destination import Destination
    from sharpend.intake.tally import Tally
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
