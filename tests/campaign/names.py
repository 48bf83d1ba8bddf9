"""Hostile names and trees: links, special files, swaps under our hands, names that collide."""

from __future__ import annotations

import os
import socket
import unicodedata
from typing import TYPE_CHECKING

from tests.campaign.rig import Finding, Rig, Scenario, broken, files, inodes
from tests.daemons import running
from tests.races import swap_race

if TYPE_CHECKING:
    from pathlib import Path

ODD = (
    "-n {}.png",
    "new\nline {}.png",
    "\x1b[31mred {}.png",
    "right\u202egnp {}.png",
    "%s %n %{{}} {}.png",
    "{{stem}} {{ext}} {}.png",
    "a..{}.png",
    "back\\slash {}.png",
    " blank {} .png",
    "$(touch pwned) `id` {}.png",
    "'\"; rm {}.png",
)


def special_files(rig: Rig, rounds: int, finding: Finding) -> None:
    """25: links out of the tree and in a circle, hard links, FIFOs, sockets, devices."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            plant(rig, rig.inbox / f"{number}")
        rig.wait_until_idle(daemon, rounds)
        rig.drop("after.png")
        daemon.wait_for("image.finished", path="after.png")
    finding.expect(rig.known() == rounds + 1, f"{rig.known()} inputs known")
    rig.check_outputs(finding, {f"{number}/hard.png" for number in range(rounds)} | {"after.png"})
    finding.rounds = rounds


def plant(rig: Rig, folder: Path) -> None:
    """One of each kind; only the hard link is an image of the folder's own."""
    folder.mkdir()
    outside = rig.base / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.png").write_bytes(rig.picture)
    (folder / "shadow.png").symlink_to("/etc/shadow")
    (folder / "secret.png").symlink_to(outside / "secret.png")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "tree").symlink_to(outside)
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "fifo.png")
    (folder / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # a socket's whole path must be short
        listening.bind("socket.png")
        os.chdir(here)
    if os.geteuid() == 0:
        os.mknod(folder / "zero.png", 0o020666, os.makedev(1, 5))
    (outside / f"hard-{folder.name}.png").write_bytes(rig.picture)
    (folder / "hard.png").hardlink_to(outside / f"hard-{folder.name}.png")


def swaps(rig: Rig, rounds: int, finding: Finding) -> None:
    """26: images and folders change places with links and FIFOs while they are opened."""
    careless = swap_race(rig.base / "careless", 4000, plain_open)
    finding.expect(bool(careless.escapes), "the race would not catch anybody")
    race = swap_race(rig.base / "race", rounds)
    finding.violations += race.escapes
    finding.expect(bool(race.inside and race.refused), "opened or refused always")
    finding.rounds = race.flips
    finding.figures = f"{race.reads:,} opened, {race.refused:,} of them refused"
    finding.figures += (
        f", {race.looks:,} scans, a careless program caught {len(careless.escapes)} times"
    )


def plain_open(root: bytes, relative: bytes) -> int:
    """Open as a program does that thinks no harm."""
    return os.open(os.path.join(root, relative), os.O_RDONLY | os.O_NONBLOCK)


def planted_outputs(rig: Rig, rounds: int, finding: Finding) -> None:
    """27: links, folders and FIFOs planted where outputs and their folders belong."""
    secret = rig.base / "secret"
    secret.write_bytes(b"secret")
    elsewhere = rig.base / "elsewhere"
    elsewhere.mkdir()
    rig.outbox.mkdir()
    kinds = ("link", "dangling", "folder", "fifo", "parent")
    for number in range(rounds):
        for kind in kinds:
            plant_output(rig.outbox / f"{kind}-{number}.png", kind, secret, elsewhere)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            for kind in kinds[:4]:
                rig.drop(f"{kind}-{number}.png")
            rig.drop(f"parent-{number}.png/a.png")
        rig.wait_until_idle(daemon, len(kinds) * rounds)
        finding.expect(rig.counts()["quarantined"] == rounds, "not refused")
    finding.expect(secret.read_bytes() == b"secret", "a link was followed")
    finding.expect(not list(elsewhere.iterdir()), "a folder's link was followed")
    made = {f"{kind}-{number}-2.png" for kind in kinds[:4] for number in range(rounds)}
    rig.check_outputs(finding, made)
    finding.rounds = rounds * len(kinds)


def plant_output(path: Path, kind: str, secret: Path, elsewhere: Path) -> None:
    """Something of that kind at an output's name, or in place of its folder."""
    match kind:
        case "link":
            path.symlink_to(secret)
        case "dangling":
            path.symlink_to(secret.parent / "not-there")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to(elsewhere)


def odd_names(rig: Rig, rounds: int, finding: Finding) -> None:
    """28: names that forge lines, steer terminals, look like options or templates, or are long."""
    names = {kind.format(number) for number in range(rounds) for kind in ODD}
    longest = {f"{number}".rjust(251, "l") + ".png" for number in range(rounds)}
    rig.configure(rig.folder(output_name="{stem}-{folder}{ext}"))
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for name in names | longest:
            rig.drop(name)
        finding.rounds = len(names | longest)
        rig.wait_until_idle(daemon, finding.rounds)
        finding.expect(len(daemon.events("image.finished")) == finding.rounds, "lines are missing")
        finding.expect(not daemon.text, f"a line was forged: {daemon.text[:1]}")
        finding.expect(not daemon.unprintable, f"raw in the log: {daemon.unprintable[:1]}")
    made = files(rig.outbox)
    finding.expect({path.parent for path in made} == {rig.outbox}, "out of the folder")
    short = {f"{name[:-4]}-in.png" for name in names}
    finding.expect(short <= {path.name for path in made}, "an output is missing")
    finding.expect(len(made) == finding.rounds, f"{len(made)} outputs")
    finding.expect(not any(broken(path) for path in made), "an output is broken")


def no_utf8(rig: Rig, rounds: int, finding: Finding) -> None:
    """29: names that are no UTF-8, mixed with good ones."""
    names = set()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            odd = b"%d-\xff\xfe\n\x1b[31m.png" % number if number % 2 else b"%d.png" % number
            names.add(os.fsdecode(odd))
            rig.drop(os.fsdecode(odd))
        rig.wait_until_idle(daemon, rounds)
    rig.check(finding, names)
    finding.rounds = rounds


def colliding(rig: Rig, rounds: int, finding: Finding) -> None:
    """30: names that differ in case, in accents or in the suffix alone; the same in two folders."""
    rig.configure(rig.folder(output_name="{stem}.png", portable_names=True))
    names = set()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            accented = f"é-{number}.png"
            forms = {unicodedata.normalize(form, accented) for form in ("NFC", "NFD")}
            case = {f"x-{number}.png", f"X-{number}.png", f"x-{number}.jpg"}
            fresh = forms | case | {f"a/{number}.png", f"b/{number}.png"}
            for name in fresh:
                rig.drop(name)
            names |= fresh
        rig.wait_until_idle(daemon, len(names))
        before = inodes(rig.outbox)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.drop("after.png")
        daemon.wait_for("image.finished", path="after.png")
    now = inodes(rig.outbox)
    finding.expect({path: now.get(path) for path in before} == before, "done again")
    finding.expect(len(before) == len(names), f"{len(before)} outputs of {len(names)} inputs")
    folded = {unicodedata.normalize("NFC", str(path)).casefold() for path in now}
    finding.expect(len(folded) == len(now), "two outputs that some disks cannot tell apart")
    finding.expect(not any(broken(path) for path in now), "an output is broken")
    finding.rounds = len(names)


SCENARIOS = (
    Scenario(
        "25",
        "links, FIFOs, sockets, devices, folders named as images",
        "never opened, never waited for",
        special_files,
        50,
        2,
        in_ci=False,
    ),
    Scenario(
        "26",
        "files and folders swapped with links out of the tree",
        "0 reads outside",
        swaps,
        100_000,
        4000,
        in_ci=False,
    ),
    Scenario(
        "27",
        "links, folders, FIFOs planted at outputs",
        "never followed, never overwritten",
        planted_outputs,
        40,
        2,
        in_ci=False,
    ),
    Scenario(
        "28",
        "names that forge lines, steer terminals, or are 255 bytes long",
        "escaped in the log, outputs stay in their folder",
        odd_names,
        50,
        2,
        in_ci=False,
    ),
    Scenario("29", "names that are no UTF-8", "all done", no_utf8, 1000, 20, in_ci=False),
    Scenario(
        "30",
        "names that collide by case, accent, suffix",
        "an output for each, none overwritten",
        colliding,
        50,
        3,
        in_ci=False,
    ),
)
