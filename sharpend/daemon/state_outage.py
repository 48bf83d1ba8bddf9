"""State outage: pause all work while the state directory cannot be written; probe with backoff.

Owns the two events and the waits between probes. The waits grow with each failure and are reset
only after CALM_S without one; the longest is far below the minute within which work has to
continue. The dispatcher recovers interrupted work afterwards.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from sharpend.backoff import Backoff
from sharpend.daemon.snapshot import paused_line
from sharpend.errors import StateFaultError
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.opening import open_ledger
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sharpend.daemon.systemd import Notifier
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log

PROBES = Backoff(first_s=1.0, longest_s=10.0)
CALM_S = 60.0
"""Seconds without a failure after which the waits are reset."""

_NO_FAULT_OF_THE_DISK = (PermissionError, NotADirectoryError, FileExistsError)
"""Missing permission, or a file in place of the folder: waiting does not help."""


class StateOutage:
    """Outage of one state directory. All times are monotonic seconds.

    Args:
        notifier: reports it to the service manager, as the status file may not be writable.
        log: for the two events.

    Attributes:
        fault: cause of the current outage, or None.
        next_s: time of the next probe.
        log: as given; a reload may replace it.
    """

    def __init__(self, notifier: Notifier, log: Log) -> None:
        self.fault: str | None = None
        self.next_s = -math.inf
        self.log = log
        self._notifier = notifier
        self._failures = 0
        self._ended_s = -math.inf

    def failed(self, error: StateFaultError, now_s: float) -> bool:
        """Record a failure; log it and return True if an outage begins."""
        is_news, self.fault = self.fault is None, str(error)
        calm = is_news and now_s - self._ended_s > CALM_S
        self._failures = 1 if calm else self._failures + 1
        self.next_s = now_s + PROBES.wait_s(self._failures)
        if is_news:
            self.log.error(Event.STATE_PAUSED, reason=self.fault)
            self._notifier.status(paused_line(self.fault))
        return is_news

    def ended(self, now_s: float) -> bool:
        """Record a success; log it and return True if an outage ends."""
        if self.fault is None:
            return False
        self.fault, self._ended_s = None, now_s
        self.log.info(Event.STATE_RESUMED)
        return True

    def wait_for_ledger(
        self, state_dir: Path, wait: Callable[[float], bool], go_on: Callable[[], bool]
    ) -> Ledger | None:
        """Open the ledger as soon as the state directory can be written.

        If the daemon exited instead, the service manager would restart it a few times and then give
        up before the disk has space again.

        Args:
            state_dir: created if missing.
            wait: waits until a time; returns False to cancel.
            go_on: called repeatedly while a large ledger is opened; returns False to cancel.

        Returns:
            The ledger, or None if `wait` or `go_on` cancelled that.

        Raises:
            StateLockedError: another process works on this state directory.
            StateFaultError: the path is no folder, or this user may not write there.
            LedgerError: a newer version wrote the ledger.
        """
        while True:
            try:
                ledger = _written(open_ledger(state_dir, go_on))
            except AbandonedError:
                return None
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
    """Test the ledger by a write; close it if that fails."""
    try:
        ledger.probe()
    except BaseException:
        ledger.close()
        raise
    return ledger
