"""Many files at once: found all of them, soon, in bounded memory."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import psutil  # type: ignore[import-untyped]

from tests.campaign.rig import PATIENCE_S, Finding, Rig, Scenario
from tests.campaign.stubborn import Stubborn
from tests.daemons import Daemon, running

if TYPE_CHECKING:
    from pathlib import Path

MOST_GROWTH_MB = 300
QUEUED_EVENTS = "/proc/sys/fs/inotify/max_queued_events"
CLOSED_AFTER_WRITING = 0x8
OVERFLOW = struct.pack("=iI", -1, 0x4000)
"""How the event begins that stands for those that are lost: no watch's number, IN_Q_OVERFLOW."""
RESCAN_S = 60
POLL_S = 2
IDLE_S = 30


def written(rig: Rig, rounds: int, finding: Finding) -> None:
    """5: so many files written at once."""
    burst(rig, rounds, finding, renamed=False)


def renamed_in(rig: Rig, rounds: int, finding: Finding) -> None:
    """6: so many files renamed in from outside."""
    burst(rig, rounds, finding, renamed=True)


def burst(rig: Rig, rounds: int, finding: Finding, *, renamed: bool) -> None:
    """Files come in faster than events are read; the scan finds them all."""
    elsewhere = rig.base / "elsewhere"
    elsewhere.mkdir()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        first_mb = daemon.memory_mb()
        began_s = time.monotonic()
        fill(elsewhere if renamed else rig.inbox, rounds, rig.picture)
        if renamed:
            began_s = time.monotonic()
            for number in range(rounds):
                (elsewhere / f"{number}.png").rename(rig.inbox / f"{number}.png")
        wrote_s = time.monotonic() - began_s
        rig.wait_until_known(rounds)
        finding.recovered(time.monotonic() - began_s - wrote_s, RESCAN_S)
        expect_little_growth(daemon, first_mb, finding)
        daemon.stop()
    finding.expect(rig.known() == rounds, f"{rig.known()} known of {rounds}")
    finding.rounds = rounds
    finding.figures += f", in {wrote_s:.1f} s"


def backlog(rig: Rig, rounds: int, finding: Finding) -> None:
    """5b: so many files are there before the start, and wait in the ledger."""
    fill(rig.inbox, rounds, b"")
    with running("--config", rig.config) as daemon:
        began_s = time.monotonic()
        daemon.wait_for("daemon.ready", within_s=4 * PATIENCE_S)
        took_s = time.monotonic() - began_s
        rig.wait_until_known(rounds)
        expect_little_growth(daemon, 0, finding)
        daemon.stop()
    finding.expect(rig.known() == rounds, f"{rig.known()} known of {rounds}")
    finding.rounds = rounds
    finding.figures += f" in all, ready after {took_s:.0f} s"


def fill(folder: Path, count: int, content: bytes) -> None:
    """Write so many files as fast as can be."""
    for number in range(count):
        with (folder / f"{number}.png").open("wb", buffering=0) as file:
            file.write(content)


def expect_little_growth(daemon: Daemon, first_mb: float, finding: Finding) -> None:
    """The daemon's own memory is bounded whatever waits."""
    grown_mb = daemon.memory_mb() - first_mb
    finding.expect(grown_mb < MOST_GROWTH_MB, f"memory grew by {grown_mb:.0f} MB")
    finding.figures = f"memory +{grown_mb:.0f} MB"


def tree(rig: Rig, rounds: int, finding: Finding) -> None:
    """7: a tree of so many directories moved in, then files added inside."""
    elsewhere = rig.base / "elsewhere"
    for number in range(rounds):
        (elsewhere / f"{number}").mkdir(parents=True)
        fill(elsewhere / f"{number}", 20, rig.picture)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        first_mb = daemon.memory_mb()
        elsewhere.rename(rig.inbox / "tree")
        rig.wait_until_known(20 * rounds)
        began_s = time.monotonic()
        for number in range(rounds):
            rig.drop(f"tree/{number}/late.png")
        rig.wait_until_known(21 * rounds)
        finding.recovered(time.monotonic() - began_s, RESCAN_S)
        expect_little_growth(daemon, first_mb, finding)
        daemon.stop()
    finding.expect(rig.known() == 21 * rounds, f"{rig.known()} files known")
    finding.rounds = rounds
    finding.figures += f", {21 * rounds:,} files"


def overflow(rig: Rig, rounds: int, finding: Finding) -> None:
    """8: the kernel's queue of events runs over while the daemon is held up; steady writes."""
    names: set[str] = set()
    queue = Unread(rig.inbox)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            daemon.send(signal.SIGSTOP)
            with queue:
                for each in range(queue.length + 1000):
                    # Two files in turn: the kernel joins equal events that follow each other.
                    (rig.inbox / (".noise-a" if each % 2 else ".noise-b")).open("wb").close()
                finding.expect(queue.overflowed, "the queue did not run over")
            lost = {f"{number}-{each}.png" for each in range(10)}
            for name in lost:
                rig.drop(name)
            names |= lost
            began_s = time.monotonic()
            daemon.send(signal.SIGCONT)
            rig.wait_until_known(len(names))
            finding.recovered(time.monotonic() - began_s, RESCAN_S / 2)
            finding.rounds += 1
        rig.wait_until_idle(daemon, len(names))
        lines = daemon.events("library.logged")
        finding.expect(len(lines) <= rounds, f"{len(lines)} lines of the log: {lines[-2:]}")
    rig.check(finding, names)
    finding.figures = f"{queue.length:,} events held by the kernel, {len(lines)} lines of the log"


class Unread:
    """A queue of events of our own that nobody reads, to see whether the daemon's runs over."""

    def __init__(self, folder: Path) -> None:
        with open(QUEUED_EVENTS, encoding="ascii") as file:
            self.length = int(file.read())
        self._folder = folder

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        libc.inotify_add_watch(self._descriptor, os.fsencode(self._folder), CLOSED_AFTER_WRITING)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def overflowed(self) -> bool:
        """Whether the kernel has given up counting; empties the queue."""
        with suppress(BlockingIOError):
            while events := os.read(self._descriptor, 65536):
                if OVERFLOW in events:
                    return True
        return False


def no_events(rig: Rig, rounds: int, finding: Finding) -> None:
    """33: a file system whose changes no event reports, and the cost of looking."""
    names = {f"{number}.png" for number in range(20 if rounds >= 1000 else 3)}
    with Stubborn(rig.base) as remote:
        folder = rig.folder(input=remote.mount, poll_s=POLL_S)
        rig.configure(folder)
        with running("--config", rig.config) as daemon:
            polled = daemon.wait_for("folder.polled")
            finding.expect("fuse" in polled["reason"], polled["reason"])
            daemon.wait_for("daemon.ready")
            for name in sorted(names):
                remote.put(name, rig.picture)
                began_s = time.monotonic()
                daemon.wait_for("image.finished", path=name)
                finding.recovered(time.monotonic() - began_s, 2 * POLL_S + 1)
    rig.check_outputs(finding, names)
    finding.rounds = rounds
    idle(rig, rounds, finding)


def idle(rig: Rig, rounds: int, finding: Finding) -> None:
    """So many files that are known already, looked at by polling at its usual interval."""
    rig.configure(rig.folder(polling=True))
    before = rig.known()
    fill(rig.inbox, rounds, b"")
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
        rig.wait_until_idle(daemon, before + rounds, within_s=600)
        process = psutil.Process(daemon.process.pid)
        seconds = IDLE_S if rounds >= 1000 else 3
        used_s = sum(process.cpu_times()[:2])
        time.sleep(seconds)
        share = (sum(process.cpu_times()[:2]) - used_s) / seconds
        finding.figures = f"idle at {rounds:,} files: {100 * share:.1f} % of a core"
        finding.expect(share < 0.01 or rounds < 1000, finding.figures)


SCENARIOS = (
    Scenario(
        "5",
        "files written in a burst",
        "all found within one rescan, memory +< 300 MB",
        written,
        100_000,
        2000,
        in_ci=False,
    ),
    Scenario(
        "5b",
        "a million files wait",
        "all found, memory < 300 MB",
        backlog,
        1_000_000,
        2000,
        in_ci=False,
    ),
    Scenario(
        "6",
        "files renamed in at once",
        "all found within one rescan, memory +< 300 MB",
        renamed_in,
        100_000,
        2000,
        in_ci=False,
    ),
    Scenario(
        "7",
        "a tree of 20 files a directory moved in, then added to",
        "all found, the late ones too",
        tree,
        1000,
        20,
    ),
    Scenario(
        "8",
        "the kernel's queue of events runs over",
        "none missed after one scan, at most one line",
        overflow,
        20,
        1,
    ),
    Scenario(
        "33",
        "a file system without events (FUSE)",
        "found in 2 polls, idle < 1 % of a core at 10,000 files",
        no_events,
        10_000,
        50,
        in_ci=False,
    ),
)
