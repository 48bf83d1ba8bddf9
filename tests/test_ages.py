"""What has to go is the oldest, and no more than has to."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sharpend.commit.ages import Ages, Limits

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
NOW = 400 * DAY_S
THINGS = st.lists(st.tuples(st.floats(0, NOW), st.integers(0, 3_000_000)), max_size=30)


def left(things: list[tuple[float, int]], limits: Limits) -> list[tuple[float, int]]:
    """What stays of things with a time and a size."""
    ages = Ages()
    for thing in things:
        ages.add(*thing)
    surplus = ages.surplus(limits, NOW)
    return [thing for thing in things if surplus is None or not surplus.includes(*thing)]


def test_without_limits_everything_stays() -> None:
    """However old it is."""
    assert left([(0.0, 10**12)], Limits()) == [(0.0, 10**12)]
    assert Limits().keep_everything
    assert not Limits(days=1).keep_everything
    assert not Limits(megabytes=1).keep_everything


def test_nothing_makes_no_surplus() -> None:
    """An empty place has nothing to give."""
    assert Ages().surplus(Limits(1, 1), NOW) is None


def test_what_is_too_old_goes() -> None:
    """To the second."""
    things = [(NOW - DAY_S - 1, 1), (NOW - DAY_S, 1), (NOW, 1), (NOW + DAY_S, 1)]
    assert left(things, Limits(days=1)) == things[1:]


def test_of_too_much_the_oldest_goes() -> None:
    """Whole hours first, of the last hour only as much as it takes."""
    things = [(n * HOUR_S, 400_000) for n in range(5)]
    assert left(things, Limits(megabytes=1)) == things[3:]
    burst = [(NOW, 400_000)] * 5
    assert left(burst, Limits(megabytes=1)) == burst[:2]


@given(THINGS, st.floats(0, 20) | st.none(), st.floats(0.1, 400) | st.none())
def test_limits_are_kept(
    things: list[tuple[float, int]], megabytes: float | None, days: float | None
) -> None:
    """What stays fits, nothing that goes is an hour younger, and none goes that need not."""
    stays = left(things, Limits(days, megabytes))
    goes = list((Counter(things) - Counter(stays)).elements())  # two may be equal
    if days is not None:
        assert all(at_s >= NOW - days * DAY_S for at_s, _ in stays)
    if megabytes is not None:
        assert sum(size for _, size in stays) <= megabytes * 1e6
    oldest = min((at_s for at_s, _ in stays), default=NOW)
    assert all(at_s < oldest + HOUR_S for at_s, _ in goes)
    if days is None and goes:
        largest = max(size for _, size in goes)
        assert megabytes is not None
        assert sum(size for _, size in stays) + largest >= megabytes * 1e6
