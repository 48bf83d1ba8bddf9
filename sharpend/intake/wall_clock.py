"""Comparison of the wall clock with the monotonic clock.

Owns the decision that somebody set the wall clock: ages that are computed from it are wrong then.
"""

from __future__ import annotations

CLOCK_SET_S = 60.0
"""Difference between wall clock and monotonic clock from which on the clock was set."""


class WallClock:
    """Observer of the wall clock; call `was_set` regularly.

    Args:
        tolerance_s: difference between the two clocks up to which the wall clock was not set.
    """

    def __init__(self, tolerance_s: float = CLOCK_SET_S) -> None:
        self._tolerance_s = tolerance_s
        self._offset_s: float | None = None

    def was_set(self, now_s: float, wall_s: float) -> bool:
        """Return whether the wall clock was set since the last call; False at the first.

        Args:
            now_s: monotonic seconds.
            wall_s: wall clock in seconds.
        """
        before_s, self._offset_s = self._offset_s, wall_s - now_s
        return before_s is not None and abs(self._offset_s - before_s) > self._tolerance_s
