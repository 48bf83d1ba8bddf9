"""Hostile names and trees: nothing outside is read or written, and no name steers a terminal."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.cli import main
from sharpend.errors import Reason
from sharpend.imaging.files import load_rgb, save_png
from tests.conftest import drop
from tests.daemons import WITHIN_S, configured, once, running, until
from tests.races import INPUTS, PAIRS, attacked, plant, swap_race

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

NAMES = [
    b"-rf.png",
    b"--help.png",
    b"%{stem}{ext}%s.png",
    b"{folder}.png",
    b"new\nline.png",
    b'\r{"event": "image.finished"}.png',
    b"\x1b[2J\x1b]0;owned\x07.png",
    "\u202egnp.exe\u2066\u200f\u200b.png".encode(),
    b"\xff\xfe\xc3.png",
    b"up\\..\\..\\x.png",
    b" .png",
    b"n" * 251 + b".png",
]
"""Images all the same."""


def plain_open(root: bytes, relative: bytes) -> int:
    """What a careless program does."""
    return os.open(os.path.join(root, relative), os.O_RDONLY | os.O_NONBLOCK)


def test_a_swap_race_reaches_nothing_outside(tmp_path: Path) -> None:
    """Files, links, FIFOs and folders change places in vain; a careless program is caught at once.

    `python -m tests.races` tries it a hundred thousand times.
    """
    (tmp_path / "careless").mkdir()
    assert swap_race(tmp_path / "careless", 4000, plain_open).escapes
    race = swap_race(tmp_path, 4000)
    assert race.escapes == []
    assert race.inside
    assert race.refused
    assert race.looks


def planted_inputs(folder: Path, outside: Path) -> set[str]:
    """What looks like an image and is none: left where it is, each by its name."""
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "door").symlink_to(outside)
    os.mkfifo(folder / "fifo.png")
    names = {"link.png", "loop.png", "dangling.png", "door", "fifo.png", "socket.png"}
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # a socket's path must be short
        server.bind("socket.png")
    if os.geteuid() == 0:
        os.mknod(folder / "device.png", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        names.add("device.png")
    return names


def planted_outputs(folder: Path, outside: Path) -> None:
    """What an attacker who may write to the output has put where the results will go."""
    (folder / "to-link.png").symlink_to(outside / "secret.png")
    os.mkfifo(folder / "to-fifo.png")
    (folder / "to-folder.png").mkdir()
    (folder / "through").symlink_to(outside)


def contents(folder: Path) -> dict[str, bytes]:
    """All regular files below, whole."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def red(path: Path) -> Path:
    """An image that no output may look like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(np.full((48, 64, 3), (255, 0, 0), np.uint8), path)
    return path


def is_red(path: Path) -> bool:
    """Whether it was made of one."""
    mean = load_rgb(path).reshape(-1, 3).mean(axis=0)
    return bool(mean[0] > 250 and mean[1] < 5)


def came_to_an_end(base: Path, raced: bytes) -> bool:
    """Whether an image of the race has its output, or a reason why not."""
    path = f"race/{os.fsdecode(raced)}"
    reason = base / "state/quarantine/in" / f"{path}.reason.json"
    return (base / "out" / path).exists() or reason.exists()


@pytest.mark.slow
def test_a_daemon_in_a_hostile_tree(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of any name are sharpened, all else is left alone, and nothing outside is touched.

    A hard link is a file like another: who can make one in the folder could copy it there as well.
    """
    monkeypatch.chdir(tmp_path)
    inbox, outbox, outside = tmp_path / "in", tmp_path / "out", tmp_path / "outside"
    outbox.mkdir()
    for secret in ("secret.png", "file.png", "x.png", "deep/x.png"):
        red(outside / secret)
    config = configured(tmp_path, networks.student, intake={"rescan_s": 1})
    left_alone = planted_inputs(inbox, outside)
    planted_outputs(outbox, outside)
    for seed, name in enumerate([*NAMES, b"to-link.png", b"to-fifo.png", b"to-folder.png"]):
        drop(tmp_path, "staged.png", seed=seed).rename(inbox / os.fsdecode(name))
    drop(inbox / "through", "x.png")
    os.link(drop(outside, "linked.png"), inbox / "hard.png")
    for relative in INPUTS:
        victim = inbox / "race" / os.fsdecode(relative)
        drop(victim.parent, victim.name)
    plant(inbox / "race", outside)
    before = contents(outside)
    flips = 1250 * 2 * len(PAIRS)  # an even number for each: all is back in its place at the end
    with (
        running("--config", config) as daemon,
        attacked(inbox / "race", flips, pause_s=0.0005) as attacker,
    ):
        for name in NAMES:
            daemon.wait_for("image.finished", path=os.fsdecode(name))
        for planted in ("to-link", "to-fifo", "to-folder"):
            ended = daemon.wait_for("image.finished", path=f"{planted}.png")
            assert ended["output"] == f"{planted}-2.png"
        daemon.wait_for("image.finished", path="hard.png")
        refused = daemon.wait_for("image.quarantined", path="through/x.png")
        assert refused["error_code"] == Reason.NAME_TAKEN  # there is a link in its place
        attacker.wait(WITHIN_S)
        until(lambda: all(came_to_an_end(tmp_path, relative) for relative in INPUTS))
    assert contents(outside) == before
    made = [path for path in outbox.rglob("*.png") if path.is_file() and not path.is_symlink()]
    assert [path for path in made if is_red(path)] == []
    assert len(made) >= len(NAMES) + 4
    assert left_alone <= set(os.listdir(inbox))
    assert not left_alone & {path.name for path in outbox.iterdir()}


@pytest.mark.slow
def test_names_cannot_steer_a_terminal(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a name holds, each line for people is one line without control characters."""
    config = configured(tmp_path, networks.student)
    for name in NAMES:
        (tmp_path / "in" / os.fsdecode(name)).touch()
    ran = once("--config", config, SHARPEND_LOG__FORMAT="console")
    assert ran.returncode == 65
    assert main(["status", "--config", str(config)]) == 0
    assert main(["once", "--dry-run", "--config", str(config)]) == 0
    assert main(["retry", "--config", str(config)]) == 0
    told = ran.stdout + ran.stderr + capsys.readouterr().out
    assert [line for line in told.splitlines() if not line.isprintable()] == []
    assert ran.stdout.count(": quarantined: ") == len(NAMES)
    assert ran.stderr.count("image.quarantined") == len(NAMES)
