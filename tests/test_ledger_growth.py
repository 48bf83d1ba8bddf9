"""A ledger of years stays as quick and as small as one of days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger

NOW = 1_000_000.0
ONE = Fingerprint(10, 20, 30)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger with one folder, `in`."""
    with open_ledger(tmp_path) as opened:
        opened.folder("in", b"/in", b"/out")
        yield opened


def fill(ledger: Ledger, count: int, state: str = "pending") -> None:
    """A queue of so many; retries among them are not due yet."""
    ledger.add("in", [(b"%d.png" % n, ONE) for n in range(count)], NOW)
    with ledger._store.transaction() as cursor:
        cursor.execute("UPDATE job SET state = ?, next_at = ? + id * 1e-6", (state, NOW + 9))


def steps(ledger: Ledger, ask: Callable[[], object]) -> int:
    """How many instructions of its machine SQLite takes for an answer, in tens."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    ledger._store._connection.set_progress_handler(count, 10)
    ask()
    ledger._store._connection.set_progress_handler(None, 0)
    return taken


@pytest.mark.parametrize("state", ["pending", "deferred"])
@pytest.mark.parametrize("newest", [(), ("in",)])
def test_the_length_of_the_queue_costs_nothing(
    ledger: Ledger, state: str, newest: tuple[str, ...]
) -> None:
    """A job is submitted, and the oldest known, without a look at all the others."""

    def ask() -> None:
        ledger.oldest_pending_at(["in"])
        ledger.counts()
        ledger.waiting(["in"])
        ledger.recover()
        ledger.claim(NOW, {"in"}, newest)

    fill(ledger, 10, state)
    few = steps(ledger, ask)
    fill(ledger, 5000, state)
    assert steps(ledger, ask) < 1.5 * few


def test_the_log_of_writes_does_not_grow_without_end(tmp_path: Path, ledger: Ledger) -> None:
    """However much is written, it is folded into the ledger again and again."""
    for number in range(300):
        ledger.add("in", [(b"%0200d" % n, ONE) for n in range(number * 30, number * 30 + 30)], NOW)
    written = (tmp_path / "ledger.db").stat().st_size
    assert (tmp_path / "ledger.db-wal").stat().st_size < 6e6 < written * 2
    assert ledger._store.rows("PRAGMA journal_size_limit")[0][0] == 1 << 26


def test_forgotten_rows_leave_their_space_to_new_ones(tmp_path: Path, ledger: Ledger) -> None:
    """The file grows to what it once had to hold, and no further."""

    def size_after(generation: int) -> int:
        names = [b"%d %0200d" % (generation, number) for number in range(1000)]
        ledger.add("in", [(name, ONE) for name in names], NOW)
        with ledger._store.transaction() as cursor:
            cursor.execute("UPDATE job SET state = 'vanished'")
        gone = [ended.job.id for ended in ledger.ended(State.VANISHED)]
        assert ledger.forget(gone) == 1000
        ledger._store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return (tmp_path / "ledger.db").stat().st_size

    first = size_after(0)
    assert max(size_after(generation) for generation in range(1, 4)) <= 1.1 * first


@pytest.mark.parametrize("state", State)
def test_only_what_is_at_its_end_is_forgotten(ledger: Ledger, state: State) -> None:
    """A row that somebody made pending again meanwhile stays, and so does one in work."""
    fill(ledger, 1, state)
    at_its_end = state in {State.DISPOSED, State.VANISHED, State.QUARANTINED}
    assert ledger.forget([1]) == at_its_end
    assert sum(ledger.counts().values()) == (not at_its_end)
