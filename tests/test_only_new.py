"""`only_new`: what is in a folder at its first start stays as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.daemon.only_new import CLOCK_GRAIN_S
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from tests.fakes import Shop

if TYPE_CHECKING:
    from pathlib import Path


def await_tick(folder: Path) -> None:
    """Wait until the file system's clock is surely past the files that were just made."""
    probe = folder / "probe"
    probe.touch()
    begun = probe.stat().st_ctime
    while probe.stat().st_ctime - begun <= 2 * CLOCK_GRAIN_S:
        probe.touch()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A folder with two old images, one of them in a sub-folder, before its first start."""
    for name in ("old.jpg", "sub/old.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
    await_tick(tmp_path)
    shop = Shop(tmp_path, only_new=True)
    shop.settle()
    return shop


def in_work(shop: Shop) -> list[bytes]:
    """The inputs that reached a worker, after some turns."""
    shop.settle()
    done = []
    while shop.pool.tasks:
        done.append(shop.pool.tasks[0].relative)
        shop.pool.stage()
        shop.settle()
    return sorted(done)


def test_what_is_there_at_the_first_start_stays(shop: Shop) -> None:
    """It is counted once in the log, is no job, and later arrivals are done."""
    assert in_work(shop) == []
    assert shop.log.of(Event.FOLDER_SURVEYED) == [{"folder": "in", "left": 2}]
    shop.drop("new.jpg")
    assert in_work(shop) == [b"new.jpg"]
    assert sum(shop.ledger.counts().values()) == shop.count(State.DISPOSED) == 1
    shop.close()


def test_a_changed_image_is_new(shop: Shop) -> None:
    """Another size or time is another image."""
    (shop.home / "in/old.jpg").write_bytes(b"changed")
    os.utime(shop.home / "in/sub/old.jpg", (1, 1))
    shop.reload()
    assert in_work(shop) == [b"old.jpg", b"sub/old.jpg"]
    shop.close()


def test_restart_reload_permissions_and_new_inodes_do_not_matter(shop: Shop) -> None:
    """Only contents and times of modification count, and the number is said once."""
    for path in (shop.home / "in/old.jpg", shop.home / "in/sub/old.jpg"):
        before = path.stat()
        copy = path.with_name("copy.tmp")
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
        copy.rename(path)
        path.chmod(0o600)
        assert path.stat().st_ino != before.st_ino
    shop.reload()
    assert in_work(shop) == []
    shop.stop()
    shop.close()
    shop.start()
    assert in_work(shop) == []
    assert len(shop.log.of(Event.FOLDER_SURVEYED)) == 1
    shop.close()


def test_an_old_folder_that_is_moved_in_later_is_new(shop: Shop) -> None:
    """After the first scan the time of a change (ctime) does not matter any more."""
    apart = shop.home / "apart"
    apart.mkdir()
    (apart / "a.jpg").write_bytes(b"as old")
    apart.rename(shop.home / "in/apart")
    shop.reload()
    assert in_work(shop) == [b"apart/a.jpg"]
    shop.close()


def test_a_first_start_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    """What comes after its beginning is new, though the first scan had not ended."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/old.jpg").write_bytes(b"old")
    await_tick(tmp_path)
    shop = Shop(tmp_path, only_new=True)
    shop.close()
    (tmp_path / "in/new.jpg").write_bytes(b"new")
    os.utime(tmp_path / "in/new.jpg", (1, 1))
    shop.start()
    assert in_work(shop) == [b"new.jpg"]
    assert shop.log.of(Event.FOLDER_SURVEYED) == [{"folder": "in", "left": 1}]
    shop.close()


def test_switched_off_all_is_done(shop: Shop) -> None:
    """The record is forgotten with the key."""
    shop.reload(only_new=False)
    assert in_work(shop) == [b"old.jpg", b"sub/old.jpg"]
    assert shop.ledger.skipped("in") == 0
    shop.close()


def test_single_images_are_no_first_start(tmp_path: Path) -> None:
    """Images that are named are done, and the first start of the whole folder is still to come."""
    (tmp_path / "in").mkdir()
    for name in ("named.jpg", "old.jpg"):
        (tmp_path / "in" / name).write_bytes(b"old")
    await_tick(tmp_path)
    shop = Shop(tmp_path, only_new=True)
    shop.close()
    shop.intake["only"] = (b"named.jpg",)
    shop.start()
    assert in_work(shop) == [b"named.jpg"]
    assert not shop.log.of(Event.FOLDER_SURVEYED)
    shop.close()
    shop.intake.clear()
    shop.start()
    assert in_work(shop) == []
    assert shop.log.of(Event.FOLDER_SURVEYED) == [{"folder": "in", "left": 1}]
    shop.close()


def test_dry_run_and_status_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first start all is left, afterwards what is recorded."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/old.jpg").write_bytes(b"old")
    await_tick(tmp_path)
    config = tmp_path / "c.toml"
    config.write_text('[[folder]]\ninput = "in"\noutput = "in-out"\nonly_new = true\n')
    where = ["--config", str(config), "--state", str(tmp_path / "state")]
    main(["once", *where, "--dry-run"])
    assert "old.jpg: is left as it is: only_new" in capsys.readouterr().out
    shop = Shop(tmp_path, only_new=True)
    shop.settle()
    (tmp_path / "in/new.jpg").write_bytes(b"new")
    shop.close()
    main(["once", *where, "--dry-run"])
    told = capsys.readouterr().out
    assert "old.jpg: is left as it is: only_new" in told
    assert "new.jpg: would be" in told
    main(["status", *where])
    assert "in: 1 images are skipped" in capsys.readouterr().out
