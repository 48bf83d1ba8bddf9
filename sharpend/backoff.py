"""Exponential backoff: waits that double with each failure, up to a limit.

Its users choose the waits: those between attempts at an image are in `daemon.attempts`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries, in seconds."""

    first_s: float
    longest_s: float

    def wait_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row, the first wait for one or none."""
        return min(self.longest_s, self.first_s * 2.0 ** max(0, min(failures - 1, 32)))
