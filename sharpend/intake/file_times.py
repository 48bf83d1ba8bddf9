"""Times of files: since when a file is unchanged, by its time of change (ctime).

Owns the conditions under which such a time is believed. The kernel sets it at each write, rename
and change of attributes, by the wall clock; nobody else can set it. Refuses to believe a time
in the future, one from before the wall clock was set, and one that is too long ago to be sure that
the clock was not set in between.
"""

from __future__ import annotations

from sharpend.intake.wall_clock import WallClock

GRAIN_S = 1.0
"""Resolution of times on the coarsest local file systems that are believed (ext3, HFS+)."""
LONGEST_S = 60.0
"""Seconds before the first look for which the clock is taken as not set."""
AFTER_BOOT_S = 600.0
"""Seconds after the machine's start in which it may set its clock: nothing is believed then."""
_TOLERANCE_S = 0.5


class FileTimes:
    """Times of the files of one folder; call `look` before each use."""

    def __init__(self) -> None:
        self._clock = WallClock(_TOLERANCE_S)
        self._now_s = self._wall_s = 0.0
        self._steady_s: float | None = None
        """Since when the wall clock was not set (monotonic)."""

    def look(self, now_s: float, wall_s: float) -> None:
        """Read both clocks.

        Args:
            now_s: monotonic seconds, which count from the machine's start.
            wall_s: wall clock in seconds.
        """
        if self._steady_s is None:
            self._steady_s = now_s - (LONGEST_S if now_s > AFTER_BOOT_S else 0.0)
        if self._clock.was_set(now_s, wall_s):
            self._steady_s = now_s
        self._now_s, self._wall_s = now_s, wall_s

    def unchanged_since_s(self, changed_s: float) -> float:
        """Return since when a file is surely unchanged (monotonic seconds); at most now.

        Args:
            changed_s: its time of change, wall clock in seconds.
        """
        steady_s = self._now_s if self._steady_s is None else self._steady_s
        age_s = self._wall_s - changed_s - GRAIN_S
        return min(self._now_s, max(self._now_s - age_s, steady_s))
