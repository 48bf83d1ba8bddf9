"""Copies of the ledger are whole, and one that is put back does nothing twice."""

from __future__ import annotations

import os
import shutil
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sharpend.errors import StateFaultError
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger import copies
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.ledger.schema import SCHEMA_VERSION
from sharpend.ledger.store import DamagedError
from tests.fakes import Shop
from tests.older_ledgers import older_ledger

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_000_000.0
ONE = Fingerprint(10, 20, 30)


def always() -> bool:
    """Go on."""
    return True


def inputs_of(copy: Path, aside: Path) -> int:
    """How many jobs a copy knows, opened as a ledger somewhere else."""
    aside.mkdir(exist_ok=True)
    shutil.copy(copy, aside / "ledger.db")
    with LedgerReader.read_only(aside) as reader:
        return sum(reader.counts().values())


def test_backups_move_on(tmp_path: Path) -> None:
    """The newest is the first, and there are no more than were asked for."""
    state = tmp_path / "state"
    with open_ledger(state) as ledger:
        ledger.folder("in", b"/in", b"/out")
        assert copies.kept_at(state) is None
        for number in range(1, 4):
            ledger.add("in", [(b"%d" % number, ONE)], NOW)
            assert copies.keep(state, 2, always) == state / "ledger.db.backup-1"
        found = sorted(path.name for path in state.glob("*backup*"))
    assert found == ["ledger.db.backup-1", "ledger.db.backup-2"]
    assert [inputs_of(state / name, tmp_path / name) for name in found] == [3, 2]
    assert copies.kept_at(state) is not None
    assert copies.newest(state) == state / "ledger.db.backup-1"


def test_a_backup_is_of_one_moment(tmp_path: Path) -> None:
    """Writes in the middle of it neither enter it nor make it begin again; it is whole."""
    with open_ledger(tmp_path) as ledger:
        ledger.folder("in", b"/in", b"/out")
        ledger.add("in", [(b"%0200d" % n, ONE) for n in range(6000)], NOW)
        asked = 0

        def meanwhile() -> bool:
            nonlocal asked
            asked += 1
            ledger.add("in", [(b"late %d" % asked, ONE)], NOW)
            return True

        copy = copies.keep(tmp_path, 1, meanwhile)
        assert 2 <= asked < 100
        assert inputs_of(copy, tmp_path / "aside") == 6000
    assert [path.name for path in tmp_path.glob("*.tmp*")] == []


def test_an_abandoned_backup_leaves_nothing(tmp_path: Path) -> None:
    """A daemon that stops does not wait for it; the last one stays."""
    with open_ledger(tmp_path):
        copies.keep(tmp_path, 2, always)
        before = sorted(tmp_path.iterdir())
        with pytest.raises(AbandonedError):
            copies.keep(tmp_path, 2, lambda: False)
        assert sorted(tmp_path.iterdir()) == before


def test_what_a_killed_backup_left_is_no_hindrance(tmp_path: Path) -> None:
    """Half a copy and its journal: the next one removes them and is whole."""
    with open_ledger(tmp_path) as ledger:
        ledger.folder("in", b"/in", b"/out")
        ledger.add("in", [(b"a", ONE)], NOW)
        for suffix in ("", "-journal", "-wal"):
            (tmp_path / f"ledger.db.copy.tmp{suffix}").write_bytes(b"half" * 3000)
        assert inputs_of(copies.keep(tmp_path, 2, always), tmp_path / "aside") == 1
        assert list(tmp_path.glob("*.tmp*")) == []


def test_a_damaged_ledger_replaces_no_backup(tmp_path: Path) -> None:
    """What is copied is looked at before the older copies move on."""
    with open_ledger(tmp_path) as ledger:
        ledger.folder("in", b"/in", b"/out")
        ledger.add("in", [(b"%0200d" % n, ONE) for n in range(500)], NOW)
    sound = copies.keep(tmp_path, 2, always).read_bytes()
    path = tmp_path / "ledger.db"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(40_000) + content[48_192:])
    with pytest.raises(DamagedError):
        copies.keep(tmp_path, 2, always)
    assert [p.read_bytes() == sound for p in tmp_path.glob("*backup*")] == [True]


def test_a_damaged_ledger_is_reported_with_its_backup(tmp_path: Path) -> None:
    """Who opens what is left knows where both are."""
    with open_ledger(tmp_path):
        copies.keep(tmp_path, 1, always)
    (tmp_path / "ledger.db").write_bytes(b"no ledger at all" * 100)
    with open_ledger(tmp_path) as ledger:
        assert ledger.rebuilt
        assert ledger.recovery_paths == {
            "moved_aside": tmp_path / "ledger.db.corrupt-1",
            "newest_backup": tmp_path / "ledger.db.backup-1",
        }


def test_a_state_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A backup that has no place is a fault of the state, in our own words."""
    with open_ledger(tmp_path):
        (tmp_path / "ledger.db.copy.tmp").mkdir()
        with pytest.raises(StateFaultError):
            copies.keep(tmp_path, 2, always)


def test_a_backup_does_not_take_the_last_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where little more than a copy would fit, the ledger keeps it; an older backup stays."""
    with open_ledger(tmp_path):
        copies.keep(tmp_path, 2, always)
        size = (tmp_path / "ledger.db").stat().st_size
        disk = SimpleNamespace(f_bavail=2 * size - 1, f_frsize=1)
        monkeypatch.setattr(os, "statvfs", lambda _: disk)
        with pytest.raises(StateFaultError, match=r"backup needs .* MB of free space"):
            copies.keep(tmp_path, 2, always)
        disk.f_bavail += 1
        copies.keep(tmp_path, 2, always)
    assert len(list(tmp_path.glob("*backup*"))) == 2


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_ledger_is_copied_before_it_is_upgraded(tmp_path: Path, version: int) -> None:
    """Of every version: the upgrade keeps its rows, and the copy is what there was."""
    connection = older_ledger(tmp_path, version)
    connection.execute(
        "INSERT INTO job (folder, relative, mark, state, added_at)"
        " VALUES (1, x'61', '10:20:30', 'pending', 5.0)"
    )
    connection.commit()
    connection.close()
    for _ in range(2):
        with open_ledger(tmp_path) as ledger:
            assert not ledger.rebuilt
            assert ledger.counts()[State.PENDING] == 1
            assert ledger.oldest_pending_at(["in"]) == 5.0
    (copy,) = tmp_path.glob("ledger.db.schema-*")
    assert copy.name == f"ledger.db.schema-{version}"
    kept = sqlite3.connect(copy)
    assert kept.execute("PRAGMA user_version").fetchone() == (version,)
    assert kept.execute("SELECT count(*) FROM job").fetchone() == (1,)
    kept.close()


def test_a_copy_in_the_ledgers_place_does_nothing_twice(tmp_path: Path) -> None:
    """Images that were finished since the copy are adopted as they stand, in its one name."""
    shop = Shop(tmp_path)
    for name in ("before.png", "queued.png"):
        shop.take(name, content=b"blurred before")
    shop.pool.stage()
    shop.conclude()
    backup = copies.keep(tmp_path / "state", 1, always)
    shop.settle()
    shop.pool.stage()
    shop.take("after.png", content=b"blurred after")
    shop.pool.stage()
    shop.conclude()
    made = ["after.png", "before.png", "queued.png"]
    assert shop.made() == made
    for name in made:  # as the real worker does
        times = (tmp_path / "in" / name).stat()
        shutil.copystat(tmp_path / "in" / name, tmp_path / "in-out" / name)
        assert (tmp_path / "in-out" / name).stat().st_mtime_ns == times.st_mtime_ns
    shop.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"state/ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, tmp_path / "state/ledger.db")
    shop.start()
    assert shop.ledger.rebuilt
    shop.settle()
    assert shop.pool.tasks == []
    assert shop.count(State.DISPOSED) == 3
    shop.close()
    shop.start()
    assert not shop.ledger.rebuilt
    shop.close()
    assert shop.made() == made
