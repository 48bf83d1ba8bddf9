"""Real daemons on real folders: every file exactly once, through replacements, kills and restarts.

The tests of this module share one daemon, each with files of its own; the last ones end it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.imaging.files import load_rgb
from sharpend.ledger.reader import LedgerReader
from tests.conftest import drop
from tests.daemons import Daemon, running, temps, toml, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks

SETTLE_S = 0.4
"""Of the second folder, whose writer pauses; files of the first one settle at once."""


@dataclass
class World:
    """A configuration with two folders, and the daemon that works on them at the moment."""

    base: Path
    config: Path
    stack: ExitStack
    daemon: Daemon

    @property
    def inbox(self) -> Path:
        """The first input folder."""
        return self.base / "inbox"

    @property
    def outbox(self) -> Path:
        """Where its images go."""
        return self.base / "outbox"

    def start(self) -> Daemon:
        """Start a daemon in the place of the one before."""
        self.daemon = self.stack.enter_context(running("--config", self.config))
        self.daemon.wait_for("daemon.ready")
        return self.daemon

    def states(self) -> dict[str, int]:
        """The ledger's counts, those that are not 0."""
        with LedgerReader.read_only(self.base / "state") as ledger:
            return {state.value: count for state, count in ledger.counts().items() if count}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, networks: Networks) -> Iterator[World]:
    """One daemon for the module; images were in its folders before it started."""
    base = tmp_path_factory.mktemp("world")
    folders = [
        {"input": base / "inbox", "output": base / "outbox", "settle_s": 0.1},
        {"input": base / "second", "output": base / "second-out", "settle_s": SETTLE_S},
    ]
    settings: dict[str, dict[str, object]] = {
        "model": {"name": networks.student, "device": "cpu", "precision": "float32"},
        "workers": {"count": 1},
        "retry": {"first_s": 0.1},
        "agreement": {"sample": 0},
        "log": {"level": "debug"},
    }
    config = base / "sharpend.toml"
    config.write_text(toml(base / "state", settings, *folders))
    drop(base / "inbox", "early.png")
    drop(base / "inbox" / "deep" / "down", "early.png", seed=1)
    drop(base / "second", "early.png", seed=2)
    with ExitStack() as stack:
        daemon = stack.enter_context(running("--config", config))
        daemon.wait_for("daemon.ready")
        yield World(base, config, stack, daemon)


def marks(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of every file below some folders: another output would have others."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def finished(daemon: Daemon, path: str) -> Any:  # noqa: ANN401 - JSON
    """The event of an image's end."""
    return daemon.wait_for("image.finished", path=path)


def test_what_lay_there_is_done(world: World) -> None:
    """Files in any folder, at any depth, from before the daemon's start are sharpened."""
    places = [("inbox", "early.png"), ("inbox", "deep/down/early.png"), ("second", "early.png")]
    for folder, path in places:
        world.daemon.wait_for("image.finished", folder=folder, path=path)
        output = world.outbox if folder == "inbox" else world.base / "second-out"
        assert load_rgb(output / path).shape == (48, 64, 3)


def test_a_slow_copy_is_taken_once_and_whole(world: World) -> None:
    """A writer that pauses for less than `settle_s` is not interrupted.

    One that a busy machine holds up for longer shows nothing, and another one writes.
    """
    content = drop(world.base, "ready.png", seed=3).read_bytes()
    for name in map("slow-{}.png".format, count()):
        longest_s = write_slowly(world.base / "second" / name, content)
        finished(world.daemon, name)
        if longest_s < SETTLE_S:
            assert len(world.daemon.events("file.settled", path=name)) == 1
            break


def write_slowly(path: Path, content: bytes) -> float:
    """Write in four parts with pauses; return the longest time from one change to the next."""
    longest_s, last_s, pause = 0.0, time.monotonic(), threading.Event()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), len(content) // 4 + 1):
            file.write(content[start : start + len(content) // 4 + 1])
            now_s = time.monotonic()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
            pause.wait(SETTLE_S / 2)
    return longest_s


def test_names_are_bytes(world: World) -> None:
    """Files renamed in from elsewhere are sharpened whatever their names are."""
    names = [b"with a space.png", b"with\na newline.png", b"-rf.png", b"caf\xe9.png", b"'$(x).png"]
    for seed, name in enumerate(names):
        staged = drop(world.base, "staged.png", seed=40 + seed)
        os.rename(staged, os.path.join(os.fsencode(world.inbox), name))
    for name in names:
        finished(world.daemon, os.fsdecode(name))
        assert os.path.exists(os.path.join(os.fsencode(world.outbox), name))


def test_new_directories_are_seen_into(world: World) -> None:
    """A file written right after `mkdir -p` and a tree that is moved in are found."""
    drop(world.inbox / "made" / "at" / "once", "a.png", seed=5)
    drop(world.base / "tree" / "inner", "b.png", seed=6)
    drop(world.base / "tree", "c.png", seed=7)
    (world.base / "tree").rename(world.inbox / "tree")
    for path in ("made/at/once/a.png", "tree/inner/b.png", "tree/c.png"):
        finished(world.daemon, path)
        assert (world.outbox / path).exists()


def test_the_newest_content_wins(world: World) -> None:
    """A file replaced in the queue ends as its new content, a deleted one is `vanished`."""
    daemon = world.daemon
    (worker,) = daemon.workers()
    worker.suspend()
    names = ("held.png", "replaced.png", "deleted.png")
    for name in names:
        drop(world.inbox, name, seed=8)
    for name in names:
        daemon.wait_for("file.settled", path=name)
    drop(world.inbox, "held.png", height=40, width=56, seed=9)
    drop(world.inbox, "replaced.png", height=40, width=56, seed=10)
    (world.inbox / "deleted.png").unlink()
    worker.resume()
    daemon.wait_for("image.vanished", path="deleted.png")
    for name in ("held.png", "replaced.png"):
        finished(daemon, name)
        assert load_rgb(world.outbox / name).shape == (40, 56, 3)
        assert len(daemon.events("image.finished", path=name)) == 1
    assert not (world.outbox / "deleted.png").exists()


@pytest.mark.slow
def test_a_power_cut_loses_nothing(world: World) -> None:
    """After SIGKILL in the middle of work all is finished: there, whole, and nothing twice."""
    if world.daemon.process.poll() is not None:  # slow tests run last, after the drain
        world.start()
    names = [f"cut-{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        drop(world.inbox, name, seed=20 + number)
    for _ in range(4):
        world.daemon.wait_for("image.finished", where=lambda one: one["path"] in names)
    world.daemon.kill()
    before = {path: mark for path, mark in marks(world.outbox).items() if path.suffix == ".png"}
    daemon = world.start()
    until(lambda: set(world.states()) <= {"disposed", "vanished"})
    until(lambda: all((world.outbox / name).exists() for name in names))
    for name in names:
        assert load_rgb(world.outbox / name).shape == (48, 64, 3)
    after = marks(world.outbox)
    assert {path: after[path] for path in before} == before
    inputs = {path.relative_to(world.inbox) for path in world.inbox.rglob("*.png")}
    assert {path.relative_to(world.outbox) for path in after} == inputs
    assert temps(world.base) == []
    done_anew = [one["path"] for one in daemon.events("image.finished")]
    assert set(done_anew) <= set(names)
    assert len(done_anew) == len(set(done_anew))


def test_sigterm_drains(world: World) -> None:
    """SIGTERM lets the running image finish, even where the whole group gets it; exit 0."""
    daemon = world.daemon
    (worker,) = daemon.workers()
    worker.suspend()
    drop(world.inbox, "running.png", seed=11)
    drop(world.inbox, "waiting.png", seed=12)
    daemon.wait_for("file.settled", path="running.png")
    daemon.wait_for("file.settled", path="waiting.png")
    os.killpg(daemon.process.pid, signal.SIGTERM)
    assert daemon.wait_for("daemon.draining")["running"] == 1
    worker.resume()
    finished(daemon, "running.png")
    daemon.wait_for("daemon.stopped")
    assert daemon.wait() == 0
    assert world.states()["pending"] == 1
    assert not (world.outbox / "waiting.png").exists()
