"""Patterns of names that are left out of an input folder."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.files.patterns import Patterns, require_pattern
from sharpend.intake import scan
from sharpend.intake.folder import FolderIntake
from sharpend.intake.interface import FolderOptions
from sharpend.intake.patience import Patience
from sharpend.intake.tally import EXCLUDED, Tally
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from tests.fakes import Shop

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "a.jpg",
    "a-copy.jpg",
    "Originals/b.jpg",
    "deep/Originals/c.jpg",
    "deep/d.tif",
    "2019/e.jpg",
    "deep/2019/f.jpg",
)

CASES = [
    ((), (), set(NAMES)),
    (("Originals/",), (), set(NAMES) - {"Originals/b.jpg", "deep/Originals/c.jpg"}),
    (("/2019",), (), set(NAMES) - {"2019/e.jpg"}),
    (("*-copy.*",), (), set(NAMES) - {"a-copy.jpg"}),
    (("*.jpg", "!a.jpg"), (), {"a.jpg", "deep/d.tif"}),
    (("deep/", "!deep/d.tif"), (), {"a.jpg", "a-copy.jpg", "Originals/b.jpg", "2019/e.jpg"}),
    (("deep/**/*.jpg",), (), set(NAMES) - {"deep/Originals/c.jpg", "deep/2019/f.jpg"}),
    ((), ("*.tif",), {"deep/d.tif"}),
    ((), ("2019/",), {"2019/e.jpg", "deep/2019/f.jpg"}),
    (("/2019/",), ("2019/", "*.tif"), {"deep/2019/f.jpg", "deep/d.tif"}),
    (("*.JPG",), (), set(NAMES)),
]


@pytest.mark.parametrize(("exclude", "include", "taken"), CASES)
def test_scan_and_single_files_agree_with_gitignore(
    tmp_path: Path, exclude: tuple[str, ...], include: tuple[str, ...], taken: set[str]
) -> None:
    """A walk and a look at one file take the same, and the rest is counted."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    patterns, tally = Patterns(exclude, include), Tally()
    root = os.fsencode(tmp_path)
    chunks = scan.walk(root, recursive=True, tally=tally, patterns=patterns)
    assert {os.fsdecode(one.relative) for chunk in chunks for one in chunk} == taken
    with scan.opened(root) as descriptor:
        seen = {name for name in NAMES if scan.look(descriptor, os.fsencode(name), patterns)}
    assert seen == taken
    assert (not tally.left_alone) == (taken == set(NAMES))
    tally, named = Tally(), [os.fsencode(name) for name in NAMES]
    chunks = scan.inputs(root, recursive=True, only=named, patterns=patterns, tally=tally)
    assert {os.fsdecode(one.relative) for chunk in chunks for one in chunk} == taken
    assert tally.left_alone[EXCLUDED] == len(NAMES) - len(taken)


def test_a_folder_that_is_left_out_is_not_entered(tmp_path: Path) -> None:
    """It counts as one entry, whatever is in it, readable or not."""
    (tmp_path / "Originals/inner").mkdir(parents=True)
    (tmp_path / "Originals/inner/a.jpg").touch()
    (tmp_path / "Originals").chmod(0)
    tally = Tally()
    patterns = Patterns(("Originals/",))
    assert list(
        scan.walk(os.fsencode(tmp_path), recursive=True, tally=tally, patterns=patterns)
    ) == [[]]
    (tmp_path / "Originals").chmod(0o700)
    assert (tally.left_alone, tally.unreadable, tally.found) == ({EXCLUDED: 1}, 0, 0)


@pytest.mark.parametrize("name", [b"a\nb/x/c.jpg", b"\xff/x/c.jpg", b"\xe9\n\n/x/c.jpg"])
def test_any_name_can_be_left_out(name: bytes) -> None:
    """Newlines and bytes that are not UTF-8 do not hide a path from a pattern."""
    assert Patterns(("x/",)).leaves_out(name)
    assert Patterns(("c.*",)).leaves_out(name)
    assert not Patterns(("y/",)).leaves_out(name)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "#x",
        " ",
        "/",
        "//",
        "a//b",
        "!",
        "\\",
        "a\\",
        "[",
        "a[b",
        "[z-a]",
        "[[:x:]]",
        "./a",
        "../b",
    ],
)
def test_a_pattern_that_cannot_match_is_refused_and_named(
    tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would silently leave nothing out."""
    with pytest.raises(ValueError, match="must be patterns"):
        require_pattern(pattern)
    folders = ["--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(["once", *folders, "--exclude", pattern]) == ExitCode.CONFIGURATION
    told = capsys.readouterr().err
    assert "command line: folder.1.exclude: must be patterns" in told
    assert repr(pattern) in told


def test_events_of_what_is_left_out_are_ignored(tmp_path: Path) -> None:
    """A file or folder that an event names is judged as the scan does."""
    options = FolderOptions(
        os.fsencode(tmp_path), settle_s=0.0, polling=True, patterns=Patterns(("no/", "*-x.jpg"))
    )
    intake = FolderIntake(
        options,
        fresh=lambda found: found,
        wake=lambda: None,
        patience=Patience(),
        chance=random.Random(0),
    )
    intake.step(0.0)
    intake.step(0.1)
    for name in ("no/a.jpg", "b-x.jpg", "c.jpg", "yes/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        intake.unsettle(os.fsencode(name))
    intake.unsettle(b"no")
    settled = [found for at in range(1, 4) for found in intake.step(float(at)).settled]
    intake.close()
    assert sorted(found.relative for found in settled) == [b"c.jpg", b"yes/d.jpg"]


def test_a_reload_withdraws_what_waits_and_finds_what_is_wanted_again(tmp_path: Path) -> None:
    """An excluded image leaves the queue; the scan after the exclusion ended takes it again."""
    shop = Shop(tmp_path, workers=0)
    shop.take("keep.jpg")
    shop.drop("out.jpg")
    shop.settle()
    assert shop.count(State.PENDING) == 2
    shop.intake["patterns"] = Patterns(("out.*",))
    shop.pool.count = 1
    shop.reload()
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"keep.jpg"]
    shop.pool.stage()
    shop.turn()
    assert shop.count(State.VANISHED) == 1
    assert [told["path"] for told in shop.log.of(Event.IMAGE_VANISHED)] == [b"out.jpg"]
    assert shop.dispatcher.folders["in"].left_alone == {EXCLUDED: 1}
    shop.intake.clear()
    shop.reload()
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"out.jpg"]
    shop.close()


def test_once_leaves_out_what_the_command_line_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--exclude` may be repeated, and needs a folder of the command line."""
    for name in ("a.jpg", "b.jpg", "Originals/c.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    folders = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    both = ["--exclude", "Originals/", "--exclude", "b.*"]
    main(["once", "--state", str(tmp_path / "s"), *folders, *both, "--dry-run"])
    told = capsys.readouterr().out
    assert "a.jpg" in told
    assert "b.jpg" not in told
    assert "c.jpg" not in told
    assert main(["once", "--exclude", "x"]) == ExitCode.USAGE
    assert "--exclude needs --input" in capsys.readouterr().err
