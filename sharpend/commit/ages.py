"""Retention limits: choose what to delete by age and total size, the oldest first.

Owns the choice. Pure: the caller passes times and sizes and deletes what is chosen. Sizes are
summed by hour, so memory depends on the number of hours, not of files.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

_DAY_S = 86_400
_HOUR_S = 3_600
_MEGA = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on age and total size; None means no limit."""

    days: float | None = None
    megabytes: float | None = None
    """Of 1,000,000 bytes."""

    @property
    def keep_everything(self) -> bool:
        """True if nothing is ever deleted."""
        return self.days is None and self.megabytes is None


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention limits of everything that is kept."""

    quarantine: Limits = field(default_factory=Limits)
    archive: Limits = field(default_factory=Limits)
    """Limits of each folder's archive."""
    ledger_days: float | None = None
    """Days after which the rows of inputs with neither source nor output are deleted."""
    backups: int = 0
    """Number of daily backups of the ledger; 0 makes none."""


KEEP_ALL = Retention()
"""Deletes nothing, and makes no backup."""


class Ages:
    """Total size of the entries of each hour."""

    def __init__(self) -> None:
        self._bytes: Counter[int] = Counter()
        self._oldest_s = math.inf

    def add(self, at_s: float, size: int) -> None:
        """Add an entry: its time (wall clock in seconds) and its size in bytes."""
        self._bytes[int(at_s // _HOUR_S)] += size
        self._oldest_s = min(self._oldest_s, at_s)

    def surplus(self, limits: Limits, now_s: float) -> Surplus | None:
        """Choose what to delete at `now_s` (wall clock in seconds); None if nothing."""
        before_s = -math.inf if limits.days is None else now_s - limits.days * _DAY_S
        most = math.inf if limits.megabytes is None else limits.megabytes * _MEGA
        excess = max(0.0, self._bytes.total() - most)
        hour = min(self._bytes, default=0)
        for hour in sorted(self._bytes):
            if not excess or self._bytes[hour] > excess:
                break
            excess -= self._bytes[hour]
            before_s = max(before_s, float((hour + 1) * _HOUR_S))
        if not excess and self._oldest_s >= before_s:
            return None
        return Surplus(before_s, hour, excess)


class Surplus:
    """Choice of what to delete: everything before a time, and a number of bytes of one hour."""

    def __init__(self, before_s: float, hour: int, excess: float) -> None:
        self._before_s = before_s
        self._hour = hour
        self._excess = excess

    def includes(self, at_s: float, size: int) -> bool:
        """Return whether to delete an entry; call once for each.

        Args:
            at_s: time of the entry (wall clock in seconds).
            size: in bytes.
        """
        of_the_hour = at_s // _HOUR_S == self._hour
        goes = at_s < self._before_s or (of_the_hour and self._excess > 0)
        if goes and of_the_hour:
            self._excess -= size
        return goes
