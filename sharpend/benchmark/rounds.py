"""Rounds of a benchmark: all competitors work in turn, so that other load slows all equally."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FEWEST = 2
"""Least number of rounds, independent of time."""
BUDGET_S = 20.0
"""Seconds of work after which a competitor is left out of further rounds."""


def in_turn(
    competitors: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    budget_s: float = BUDGET_S,
    warms_up: bool = True,
) -> dict[str, list[float]]:
    """Measure seconds in rounds, after one that does not count.

    Args:
        competitors: functions that do the work once and return its seconds.
        rounds: how many; at least FEWEST.
        budget_s: seconds of work of one competitor after which it is left out.
        warms_up: False leaves that first round out, where all have worked before.

    Returns:
        The seconds of each competitor in its rounds, in order.
    """
    for work in competitors.values() if warms_up else ():
        work()
    found: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(max(rounds, FEWEST)):
        for name, work in competitors.items():
            if len(found[name]) < FEWEST or sum(found[name]) < budget_s:
                found[name].append(work())
    return found


def timed(
    work: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """Make a function that does the work and returns its seconds, by a clock."""

    def measured() -> float:
        started = clock()
        work()
        return clock() - started

    return measured
