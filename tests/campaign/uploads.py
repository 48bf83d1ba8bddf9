"""Uploads that go on after half was judged: appended later, or held open beyond quiet_s."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from sharpend.policies import SourcePolicy
from tests.campaign.places import Place, placed
from tests.campaign.rig import PATIENCE_S, Scenario
from tests.campaign.writers import padded_png

if TYPE_CHECKING:
    from typing import BinaryIO

    from tests.campaign.places import Folders
    from tests.campaign.rig import Finding, Rig
    from tests.daemons import Daemon

QUIET_S = 0.3
LONGER_THAN_QUIET_S = 1.5
"""Refused sources are looked at once a second."""
LONGEST_PAUSE_S = 0.5


def appended(place: Place, rig: Rig, rounds: int, finding: Finding) -> None:
    """48: files that are closed after a part, judged, and appended to; at any moment, too."""
    with placed(rig, place) as folders:
        folders.configure()
        with folders.daemon() as daemon:
            for number in range(rounds):
                append_parts(folders, daemon, number)
                finding.rounds += 1
            told_of(finding, daemon)
        folders.check(finding)


def append_parts(folders: Folders, daemon: Daemon, number: int) -> None:
    """Append two or three parts in each folder; in even rounds each is judged before the next."""
    name, parts = f"{number}.png", parts_of(folders.rig)
    for part in parts[:-1]:
        for policy in SourcePolicy:
            with folders.path(policy, name, b"".join(parts)).open("ab", buffering=0) as file:
                file.write(part)
        if number % 2:
            folders.rig.pause(LONGEST_PAUSE_S)
        else:
            wait_until_judged(daemon, name)
    for policy in SourcePolicy:
        with (folders.rig.base / policy / name).open("ab", buffering=0) as file:
            file.write(parts[-1])
    wait_until_finished(daemon, name)


def parts_of(rig: Rig) -> list[bytes]:
    """Cut an image into two or three parts; the first may be empty."""
    content = padded_png(rig.picture, rig.chance.randint(10_000, 100_000))
    cuts = sorted(rig.chance.sample(range(len(content) - 1), rig.chance.choice((1, 2))))
    return [
        content[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
    ]


def held(place: Place, rig: Rig, rounds: int, finding: Finding) -> None:
    """49: files that stay open, half written and judged, for longer than `quiet_s`."""
    with placed(rig, place) as folders:
        folders.configure(quiet_s=QUIET_S)
        with folders.daemon() as daemon:
            for number in range(rounds):
                hold_open(folders, daemon, number, finding)
                finding.rounds += 1
            told_of(finding, daemon)
        folders.check(finding)


def hold_open(folders: Folders, daemon: Daemon, number: int, finding: Finding) -> None:
    """Write a part in each folder, wait beyond `quiet_s` after it was judged, write the rest."""
    name, (half, *rest) = f"{number}.png", parts_of(folders.rig)
    opened: dict[SourcePolicy, BinaryIO] = {}
    for policy in SourcePolicy:
        path = folders.path(policy, name, b"".join([half, *rest]))
        opened[policy] = path.open("wb", buffering=0)
        opened[policy].write(half)
    wait_until_judged(daemon, name)
    time.sleep(LONGER_THAN_QUIET_S)
    for policy, file in opened.items():
        there = (folders.rig.base / policy / name).exists()
        finding.expect(there, f"{policy}: {name} was moved while it was open")
        for part in rest:
            file.write(part)
        file.close()
    wait_until_finished(daemon, name)


def wait_until_judged(daemon: Daemon, name: str) -> None:
    """Wait until the part of a file was refused in each folder."""
    for policy in SourcePolicy:
        daemon.wait_for("image.quarantined", within_s=PATIENCE_S, folder=policy, path=name)


def wait_until_finished(daemon: Daemon, name: str) -> None:
    """Wait until a file has its output in each folder."""
    for policy in SourcePolicy:
        daemon.wait_for("image.finished", within_s=PATIENCE_S, folder=policy, path=name)


def told_of(finding: Finding, daemon: Daemon) -> None:
    """Check the number of outputs, and record that of the parts judged."""
    finished = len(daemon.events("image.finished"))
    wanted = finding.rounds * len(SourcePolicy)
    finding.expect(finished == wanted, f"{finished} outputs of {wanted} files")
    judged = len(daemon.events("image.quarantined"))
    finding.figures = f"{wanted} files, {judged} parts judged"


SCENARIOS = tuple(
    Scenario(
        f"{number}{letter}",
        f"{title}; keep, archive, delete; {place}",
        target,
        partial(run, place),
        100,
        few,
        in_ci=place is Place.UNIT,
    )
    for number, title, target, run, few in (
        (
            "48",
            "uploads appended to after a part was judged",
            "the whole is done once",
            appended,
            4,
        ),
        ("49", "uploads judged and held open beyond quiet_s", "they stay, then done once", held, 2),
    )
    for letter, place in zip(("", "b", "c"), Place, strict=True)
)
