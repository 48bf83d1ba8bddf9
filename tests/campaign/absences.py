"""Disks that are away, or are others, at a start, at a reload, and while sources are archived."""

from __future__ import annotations

import itertools
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tests.campaign.places import TMPFS
from tests.campaign.rig import (
    PATIENCE_S,
    Scenario,
    broken,
    files,
    first_done,
    mount,
    mounted,
    unmount,
)
from tests.campaign.writers import padded_png
from tests.daemons import running, temps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.campaign.rig import Finding, Rig
    from tests.daemons import Daemon, Test

ROLES = ("output", "archive", "input")
WAYS = list(itertools.product(ROLES, (False, True)))
"""The disk that is away, and True if another one is in its place."""
RESUMED_WITHIN_S = 60
BURST = 30
LARGE = 2_000_000
"""Bytes of the image that takes long to copy."""


class Disks:
    """Input, output and archive of one folder, each on a disk of its own that can be away."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        base = rig.base
        self.places = {role: base / f"{role}-place" for role in ROLES}
        self.disks = {role: base / f"{role}-disk" for role in ROLES}
        self.other = base / "other-disk"
        self._before: set[Path] = set()
        below = {role: self.places[role] / "photos" for role in ROLES}
        rig.configure(
            rig.folder(
                "in",
                input=self.places["input"],
                output=below["output"],
                source="archive",
                archive=below["archive"],
            )
        )

    def drop(self, *names: str, content: bytes = b"") -> None:
        """Drop images on the disk of the input, mounted or not."""
        for name in names:
            self.rig.drop(name, content, folder="input-disk")

    def plug(self, role: str) -> None:
        """Mount a disk in its place."""
        mount(self.places[role], "--bind", str(self.disks[role]))

    def take(self, role: str, *, swap: bool) -> None:
        """Unmount a disk; with `swap` another one comes in its place."""
        unmount(self.places[role])
        if swap:
            mount(self.places[role], "--bind", str(self.other))
        self._before = set(self.places[role].rglob("*"))

    def bring_back(self, role: str, finding: Finding) -> None:
        """Mount the disk again; a file that was written in its place meanwhile is a violation."""
        place = self.places[role]
        written = set(place.rglob("*")) - self._before
        finding.expect(not written, f"written while the {role} was away: {sorted(written)[:3]}")
        if os.path.ismount(place):
            unmount(place)
        self.plug(role)

    def held(self) -> tuple[set[str], set[str]]:
        """Names of the files in the input, and of those in the archive."""
        archived = self.disks["archive"] / "photos"
        waiting, kept = files(self.disks["input"]), files(archived) if archived.exists() else []
        return {path.name for path in waiting}, {path.name for path in kept}

    def expect_all(self, finding: Finding, names: set[str]) -> None:
        """Check that each source is in the input or in the archive."""
        waiting, archived = self.held()
        lost = names - waiting - archived
        finding.expect(not lost, f"{len(lost)} sources are lost: {sorted(lost)[:3]}")

    def expect_done(self, finding: Finding, names: set[str]) -> None:
        """Check that each is archived once and has one whole output, and remove both."""
        waiting, archived = self.held()
        finding.expect(not waiting, f"not archived: {sorted(waiting)[:3]}")
        finding.expect(archived == names, f"the archive differs: {sorted(archived ^ names)[:3]}")
        made = files(self.disks["output"] / "photos")
        differs = {path.name for path in made} ^ names
        finding.expect(not differs, f"outputs differ: {sorted(differs)[:3]}")
        faults = {broken(path) for path in made} - {""}
        finding.expect(not faults, f"broken outputs: {faults}")
        for path in [*made, *files(self.disks["archive"])]:
            path.unlink()

    def expect_clean(self, finding: Finding) -> None:
        """Check that no temporary file is left after a start with all disks."""
        with running("--config", self.rig.config) as daemon:
            daemon.wait_for("daemon.ready")
        left = [temp for disk in self.disks.values() for temp in temps(disk)]
        finding.expect(not left, f"left behind: {left[:3]}")


@contextmanager
def disks_of(rig: Rig) -> Iterator[Disks]:
    """Mount all three disks, and one more; a first image is done.

    Raises:
        NotRunError: mounts are not permitted.
    """
    disks = Disks(rig)
    with ExitStack() as stack:
        for disk in (*disks.disks.values(), disks.other):
            stack.enter_context(mounted(disk, *TMPFS))
        for role, place in disks.places.items():
            place.mkdir()
            disks.plug(role)
            stack.callback(unmount, place)
        disks.drop("first.png")
        with running("--config", rig.config) as daemon:
            daemon.wait_for("image.finished", path="first.png")
        yield disks


def away_at_start(rig: Rig, rounds: int, finding: Finding) -> None:
    """45: the daemon starts while a disk is not mounted, or another is in its place."""
    with disks_of(rig) as disks:
        disks.expect_done(finding, {"first.png"})
        for number in range(rounds):
            role, swap = WAYS[number % len(WAYS)]
            name = f"{number}.png"
            disks.drop(name)
            disks.take(role, swap=swap)
            with running("--config", rig.config) as daemon:
                daemon.wait_for("folder.paused")
                daemon.wait_for("daemon.ready")
                come_back(disks, daemon, role, finding)
                daemon.wait_for("image.finished", path=name)
                finding.expect(len(daemon.events("image.finished")) == 1, "done again")
            disks.expect_done(finding, {name})
            finding.rounds += 1
        disks.expect_clean(finding)


def away_at_reload(rig: Rig, rounds: int, finding: Finding) -> None:
    """46: SIGHUP while a disk is away, known to the daemon or not yet."""
    with disks_of(rig) as disks:
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            disks.expect_done(finding, {"first.png"})
            for number in range(rounds):
                role, swap = WAYS[number % len(WAYS)]
                name = f"{number}.png"
                disks.take(role, swap=swap)
                disks.drop(name)
                if rig.chance.random() < 0.5:
                    daemon.wait_for("folder.paused", where=later_than(last(daemon)))
                daemon.send(signal.SIGHUP)
                reloaded = daemon.wait_for("config.reloaded")
                daemon.wait_for("folder.paused", where=later_than(reloaded))
                come_back(disks, daemon, role, finding)
                daemon.wait_for("image.finished", path=name)
                rig.wait_until_idle(daemon, number + 2)
                disks.expect_done(finding, {name})
                finding.rounds += 1
            done = len(daemon.events("image.finished"))
            finding.expect(done == rounds, f"{done} done of {rounds}")
        disks.expect_clean(finding)


def come_back(disks: Disks, daemon: Daemon, role: str, finding: Finding) -> None:
    """Mount the disk again and wait until the folder works."""
    before = last(daemon)
    disks.bring_back(role, finding)
    began_s = time.monotonic()
    daemon.wait_for("folder.resumed", within_s=PATIENCE_S, where=later_than(before))
    finding.recovered(time.monotonic() - began_s, RESUMED_WITHIN_S)


def last(daemon: Daemon) -> dict[str, Any]:
    """Last event so far."""
    return dict(daemon._heard.all[-1])


def later_than(event: dict[str, Any]) -> Test:
    """Make the test of `wait_for` that is true for later events."""
    return lambda other: other["timestamp"] > event["timestamp"]


def away_while_archiving(rig: Rig, rounds: int, finding: Finding) -> None:
    """47: a disk goes while a burst is published and archived; half the time the daemon, too."""
    large, dead = padded_png(rig.picture, LARGE), 0
    with disks_of(rig) as disks:
        disks.expect_done(finding, {"first.png"})
        while finding.rounds < rounds:
            with running("--config", rig.config) as daemon:
                daemon.wait_for("daemon.ready")
                while finding.rounds < rounds and daemon.process.poll() is None:
                    ways = WAYS[finding.rounds % len(WAYS)]
                    dies = rig.chance.random() < 0.5
                    dead += dies
                    interrupt(disks, daemon, ways, finding, large=large, dies=dies)
        disks.expect_clean(finding)
    finding.figures = f"{dead} rounds with a kill -9 while the disk was away"


def interrupt(
    disks: Disks,
    daemon: Daemon,
    way: tuple[str, bool],
    finding: Finding,
    *,
    large: bytes,
    dies: bool,
) -> None:
    """Interrupt one burst at any moment after its first output."""
    rig, (role, swap), number = disks.rig, way, finding.rounds
    names = {f"{number}-{each}.png" for each in range(BURST)}
    disks.drop(f"{number}-0.png", content=large)
    disks.drop(*sorted(names)[1:])
    first = first_done(daemon, names)
    rig.pause(0.2)
    disks.take(role, swap=swap)
    disks.expect_all(finding, names)
    daemon.wait_for("folder.paused", where=later_than(first))
    if dies:
        daemon.kill()
    disks.expect_all(finding, names)
    finding.rounds += 1
    if not dies:
        come_back(disks, daemon, role, finding)
        rig.wait_until_idle(daemon, 1 + BURST * finding.rounds)
        disks.expect_done(finding, names)
        return
    with running("--config", rig.config) as again:  # the disk is away at this start, too
        again.wait_for("folder.paused")
        come_back(disks, again, role, finding)
        rig.wait_until_idle(again, 1 + BURST * finding.rounds)
    disks.expect_done(finding, names)


SCENARIOS = (
    Scenario(
        "45",
        "the disk of input, output or archive away, or another one, at a start",
        "paused, nothing written there, resumed < 60 s, done once",
        away_at_start,
        100,
        3,
        in_ci=False,
    ),
    Scenario(
        "46",
        "the same at a reload",
        "paused, nothing written there, resumed < 60 s, done once",
        away_at_reload,
        100,
        3,
    ),
    Scenario(
        "47",
        "the same while a burst is archived, with and without kill -9",
        "no source lost, nothing written there, each archived and done once",
        away_while_archiving,
        100,
        3,
    ),
)
