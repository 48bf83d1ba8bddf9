"""A state directory that fails: nothing is done, that is said once, and it is looked at again.

Owns the two events and the pauses between two looks. These grow while it keeps failing, a short
return in between does not begin them anew, and the longest is far below the minute within which
work has to go on. What has to be made good afterwards is the dispatcher's.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from sharpend.daemon.snapshot import paused_line
from sharpend.errors import StateFaultError
from sharpend.ledger.ledger import Ledger
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sharpend.daemon.systemd import Notifier
    from sharpend.logs.logs import Log

FIRST_LOOK_S = 1.0
LONGEST_LOOK_S = 10.0
CALM_S = 60.0
"""After so long without a failure the next one is a new one."""

_NO_FAULT_OF_THE_DISK = (PermissionError, NotADirectoryError, FileExistsError)
"""Missing rights, or a file in the directory's place: waiting mends neither."""


class StateOutage:
    """The failures of one state directory. All times are monotonic seconds.

    Args:
        notifier: the service manager hears of it even where the disk takes no status file.
        log: where the events go.

    Attributes:
        reason: why the state directory cannot be used, or None while it can.
        next_s: when to look again.
        log: as given; a reload may change it.
    """

    def __init__(self, notifier: Notifier, log: Log) -> None:
        self.reason: str | None = None
        self.next_s = -math.inf
        self.log = log
        self._notifier = notifier
        self._after_s = FIRST_LOOK_S
        self._ended_s = -math.inf

    def failed(self, error: StateFaultError, now_s: float) -> bool:
        """It fails; told, and True, where that is news."""
        is_news, self.reason = self.reason is None, str(error)
        calm = is_news and now_s - self._ended_s > CALM_S
        self._after_s = FIRST_LOOK_S if calm else min(2 * self._after_s, LONGEST_LOOK_S)
        self.next_s = now_s + self._after_s
        if is_news:
            self.log.error(Event.STATE_PAUSED, reason=self.reason)
            self._notifier.status(paused_line(self.reason))
        return is_news

    def ended(self, now_s: float) -> bool:
        """It works; told, and True, where it did not before."""
        if self.reason is None:
            return False
        self.reason, self._ended_s = None, now_s
        self.log.info(Event.STATE_RESUMED)
        return True

    def wait_for_ledger(self, state_dir: Path, wait: Callable[[float], bool]) -> Ledger | None:
        """Open the ledger as soon as its directory can be written.

        A daemon that ended instead would be started again a few times in vain, and would then
        lie there when the disk has room.

        Args:
            state_dir: made if need be.
            wait: waits until then, or returns False: not to be waited for any longer.

        Returns:
            The ledger, or None where the wait was broken off.

        Raises:
            StateLockedError: another process works on this state directory.
            StateFaultError: the directory is no directory, or not ours to write.
            LedgerError: a newer version wrote the ledger.
        """
        while True:
            try:
                ledger = _written(Ledger.open(state_dir))
            except StateFaultError as error:
                if isinstance(error.__cause__, _NO_FAULT_OF_THE_DISK):
                    raise
                self.failed(error, time.monotonic())
                if not wait(self.next_s):
                    return None
            else:
                self.ended(time.monotonic())
                return ledger


def _written(ledger: Ledger) -> Ledger:
    """The ledger, after a write to it; closed where that fails."""
    try:
        ledger.probe()
    except BaseException:
        ledger.close()
        raise
    return ledger
