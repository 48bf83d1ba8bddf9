"""What the service manager's watchdog hears of the daemon: progress, and nothing else.

Owns when the watchdog is fed. It hears nothing while a part stands still that only a new start can
move; the loop that asks here has come round, so whatever blocks it starves the watchdog as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpend.health import Notifier, watchdog_interval_s
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.logs.logs import Log


class Pulse:
    """The pings of one daemon.

    Args:
        notifier: passes them on.
        log: told what stands still.

    Attributes:
        next_s: when the next is due (monotonic seconds); infinity where nobody listens.
    """

    def __init__(self, notifier: Notifier, log: Log) -> None:
        self._notifier = notifier
        self._log = log
        self._every_s = watchdog_interval_s()
        self.next_s = math.inf if self._every_s is None else 0.0

    def beat(self, now_s: float, stalled_by: Callable[[float], str | None]) -> None:
        """Feed the watchdog where that is due and nothing stands still.

        Args:
            now_s: the monotonic clock.
            stalled_by: what stands still at a time, or None.
        """
        if self._every_s is None or now_s < self.next_s:
            return
        self.next_s = now_s + self._every_s
        cause = stalled_by(now_s)
        if cause is None:
            self._notifier.watchdog()
        else:
            self._log.error(Event.DAEMON_STALLED, reason=cause)
