"""Intended pauses of folders: by an operator (`sharpend pause`), or outside of their hours.

No image of such a folder is begun; its files are found and queued, and images in progress are
finished. This is no fault, so health does not change.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.ledger.reader import ALL_FOLDERS
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.ledger.reader import LedgerReader
    from sharpend.logs.logs import Log
    from sharpend.policies import Hours

BY_OPERATOR = "by `sharpend pause`"


class IntendedPauses:
    """Folders that are paused on purpose, with the reason by name.

    Args:
        hours: of each folder by its name; empty for any time.
        ledger: knows the pauses.
        log: for the beginning and the end of a pause.
    """

    def __init__(
        self, hours: Mapping[str, tuple[Hours, ...]], ledger: LedgerReader, log: Log
    ) -> None:
        self.reasons: dict[str, str] = {}
        self._hours = hours
        self._ledger = ledger
        self._log = log

    def update(self, wall_s: float) -> None:
        """Determine which folders are paused at a time (wall clock), and log each change."""
        pauses, local = self._ledger.pauses(), time.localtime(wall_s)
        minute = local.tm_hour * 60 + local.tm_min
        before, self.reasons = self.reasons, {}
        for name, hours in self._hours.items():
            if ALL_FOLDERS in pauses or name in pauses:
                self.reasons[name] = BY_OPERATOR
            elif hours and not any(one.includes(minute) for one in hours):
                ranges = ", ".join(str(one) for one in hours)
                self.reasons[name] = f"outside of its hours ({ranges})"
            reason = self.reasons.get(name)
            if reason is not None and reason != before.get(name):
                self._log.info(Event.FOLDER_PAUSED, folder=name, reason=reason)
            elif reason is None and name in before:
                self._log.info(Event.FOLDER_RESUMED, folder=name)
