"""Rate limit for repeated failures in the log.

Owns the rule: equal failures (same event, folder and reason) are logged line by line so many
times a minute; further ones are counted, and logged in one line when the minute is over or the
daemon stops. Nothing is lost by it: ledger, reason files and the output of `once` have each file.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.logs.events import Event
from sharpend.logs.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WINDOW_S = 60.0
_OF_ONE_FILE = {
    Event.IMAGE_CHANGED,
    Event.IMAGE_QUARANTINED,
    Event.IMAGE_RETRIED,
    Event.IMAGE_VANISHED,
    Event.WORKER_DIED,
    Event.REQUEST_REFUSED,
    Event.REQUEST_FAILED,
    Event.ACTION_FAILED,
}
"""Events that thousands of files, or requests, can cause at once; all others are rare."""


@dataclass(slots=True)
class _Window:
    """Counts of equal failures within a minute."""

    level: str
    event: Event
    folder: object
    reason: object
    ends_s: float
    lines: int = 0
    last_path: object = None


class RateLimitedLog(Log):
    """Rate-limited wrapper of a Log. Not thread-safe: the daemon logs from one thread.

    A minute's end is noticed with the next event of any kind and level; the periodic report is one.
    That is why this is no structlog processor: an event below the configured level reaches none.

    Args:
        log: writes the lines that are left.
        most: lines in a minute for equal failures; 0 sets no limit.
        clock: monotonic seconds.
    """

    def __init__(self, log: Log, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._most = most
        self._clock = clock
        self._windows: dict[tuple[str, ...], _Window] = {}

    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        """Write an event unless it is over the limit, after the summaries that are due."""
        now_s = self._clock()
        is_last = event is Event.DAEMON_STOPPED
        for key, window in list(self._windows.items()):
            if is_last or now_s >= window.ends_s:
                del self._windows[key]
                self._sum_up(window)
        if not (self._most and event in _OF_ONE_FILE and self._is_over_limit(level, event, values)):
            self._log.write(level, event, values)

    def _is_over_limit(self, level: str, event: Event, values: Mapping[str, object]) -> bool:
        """Count a failure; return True if it is over the limit."""
        folder, reason = values.get("folder"), values.get("error_code", values.get("cause"))
        key = (event, str(folder), str(reason))
        if key not in self._windows:
            ends_s = self._clock() + WINDOW_S
            self._windows[key] = _Window(level, event, folder, reason, ends_s)
        window = self._windows[key]
        window.lines += 1
        window.last_path = values.get("path")
        return window.lines > self._most

    def _sum_up(self, window: _Window) -> None:
        if window.lines > self._most:
            getattr(self._log, window.level)(
                Event.EVENT_REPEATED,
                repeated=window.event,
                folder=window.folder,
                reason=window.reason,
                suppressed=window.lines - self._most,
                last_path=window.last_path,
            )
