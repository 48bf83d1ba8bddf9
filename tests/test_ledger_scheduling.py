"""Nobody waits for ever: folders, old and new images, and retries have their turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger

NOW = 1_000_000.0
ONE = Fingerprint(10, 20, 30)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger with two folders."""
    with open_ledger(tmp_path) as opened:
        for name in ("in", "other"):
            opened.folder(name, b"/" + name.encode(), b"/out")
        yield opened


def taken(
    ledger: Ledger, now_s: float, count: int, newest: Collection[str] = (), folder: str = "in"
) -> list[bytes]:
    """The next jobs of one folder."""
    jobs = [ledger.claim(now_s, {folder}, newest) for _ in range(count)]
    return [job.relative for job in jobs if job is not None]


def test_the_newest_is_next_where_asked(ledger: Ledger) -> None:
    """What came in last is submitted first, and the backlog from its young end."""
    ledger.add("in", [(b"old", ONE)], NOW)
    ledger.add("in", [(b"a", ONE), (b"b", ONE)], NOW + 1)
    assert taken(ledger, NOW + 2, 1, {"in"}) == [b"b"]
    ledger.add("in", [(b"new", ONE)], NOW + 2)
    assert taken(ledger, NOW + 2, 9, {"in"}) == [b"new", b"a", b"old"]


def test_the_oldest_is_next_by_default(ledger: Ledger) -> None:
    """A file that vanished and came back has waited since it came back."""
    ledger.add("in", [(b"a", ONE), (b"b", ONE)], NOW)
    job = ledger.claim(NOW, {"in"})
    assert job is not None
    ledger.vanish(job)
    ledger.add("in", [(b"a", ONE)], NOW + 1)
    assert taken(ledger, NOW + 2, 9) == [b"b", b"a"]


def test_the_order_is_each_folders_own(ledger: Ledger) -> None:
    """One folder begins with the newest, the other goes on with the oldest."""
    for folder in ("in", "other"):
        ledger.add(folder, [(b"a", ONE), (b"b", ONE)], NOW)
    assert taken(ledger, NOW, 2, {"in"}) == [b"b", b"a"]
    assert taken(ledger, NOW, 2, {"in"}, folder="other") == [b"a", b"b"]


def test_a_backlog_elsewhere_delays_by_one_picture(ledger: Ledger) -> None:
    """A new image in one folder is next but one at most, however long the other's queue is."""
    ledger.add("in", [(b"%d" % n, ONE) for n in range(1000)], NOW)
    assert ledger.claim(NOW, {"in", "other"}) is not None
    ledger.add("other", [(b"new", ONE)], NOW + 1)
    jobs = [ledger.claim(NOW + 1, {"in", "other"}) for _ in range(2)]
    assert b"new" in [job.relative for job in jobs if job is not None]


def test_retries_and_new_jobs_take_turns(ledger: Ledger) -> None:
    """A flood of due retries does not starve what is new, nor the reverse."""
    ledger.add("in", [(b"r%d" % n, ONE) for n in range(5)], NOW)
    for _ in range(5):
        job = ledger.claim(NOW, {"in"})
        assert job is not None
        ledger.defer(job, NOW + 1, Reason.IO_ERROR)
    ledger.add("in", [(b"n%d" % n, ONE) for n in range(3)], NOW + 1)
    kinds = "".join(path[:1].decode() for path in taken(ledger, NOW + 2, 9))
    assert kinds == "rnrnrnrr"
