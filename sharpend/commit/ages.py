"""Retention limits: choose what to delete by age and total size, the oldest first.

Owns the choice. Pure: times and sizes come in, verdicts come out. What there is is remembered by
the hour in which it came, so a million files take no more memory than their hours do.
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
    """How long, and how much, is kept; None is without end."""

    days: float | None = None
    megabytes: float | None = None

    @property
    def keep_everything(self) -> bool:
        """Nothing ever has to go."""
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
    """How many bytes came in each hour."""

    def __init__(self) -> None:
        self._bytes: Counter[int] = Counter()
        self._oldest_s = math.inf

    def add(self, at_s: float, size: int) -> None:
        """Count something that came at a time (wall clock)."""
        self._bytes[int(at_s // _HOUR_S)] += size
        self._oldest_s = min(self._oldest_s, at_s)

    def surplus(self, limits: Limits, now_s: float) -> Surplus | None:
        """What has to go now; None where all of it may stay."""
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
    """What has to go: all that is older than a time, and so many bytes of one hour."""

    def __init__(self, before_s: float, hour: int, excess: float) -> None:
        self._before_s = before_s
        self._hour = hour
        self._excess = excess

    def takes(self, at_s: float, size: int) -> bool:
        """Whether this one has to go; asked once of each."""
        of_the_hour = at_s // _HOUR_S == self._hour
        goes = at_s < self._before_s or (of_the_hour and self._excess > 0)
        if goes and of_the_hour:
            self._excess -= size
        return goes
