"""How long a file must stay unchanged after it was judged too early."""

from __future__ import annotations

import pytest

from sharpend.files.fingerprint import Fingerprint
from sharpend.intake.patience import LONGEST_WAIT_S, MOST_FILES, Patience


def grown(size: int, inode: int = 1) -> Fingerprint:
    """The file when it had so many bytes."""
    return Fingerprint(size, 0, inode)


def test_each_mistake_doubles_the_wait_up_to_a_limit() -> None:
    """A file that changed after each judgement waits 2, 4, 8 times as long, at most two minutes."""
    patience = Patience()
    waits = []
    for size in range(8):
        patience.record(b"a", grown(size))
        waits.append(patience.wait_s(b"a", grown(size + 1), 2.0))
    assert waits == [4.0, 8.0, 16.0, 32.0, 64.0, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert patience.wait_s(b"b", grown(1), 2.0) == 2.0


def test_one_judgement_counts_once() -> None:
    """The same content refused again, by `retry`, is no further mistake."""
    patience = Patience()
    for _ in range(5):
        patience.record(b"a", grown(1))
    assert patience.wait_s(b"a", grown(2), 1.0) == 2.0


def test_another_file_under_the_name_waits_as_usual() -> None:
    """A file that was replaced, and not written further, begins anew."""
    patience = Patience()
    patience.record(b"a", grown(1))
    assert patience.wait_s(b"a", grown(9, inode=2), 1.0) == 1.0
    patience.record(b"a", grown(9, inode=2))
    assert patience.wait_s(b"a", grown(10, inode=2), 1.0) == 2.0


def test_a_finished_file_waits_as_usual() -> None:
    """Its output is made: what is written to it later is another matter."""
    patience = Patience()
    patience.record(b"a", grown(1))
    patience.forget(b"a")
    assert patience.wait_s(b"a", grown(2), 1.0) == 1.0


@pytest.mark.parametrize(("usual_s", "wait_s"), [(0.0, 0.0), (500.0, 500.0)])
def test_the_owners_wait_is_respected(usual_s: float, wait_s: float) -> None:
    """`settle_s = 0` means at once, and one above the limit is not shortened."""
    patience = Patience()
    patience.record(b"a", grown(1))
    assert patience.wait_s(b"a", grown(2), usual_s) == wait_s


def test_memory_is_bounded() -> None:
    """Of very many files the latest are remembered."""
    patience = Patience()
    for number in range(MOST_FILES + 1):
        patience.record(b"%d" % number, grown(1))
    assert patience.wait_s(b"0", grown(2), 1.0) == 1.0
    assert patience.wait_s(b"1", grown(2), 1.0) == 2.0
