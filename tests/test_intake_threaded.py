"""A folder whose file system hangs stalls itself, and nothing else."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sharpend.commit.destination import Destination
from sharpend.commit.local_place import LocalPlace
from sharpend.daemon import roots
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.daemon.roots import prepare_roots
from sharpend.files.mounts import Mount
from sharpend.intake import scan
from sharpend.intake.interface import FolderOptions, Step
from sharpend.intake.patience import Patience
from sharpend.intake.threaded import PATIENCE_S, ThreadedIntake
from sharpend.ledger.opening import open_ledger
from sharpend.task import Options
from tests.conftest import drop
from tests.daemons import configured, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sharpend.intake.tally import Found
    from tests.conftest import Networks

WITHIN_S = 120.0


class Loop:
    """A caller that turns when it is woken, by a clock of its own; nothing makes it wait."""

    def __init__(self, root: Path) -> None:
        self.now_s = 0.0
        self.taken: list[bytes] = []
        self.asked_in: set[str] = set()
        self.fails = False
        self._woken = threading.Semaphore(0)
        intake = LocalPlace().intake(
            FolderOptions(os.fsencode(root), settle_s=0.0, polling=True, poll_s=0.1, threaded=True),
            self._fresh,
            Patience(),
            wake=self._woken.release,
            chance=random.Random(0),
        )
        assert isinstance(intake, ThreadedIntake)
        self.intake = intake

    def _fresh(self, found: Sequence[Found]) -> list[Found]:
        self.asked_in.add(threading.current_thread().name)
        if self.fails:
            raise OSError("the ledger cannot be read")
        return [one for one in found if one.relative not in self.taken]

    def turn(self, after_s: float = 1.0) -> Step:
        """One step, some time later."""
        self.now_s += after_s
        step = self.intake.step(self.now_s)
        self.taken += [found.relative for found in step.settled]
        return step

    def until(self, wanted: bytes) -> None:
        """Turn whenever something ended, until a file was taken."""
        deadline_s = time.monotonic() + WITHIN_S
        while wanted not in self.taken:
            assert time.monotonic() < deadline_s
            self.turn()
            self._woken.acquire(timeout=0.1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder, with one image."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"a")
    return tmp_path / "in"


@pytest.fixture
def loop(root: Path) -> Iterator[Loop]:
    """Its caller."""
    made = Loop(root)
    yield made
    made.intake.close()


def test_what_settles_is_passed_on(loop: Loop, root: Path) -> None:
    """Files come out as from any folder, once each; the ledger is asked in the caller's thread."""
    loop.until(b"a.png")
    (root / "b.png").write_bytes(b"b")
    loop.until(b"b.png")
    assert loop.taken == [b"a.png", b"b.png"]
    assert loop.asked_in == {threading.current_thread().name}
    loop.taken.clear()
    loop.intake.unsettle(b"a.png")
    loop.until(b"a.png")
    loop.taken.clear()
    loop.intake.restart()
    loop.until(b"b.png")


def test_polls_without_news_share_their_turns(loop: Loop) -> None:
    """A step without news is begun and returned at common times, and wakes nobody."""
    loop.until(b"a.png")
    quiet = 0
    while quiet < 3:
        if not loop.turn().settling:  # not due yet
            continue
        if loop._woken.acquire(timeout=0.3):  # by what the file left to tell
            loop.turn()
            continue
        if loop.turn(0.25).next_s % 0.25:  # it had news, after a long time
            assert loop._woken.acquire(timeout=WITHIN_S)
            continue
        quiet += 1


def test_a_folder_that_hangs_is_paused(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step waits for the file system; after some patience the folder is paused meanwhile."""
    answers = threading.Event()
    real = scan.identity

    def hanging(path: bytes) -> tuple[int, int]:
        assert answers.wait(WITHIN_S)
        return real(path)

    monkeypatch.setattr(scan, "identity", hanging)
    began_s = time.monotonic()
    assert loop.turn().paused is None
    assert loop.turn(PATIENCE_S / 2).paused is None
    hung = loop.turn(PATIENCE_S / 2)
    assert (hung.paused, hung.settled) == ("the file system does not respond", [])
    assert hung.settling
    assert time.monotonic() - began_s < WITHIN_S / 2
    answers.set()
    loop.until(b"a.png")
    assert loop.turn().paused is None


def test_a_question_that_fails_is_asked_again(loop: Loop) -> None:
    """A ledger that cannot be read is the caller's matter; the step goes on when it can."""
    loop.fails = True
    with pytest.raises(OSError, match="the ledger"):
        loop.until(b"a.png")
    with pytest.raises(OSError, match="the ledger"):
        loop.turn()
    loop.fails = False
    loop.until(b"a.png")


def test_a_bug_is_not_swallowed(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the thread raises is raised in the caller's."""

    def broken(_: bytes) -> tuple[int, int]:
        raise ZeroDivisionError

    monkeypatch.setattr(scan, "identity", broken)
    with pytest.raises(ZeroDivisionError):
        loop.until(b"a.png")


def test_the_end_of_one_step_begins_no_other(loop: Loop) -> None:
    """A step begins when it is due: folders that woke each other's would never come to rest."""
    loop.until(b"a.png")
    loop.turn()
    deadline_s = time.monotonic() + WITHIN_S
    while (step := loop.turn(0.0)).next_s <= loop.now_s or step.settling:  # time does not advance
        assert time.monotonic() < deadline_s
    for _ in range(20):
        rest = loop.turn(0.0)
        assert (rest.next_s, rest.settled, rest.settling) == (step.next_s, [], 0)
    assert loop.intake._orders.empty()
    assert loop.turn(step.next_s - loop.now_s).settling  # now one is due


@pytest.mark.parametrize("asked", ["unsettle", "restart"])
def test_what_is_asked_for_meanwhile_is_still_to_come(loop: Loop, asked: str) -> None:
    """The end of a step that was begun before does not say that all was passed on."""
    loop.until(b"a.png")
    while loop.intake._began_s is None:
        loop.turn()
    loop.taken.clear()
    if asked == "unsettle":
        loop.intake.unsettle(b"a.png")
    else:
        loop.intake.restart()
    step = loop.turn(0.0)
    while loop.intake._began_s is not None:
        step = loop.turn(0.0)
    assert step.settling
    assert step.next_s <= loop.now_s
    loop.until(b"a.png")


@pytest.mark.parametrize("asking", [False, True])
def test_a_closed_folder_leaves_no_thread(root: Path, *, asking: bool) -> None:
    """The thread ends, in the middle of a question too."""
    before = threading.active_count()
    loop = Loop(root)
    loop.turn()
    if asking:
        assert loop._woken.acquire(timeout=WITHIN_S)
    loop.intake.close()
    deadline_s = time.monotonic() + WITHIN_S
    while threading.active_count() > before:
        assert time.monotonic() < deadline_s


@pytest.mark.parametrize(("kind", "apart"), [("ext4", False), ("nfs4", True), ("fuse.x", True)])
def test_the_file_system_decides(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, apart: bool
) -> None:
    """A folder on a network share is scanned by a thread of its own, unless set otherwise."""
    monkeypatch.setattr(roots, "mount_of", lambda _: Mount(b"/", kind))
    way_out = Destination("in", os.fsencode(root), os.fsencode(tmp_path / "out"))
    ledger = open_ledger(tmp_path / "state")
    for asked, expected in ((None, apart), (True, True), (False, False)):
        options = FolderOptions(os.fsencode(root), threaded=asked)
        plan = prepare_roots(FolderPlan(way_out, options, Options("lite")), ledger)
        assert plan.intake.threaded is expected
    ledger.close()


@contextmanager
def hung(path: Path) -> Iterator[None]:
    """A file system over a folder that answers nothing, not even at its mounting."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("no FUSE on this machine")
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    if libc.mount(b"hung", os.fsencode(path), b"fuse", 0, options):
        os.close(device)
        pytest.skip("not permitted to mount a file system")
    try:
        yield
    finally:
        os.close(device)
        subprocess.run([shutil.which("umount") or "umount", "-l", str(path)], check=True)


@pytest.mark.slow
def test_a_hung_mount_stalls_its_folder_alone(networks: Networks, tmp_path: Path) -> None:
    """While a mount does not answer, other folders, reports and a stop go on; then it does, too."""
    folders: list[dict[str, object]] = [
        {"input": tmp_path / name, "output": tmp_path / f"{name}-out", "settle_s": 0.1, **more}
        for name, more in (("remote", {"polling": True, "poll_s": 0.5}), ("local", {}))
    ]
    config = configured(tmp_path, networks.student, *folders)
    drop(tmp_path / "remote", "before.png")
    (tmp_path / "local").mkdir()
    with running("--config", config) as daemon:
        daemon.wait_for("image.finished", path="before.png")
        with hung(tmp_path / "remote"):
            paused = daemon.wait_for("folder.paused", folder="remote")
            assert paused["reason"] == "the file system does not respond"
            for seed in range(3):
                drop(tmp_path / "local", f"{seed}.png", seed=seed)
                daemon.wait_for("image.finished", folder="local", path=f"{seed}.png")
            assert list(daemon.wait_for("report.published", health="degraded")["paused"]) == [
                "remote"
            ]
        daemon.wait_for("folder.resumed", folder="remote")
        drop(tmp_path / "remote", "after.png")
        daemon.wait_for("image.finished", path="after.png")
        with hung(tmp_path / "remote"):
            daemon.wait_for("report.published")
            daemon.wait_for("report.published", images_total=5)
            assert daemon.stop() == 0
