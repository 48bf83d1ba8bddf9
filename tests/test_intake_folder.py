"""From what is in a folder to files that have settled."""

from __future__ import annotations

import errno
import logging
import os
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from watchdog.observers import Observer

from sharpend.files.fingerprint import Fingerprint
from sharpend.files.mounts import Mount
from sharpend.intake import folder, scan
from sharpend.intake.file_times import FileTimes
from sharpend.intake.folder import FolderIntake
from sharpend.intake.interface import FolderOptions, Step
from sharpend.intake.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sharpend.intake.tally import Found

DEADLINE_S = 120.0
"""Of real events; their threads may have to wait on a busy machine."""
NEVER_S = 1e9


class NoTimes(FileTimes):
    """Times of files that are never believed, so that files wait by the faked clock alone."""

    def look(self, now_s: float, wall_s: float) -> None:  # noqa: ARG002 - as given
        """Take the files for ones of the future."""
        super().look(now_s, 0.0)


class Daemon:
    """A folder with a faked clock and a ledger that remembers what it was given."""

    def __init__(self, options: FolderOptions) -> None:
        self.now_s = 1000.0
        self.woken = threading.Event()
        self.taken: list[Found] = []
        self.ledger: set[Found] = set()
        self.asked: list[int] = []
        self.pauses: list[str | None] = []
        self.objection: str | None = None
        self.patience = Patience()
        self.intake = FolderIntake(
            options,
            fresh=self.fresh,
            patience=self.patience,
            wake=self.woken.set,
            chance=random.Random(1),
            objection=lambda: self.objection,
        )

    def fresh(self, files: Sequence[Found]) -> Sequence[Found]:
        """Answer for the ledger."""
        self.asked.append(len(files))
        return [found for found in files if found not in self.ledger]

    @property
    def names(self) -> list[bytes]:
        """What was passed on so far."""
        return sorted(found.relative for found in self.taken)

    def step(self) -> Step:
        """Do one step and enter what settled."""
        self.woken.clear()
        step = self.intake.step(self.now_s)
        self.taken += step.settled
        self.ledger.update(step.settled)
        if self.pauses[-1:] != [step.paused]:
            self.pauses.append(step.paused)
        return step

    def run(self, seconds: float) -> Step:
        """Step as the folder asks for it, for some faked time."""
        end_s = self.now_s + seconds
        step = self.step()
        while step.next_s < end_s:
            self.now_s = step.next_s
            step = self.step()
        self.now_s = end_s
        return self.step()

    def hear(self) -> None:
        """Step, by a little faked time, until a real event has brought a candidate."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.run(0.2).settling == 0:
            assert time.monotonic() < deadline_s, "no event"
            self.woken.wait(0.1)

    def run_until(self, *expected: bytes) -> None:
        """Run, and wait for real events where there is nothing to do, until all are taken."""
        deadline_s = time.monotonic() + DEADLINE_S
        while missing := set(expected).difference(found.relative for found in self.taken):
            assert time.monotonic() < deadline_s, f"missing: {missing}"
            if self.run(3.0).settling == 0:
                self.woken.wait(0.1)


@contextmanager
def running(
    root: Path,
    *,
    polling: bool | None = False,
    settle_s: float | None = None,
    poll_s: float = 5.0,
    rescan_s: float = NEVER_S,
    believes: bool = False,
) -> Iterator[Daemon]:
    """By default only events bring anything after the first scan; no time of a file is believed."""
    daemon = Daemon(
        FolderOptions(
            os.fsencode(root),
            polling=polling,
            settle_s=settle_s,
            poll_s=poll_s,
            rescan_s=rescan_s,
        )
    )
    if not believes:
        daemon.intake._times = NoTimes()
    try:
        yield daemon
    finally:
        daemon.intake.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an empty input folder."""
    path = tmp_path / "in"
    path.mkdir()
    return path


def test_files_found_at_start_settle(root: Path) -> None:
    """A file that is there at the start is passed on once, and only after its wait."""
    (root / "a.png").touch()
    with running(root) as daemon:
        assert daemon.run(1.9).settling == 1
        assert daemon.names == []
        daemon.run(0.1)
        assert daemon.names == [b"a.png"]
        daemon.run(300.0)
        assert daemon.names == [b"a.png"]


@pytest.mark.parametrize(
    ("kind", "age_s", "settle_s", "at_once"),
    [
        ("ext4", 3600.0, None, True),
        ("ext4", 30.0, 20.0, True),
        ("ext4", 30.0, 40.0, False),
        ("ext4", 3600.0, 90.0, False),
        ("ext4", 2.5, None, False),
        ("ext4", -3600.0, None, False),
        ("nfs4", 3600.0, None, False),
        ("vfat", 3600.0, None, False),
        ("unknown", 3600.0, None, False),
    ],
)
def test_a_file_that_is_old_enough_needs_no_second_look(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    age_s: float,
    settle_s: float | None,
    at_once: bool,  # noqa: FBT001
) -> None:
    """A scan believes a time of change on a local disk, from the last minute and no later one."""
    (root / "a.png").touch()
    monkeypatch.setattr(folder, "mount_of", lambda _: Mount(b"/", kind))
    changed_s = (root / "a.png").stat().st_ctime
    monkeypatch.setattr(time, "time", lambda: changed_s + age_s)
    with running(root, settle_s=settle_s, polling=True, believes=True) as daemon:
        assert (daemon.step().settling == 0) is at_once
        assert (daemon.names == [b"a.png"]) is at_once


def test_a_clock_that_was_set_is_not_believed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that came before the clock was set looks old, and is looked at twice all the same."""
    real, ahead_s = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)
    with running(root, polling=True, poll_s=0.1, believes=True) as daemon:
        daemon.run(0.1)
        (root / "a.png").touch()
        ahead_s = 3600.0
        assert daemon.run(1.9).settling == 1
        assert daemon.names == []
        daemon.run(3.0)
        assert daemon.names == [b"a.png"]


def test_a_machine_that_has_just_started_believes_no_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a battery its clock is wrong until the network sets it."""
    (root / "a.png").touch()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600.0)
    with running(root, polling=True, believes=True) as daemon:
        daemon.now_s = 20.0
        assert daemon.step().settling == 1


def test_what_was_judged_too_early_is_looked_at_twice(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a mistake the longer wait is kept, whatever the file's time says."""
    (root / "a.png").touch()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600.0)
    with running(root, polling=True, believes=True) as daemon:
        judged = Fingerprint.of((root / "a.png").stat())
        daemon.patience.record(b"a.png", judged)
        daemon.run(3.9)
        assert daemon.names == []
        daemon.run(0.2)
        assert daemon.names == [b"a.png"]


def test_slow_writer_is_never_early(root: Path) -> None:
    """A file that keeps growing is not passed on before it has stopped, and then once."""
    with running(root) as daemon:
        daemon.run(10.0)
        with (root / "slow.png").open("wb", buffering=0) as file:
            daemon.hear()
            for _ in range(30):
                file.write(b"x" * 100)
                assert daemon.run(1.9).settled == []
        assert daemon.names == []
        daemon.run_until(b"slow.png")
        assert daemon.taken[0].fingerprint.size == 3000
        daemon.run(100.0)
        assert len(daemon.taken) == 1


def test_event_at_the_end_of_the_wait(root: Path) -> None:
    """A file whose wait ends in the very step in which an event names it is passed on once."""
    (root / "a.png").touch()
    with running(root) as daemon:
        daemon.run(1.9)
        daemon.intake.unsettle(b"a.png")
        daemon.now_s += 1.0
        assert [found.relative for found in daemon.step().settled] == [b"a.png"]
        daemon.run(100.0)
        assert len(daemon.taken) == 1


def test_closed_file_settles_sooner(root: Path) -> None:
    """After a close or a move one second is enough."""
    with running(root) as daemon:
        daemon.run(10.0)
        (root / "a.part").write_bytes(b"a")
        os.rename(root / "a.part", root / "a.png")
        daemon.hear()
        daemon.run(1.0)
        assert daemon.names == [b"a.png"]


@pytest.mark.parametrize("settle_s", [0.5, 8.0])
def test_configured_wait_counts_for_all(root: Path, settle_s: float) -> None:
    """A configured wait replaces every other."""
    (root / "a.png").touch()
    with running(root, settle_s=settle_s) as daemon:
        daemon.run(settle_s - 0.1)
        assert daemon.names == []
        daemon.run(0.1)
        assert daemon.names == [b"a.png"]


def test_network_file_system_is_polled_and_waits_longer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word from the user a network file system is polled, and files wait 5 s there."""
    monkeypatch.setattr(folder, "mount_of", lambda _: Mount(b"/", "nfs4"))
    with running(root, polling=None) as daemon:
        assert daemon.run(1.0).polling == "nfs4 does not report changes made by other machines"
        (root / "a.png").touch()
        daemon.run(5.0)
        assert daemon.names == []
        daemon.run(7.0)
        assert daemon.names == [b"a.png"]


def test_local_file_system_is_watched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word from the user a local file system is watched."""
    monkeypatch.setattr(folder, "mount_of", lambda _: Mount(b"/", "ext4"))
    with running(root, polling=None) as daemon:
        assert daemon.run(1.0).polling is None
        (root / "a.png").touch()
        daemon.run_until(b"a.png")


def test_renamed_in_from_outside(root: Path, tmp_path: Path) -> None:
    """A file that was written elsewhere and renamed in is taken, as soon as one that is closed."""
    (tmp_path / "a.png").touch()
    with running(root) as daemon:
        daemon.run(10.0)
        os.rename(tmp_path / "a.png", root / "a.png")
        daemon.hear()
        daemon.run(1.0)
        assert daemon.names == [b"a.png"]


def test_written_right_after_mkdir(root: Path) -> None:
    """Files written right after `mkdir -p` are taken, before any watch can be on the new tree."""
    with running(root) as daemon:
        daemon.run(10.0)
        os.makedirs(root / "a/b/c")
        (root / "a/b/c/x.png").touch()
        (root / "a/y.png").touch()
        daemon.run_until(b"a/b/c/x.png", b"a/y.png")


def test_tree_moved_in_and_added_to_later(root: Path, tmp_path: Path) -> None:
    """A tree that is moved in is taken, and so is what is written into it afterwards.

    watchdog 6.0 receives nothing of the latter: there the next scan finds it.
    """
    expected = []
    for number in range(20):
        os.makedirs(tmp_path / f"tree/{number}/deep")
        (tmp_path / f"tree/{number}/deep/x.png").touch()
        expected.append(b"tree/%d/deep/x.png" % number)
    with running(root, rescan_s=60.0) as daemon:
        daemon.run(10.0)
        os.rename(tmp_path / "tree", root / "tree")
        daemon.run_until(*expected)
        (root / "tree/7/deep/later.png").touch()
        daemon.run_until(b"tree/7/deep/later.png")
        assert len(daemon.taken) == 21


@pytest.mark.slow
def test_burst_is_found_whole(root: Path) -> None:
    """Of 5,000 files written at once every one is taken, each once, without a periodic scan."""
    with running(root) as daemon:
        daemon.run(10.0)
        for number in range(5000):
            (root / f"{number}.png").touch()
        daemon.run_until(*(b"%d.png" % number for number in range(5000)))
        assert len(daemon.taken) == 5000
        assert max(daemon.asked) <= 1000


def test_overflow_leads_to_a_scan(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an overflow the folder is scanned, though no event named the file."""
    monkeypatch.setattr("sharpend.intake.watch.Watch.mark", lambda *_, **__: None)
    with running(root) as daemon:
        daemon.run(10.0)
        (root / "unheard.png").touch()
        logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
        daemon.run(4.0)
        assert daemon.names == [b"unheard.png"]


def test_dead_watch_is_replaced(root: Path) -> None:
    """When a thread of the watch dies, a new watch and a scan take its place."""
    with running(root) as daemon:
        daemon.run(10.0)
        watch = daemon.intake._listener._watch
        assert watch is not None
        watch.stop()
        (root / "unheard.png").touch()
        daemon.run(4.0)
        assert daemon.names == [b"unheard.png"]
        (root / "heard.png").touch()
        daemon.run_until(b"heard.png")


def test_periodic_scan_finds_what_no_event_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan alone carries the promise: with a deaf watch all is found within one round."""
    monkeypatch.setattr("sharpend.intake.watch.Watch.mark", lambda *_, **__: None)
    with running(root, rescan_s=60.0) as daemon:
        daemon.run(10.0)
        (root / "a.png").touch()
        daemon.run(30.0)
        assert daemon.names == []
        daemon.run(50.0)
        assert daemon.names == [b"a.png"]


def test_polling_needs_no_watch(root: Path) -> None:
    """A polled folder is scanned every few seconds and starts no thread."""
    threads = set(threading.enumerate())
    with running(root, polling=True) as daemon:
        assert daemon.run(1.0).polling == "configured"
        (root / "a.png").touch()
        daemon.run(10.0)
        assert daemon.names == [b"a.png"]
        assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize(("rescan_s", "soonest_s", "latest_s"), [(NEVER_S, 75, 126), (40, 30, 51)])
def test_polling_takes_a_hundredth_of_the_time(
    root: Path, rescan_s: float, soonest_s: float, latest_s: float
) -> None:
    """After a look of one second the next but one waits a hundred, or as long as a watched one."""
    for number in range(1500):
        (root / f"{number}.txt").touch()
    with running(root, polling=True, settle_s=0.0, rescan_s=rescan_s) as daemon:
        while daemon.step().tally is None:
            daemon.now_s += 0.5
        daemon.run(8.0)  # the second look
        (root / "a.png").touch()
        daemon.run(soonest_s - 8.0)
        assert daemon.names == []
        daemon.run(latest_s - soonest_s + 8.0)
        assert daemon.names == [b"a.png"]


def test_inotify_limit_means_polling(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the kernel's limit the folder is polled and says which sysctl to raise."""

    def start(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Observer, "start", start)
    with running(root, rescan_s=60.0) as daemon:
        assert "fs.inotify.max_user_watches" in str(daemon.run(1.0).polling)
        (root / "a.png").touch()
        daemon.run(10.0)
        assert daemon.names == [b"a.png"]
        monkeypatch.undo()
        assert daemon.run(75.0).polling is None


def test_root_deleted_and_recreated(root: Path) -> None:
    """A root that is deleted and made again is paused and resumed, time after time."""
    with running(root) as daemon:
        daemon.run(5.0)
        for number in range(8):
            os.rename(root, root.with_name(f"away{number}"))
            assert daemon.run(2.5).paused is not None
            root.mkdir()
            (root / f"{number}.png").touch()
            daemon.run(5.0)
            assert b"%d.png" % number in daemon.names
            (root / f"{number}-later.png").touch()
            daemon.run_until(b"%d-later.png" % number)
        assert daemon.pauses == [None, *["the folder is gone", None] * 8]


def test_root_replaced_between_two_looks(root: Path) -> None:
    """A root that was exchanged unseen is paused once; candidates of the old one are dropped."""
    (root / "old.png").touch()
    with running(root) as daemon:
        assert daemon.run(0.5).settling == 1
        os.rename(root, root.with_name("away"))
        root.mkdir()
        (root / "new.png").touch()
        daemon.run(10.0)
        assert daemon.names == [b"new.png"]
        assert daemon.pauses == [None, "the folder was replaced", None]


def test_missing_root_is_waited_for(root: Path) -> None:
    """A folder that is not there at the start is taken in once it appears."""
    root.rmdir()
    with running(root) as daemon:
        assert daemon.run(5.0).paused == "the folder is gone"
        root.touch()
        assert daemon.run(5.0).paused == "the folder is gone"
        root.unlink()
        root.mkdir()
        (root / "a.png").touch()
        assert daemon.run(10.0).paused is None
        assert daemon.names == [b"a.png"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_unreadable_root_is_paused(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A root that cannot be read is paused with the kernel's words, and resumed."""

    def identity(_: bytes) -> tuple[int, int]:
        raise OSError(number, os.strerror(number))

    (root / "a.png").touch()
    with running(root) as daemon:
        daemon.run(1.0)
        with monkeypatch.context() as patch:
            patch.setattr(scan, "identity", identity)
            step = daemon.run(10.0)
            assert os.strerror(number) in str(step.paused)
        daemon.run(10.0)
        assert daemon.names == [b"a.png"]


def test_a_folder_that_is_objected_to_stays_paused(root: Path) -> None:
    """The empty directory under a lost mount is not taken for the folder."""
    with running(root) as daemon:
        daemon.run(1.0)
        daemon.objection = "it is not mounted"
        (root / "stray.png").touch()
        assert daemon.run(60.0).paused == "it is not mounted"
        root.joinpath("stray.png").unlink()
        daemon.objection = None
        assert daemon.run(5.0).paused is None
        assert daemon.names == []


def test_special_files_block_nothing(root: Path, tmp_path: Path) -> None:
    """A symlink and a FIFO are neither taken nor waited for, found by scan or by event."""
    (tmp_path / "secret.png").touch()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(root / "fifo.png")
    with running(root) as daemon:
        step = daemon.run(5.0)
        assert step.settling == 0
        os.mkfifo(root / "later.png")
        (root / "last.png").touch()
        daemon.run_until(b"last.png")
        assert daemon.names == [b"last.png"]


def test_odd_names_and_junk(root: Path) -> None:
    """Names that are not UTF-8 are taken, junk and unknown suffixes are not and are counted."""
    for name in (b"\xff.png", b"a\nb.jpg", b".x.png", b"x.png.part", b"x.cr3"):
        with open(os.path.join(os.fsencode(root), name), "wb"):
            pass
    with running(root) as daemon:
        tally = daemon.run(5.0).tally
        assert daemon.names == [b"a\nb.jpg", b"\xff.png"]
        assert tally is not None
        assert (tally.found, tally.ignored, tally.left_alone) == (2, 2, {".cr3": 1})


@pytest.mark.parametrize("name", ["~snapshot", "@Recently-Snapshot", "RECYCLER", "#recycle"])
def test_folders_of_systems_are_not_entered(root: Path, name: str) -> None:
    """A server's snapshots hold every image of the folder again."""
    (root / name).mkdir()
    (root / name / "a.png").touch()
    with running(root) as daemon:
        daemon.run(5.0)
        assert daemon.names == []


@pytest.mark.parametrize("mtime_s", [0, 4_000_000_000])
def test_modification_time_is_no_clock(root: Path, mtime_s: int) -> None:
    """A file from 1970 or from the future waits like any other."""
    (root / "a.png").touch()
    os.utime(root / "a.png", (mtime_s, mtime_s))
    with running(root) as daemon:
        daemon.run(1.9)
        assert daemon.names == []
        daemon.run(0.1)
        assert daemon.names == [b"a.png"]


def test_vanished_file_is_forgotten(root: Path) -> None:
    """A file that goes while it settles is neither taken nor waited for."""
    (root / "a.png").touch()
    with running(root) as daemon:
        assert daemon.run(1.0).settling == 1
        (root / "a.png").unlink()
        assert daemon.run(5.0).settling == 0
        assert daemon.names == []


def test_touching_a_taken_file_does_nothing(root: Path) -> None:
    """Changes of mode and rewrites of nothing lead to no second hand-over."""
    with running(root) as daemon:
        (root / "a.png").write_bytes(b"a")
        daemon.run_until(b"a.png")
        for mode in (0o600, 0o644) * 50:
            os.chmod(root / "a.png", mode)
        (root / "b.png").touch()
        daemon.run_until(b"b.png")
        assert len(daemon.taken) == 2


def test_unsettled_file_is_taken_again(root: Path) -> None:
    """A file that changed after it was passed on settles anew with what it is then."""
    (root / "a.png").touch()
    with running(root, polling=True) as daemon:
        daemon.run(3.0)
        (root / "a.png").write_bytes(b"more")
        daemon.intake.unsettle(b"a.png")
        assert daemon.run(1.0).settling == 1
        daemon.run(3.0)
        assert [found.fingerprint.size for found in daemon.taken] == [0, 4]


def test_known_files_are_not_waited_for(root: Path) -> None:
    """After a restart a file that the ledger knows is not even a candidate."""
    (root / "a.png").touch()
    with running(root) as first:
        first.run(5.0)
    with running(root) as second:
        second.ledger = first.ledger
        assert second.run(1.0).settling == 0
        second.run(10.0)
        assert second.taken == []


@pytest.mark.slow
def test_forty_thousand_files(root: Path) -> None:
    """40,000 files written in a burst beside the watch are all taken, each once."""
    with running(root, rescan_s=60.0) as daemon:
        daemon.run(10.0)
        for number in range(40_000):
            (root / f"{number}.png").touch()
        while len(daemon.taken) < 40_000:
            daemon.run(3.0)
        assert len(daemon.ledger) == len(daemon.taken) == 40_000
