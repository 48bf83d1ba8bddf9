"""When a file has stopped changing."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sharpend.files.fingerprint import Fingerprint
from sharpend.intake.settle_time import Settler

OLD = Fingerprint(size=1, mtime_ns=1, inode=1)
NEW = Fingerprint(size=2, mtime_ns=1, inode=1)


def test_two_equal_looks_apart_settle() -> None:
    """A file settles at the second look that is at least `wait_s` after the first."""
    settler = Settler()
    assert not settler.look(b"a", OLD, now_s=10.0, wait_s=2.0)
    assert not settler.look(b"a", OLD, now_s=11.9, wait_s=2.0)
    assert settler.look(b"a", OLD, now_s=12.0, wait_s=2.0)
    assert len(settler) == 0


def test_change_starts_the_wait_again() -> None:
    """A changed fingerprint starts the wait again, however often."""
    settler = Settler()
    for second in range(1000):
        grown = Fingerprint(size=second, mtime_ns=0, inode=0)
        assert not settler.look(b"a", grown, now_s=float(second), wait_s=2.0)
    last = Fingerprint(size=999, mtime_ns=0, inode=0)
    assert not settler.look(b"a", last, now_s=1000.9, wait_s=2.0)
    assert settler.look(b"a", last, now_s=1001.0, wait_s=2.0)


def test_touching_without_change_does_not_delay() -> None:
    """A thousand looks at an unchanged file neither delay it nor settle it twice."""
    settler = Settler()
    settled = [settler.look(b"a", OLD, now_s=look / 500, wait_s=2.0) for look in range(1001)]
    assert settled.index(True) == 1000


def test_shorter_wait_counts() -> None:
    """A close heard while waiting shortens the wait, and no later look lengthens it again."""
    settler = Settler()
    settler.look(b"a", OLD, now_s=0.0, wait_s=2.0)
    settler.look(b"a", OLD, now_s=0.1, wait_s=1.0)
    settler.look(b"a", OLD, now_s=0.2, wait_s=2.0)
    assert settler.next_due_s == 1.0
    assert settler.due(1.0, limit=10) == [b"a"]
    assert settler.look(b"a", OLD, now_s=1.0, wait_s=2.0)
    assert settler.due(math.inf, limit=10) == []


def test_change_forgets_the_shorter_wait() -> None:
    """After a change the file waits as long as the look that saw it asks for."""
    settler = Settler()
    settler.look(b"a", OLD, now_s=0.0, wait_s=1.0)
    settler.look(b"a", NEW, now_s=1.0, wait_s=2.0)
    assert not settler.look(b"a", NEW, now_s=2.0, wait_s=2.0)
    assert settler.look(b"a", NEW, now_s=3.0, wait_s=2.0)


def test_due_is_ordered_and_bounded() -> None:
    """Candidates come back in the order of their waits, at most `limit` at a time."""
    settler = Settler()
    for name, wait_s in ((b"c", 3.0), (b"a", 1.0), (b"b", 2.0), (b"z", 9.0)):
        settler.look(name, OLD, now_s=0.0, wait_s=wait_s)
    assert settler.due(5.0, limit=2) == [b"a", b"b"]
    assert settler.due(5.0, limit=2) == [b"c"]
    assert settler.next_due_s == 9.0


def test_forgotten_files_are_not_due() -> None:
    """A file that is gone is asked for no more."""
    settler = Settler()
    settler.look(b"a", OLD, now_s=0.0, wait_s=1.0)
    assert settler.waits(b"a", OLD)
    settler.forget(b"a")
    settler.forget(b"never seen")
    assert not settler.waits(b"a", OLD)
    assert settler.due(9.0, limit=10) == []
    assert settler.next_due_s == math.inf


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b"]),
            st.integers(0, 2),
            st.floats(0, 3),
            st.sampled_from([1.0, 2.0]),
        )
    )
)
def test_nothing_settles_early(looks: list[tuple[bytes, int, float, float]]) -> None:
    """Whatever the looks, a settled file showed one fingerprint for at least the shortest wait."""
    settler = Settler()
    now_s = 0.0
    since: dict[bytes, tuple[int, float]] = {}
    for name, size, pause_s, wait_s in looks:
        now_s += pause_s
        settled = settler.look(name, Fingerprint(size, 0, 0), now_s=now_s, wait_s=wait_s)
        before = since.get(name)
        if settled:
            assert before is not None
            assert before[0] == size
            assert now_s >= before[1] + 1.0
            del since[name]
        elif before is None or before[0] != size:
            since[name] = (size, now_s)
