"""`once --dry-run`: what would be done and about how long, from headers and earlier work alone."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.commands.dry_run import (
    NOT_MEASURED,
    SHARPENED,
    SHARPENED_OR_COPIED,
    Pace,
    estimate,
    pace,
)
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import FinishTimes, Product
from tests.conftest import drop
from tests.test_commands_once import configured, png_header

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

MEGA = 1_000_000


def history(home: Path, *, pictures: int) -> None:
    """Let the ledger remember images of a megapixel each, one every two seconds."""
    with open_ledger(home / "state") as ledger:
        folder = ledger.folder("in", os.fsencode(home / "in"), os.fsencode(home / "out"))
        for number in range(pictures):
            made = Fingerprint(1, 2, number)
            ledger.add(folder, [(b"%d.png" % number, made)], 1000)
            job = ledger.claim(1000, {folder})
            assert job is not None
            ledger.stage(job, Product(job.relative, made, pixels=MEGA))
            ledger.finish(job, 1000 + 2 * number)
            ledger.dispose(job)


def told(config: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a dry run."""
    assert main(["once", "--config", str(config), "--dry-run"]) == 0
    return capsys.readouterr().out.splitlines()


def test_each_input_and_what_it_comes_to(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Headers tell the megapixels, and what would be refused with its reason."""
    drop(tmp_path / "in", "a.png", height=500, width=1000)
    (tmp_path / "in/bomb.png").write_bytes(png_header(20_000, 20_000))
    (tmp_path / "in/empty.png").touch()
    (tmp_path / "in/text.jpg").write_text("no picture")
    *inputs, folder, how_long = told(configured(tmp_path, networks.student), capsys)
    assert sorted(line.removeprefix(f"{tmp_path}/in/") for line in inputs) == [
        "a.png: would be sharpened",
        "bomb.png: would be quarantined: too_many_pixels",
        "empty.png: would be quarantined: empty",
        "text.jpg: would be quarantined: not_an_image",
    ]
    assert folder.startswith("in: ")
    assert set(folder[4:].removesuffix(" (0.50 megapixels)").split(", ")) == {
        "1 would be sharpened",
        "3 would be quarantined",
    }
    assert how_long.startswith("duration unknown")


def test_earlier_work_gives_the_duration(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a megapixel takes a second at the half megapixel a second that the ledger reports."""
    history(tmp_path, pictures=11)
    drop(tmp_path / "in", "a.png", height=500, width=1000)
    *_, how_long = told(configured(tmp_path, networks.student), capsys)
    assert how_long == "about 1 s, at the 0.5 megapixels/s of the last 11 images"


@pytest.mark.parametrize(
    ("folder", "or_copied"),
    [
        ({"skip_sharp": True}, True),
        ({"skip_sharp": True, "provenance": True}, False),
        ({"skip_sharp": False}, False),
    ],
)
def test_what_a_measurement_decides_has_an_alternative(
    networks: Networks,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    folder: dict[str, object],
    or_copied: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """Where a sharp image may be copied unchanged, the dry run says so, and that it cannot tell."""
    history(tmp_path, pictures=11)
    drop(tmp_path / "in", "a.png", height=500, width=1000)
    first, summary, *notes, how_long = told(
        configured(tmp_path, networks.student, **folder), capsys
    )
    action = SHARPENED_OR_COPIED if or_copied else SHARPENED
    assert first == f"{tmp_path}/in/a.png: {action}"
    assert summary == f"in: 1 {action} (0.50 megapixels)"
    assert notes == ([NOT_MEASURED] if or_copied else [])
    assert how_long.startswith("at most 1 s, at" if or_copied else "about 1 s, at")


def test_an_empty_folder_has_nothing_to_do(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so."""
    (tmp_path / "in").mkdir()
    assert told(configured(tmp_path, networks.student), capsys) == [
        "in: no images there (0.00 megapixels)",
        "there is nothing to do",
    ]


def test_a_ledger_that_cannot_be_read_is_said(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is informed that finished images would be sharpened again, as by an older ledger."""
    history(tmp_path, pictures=1)
    drop(tmp_path / "in", "a.png")
    with sqlite3.connect(tmp_path / "state/ledger.db") as ledger:
        ledger.execute("ALTER TABLE job RENAME COLUMN finished_at TO of_another_version")
    ledger.close()
    config = configured(tmp_path, networks.student)
    assert main(["once", "--config", str(config), "--dry-run"]) == 73
    output = capsys.readouterr()
    assert (output.out, "`sharpend run` upgrades it" in output.err) == ("", True)


def busy(*took_s: float, found_at_s: float = 0.0, after_s: float = 0.0) -> list[FinishTimes]:
    """Images of a megapixel, one after the other."""
    ends = [after_s + sum(took_s[: number + 1]) for number in range(len(took_s))]
    return [FinishTimes(found_at_s, end, MEGA) for end in ends]


def test_time_without_work_does_not_count() -> None:
    """An image that came after a quiet week took its own two seconds."""
    week_s = 7 * 24 * 3600.0
    later = busy(*[2.0] * 6, found_at_s=week_s, after_s=week_s)
    assert pace(busy(*[2.0] * 6) + later) == Pace(12, 0.5 * MEGA)


def test_an_outage_does_not_count() -> None:
    """A share that was gone for an hour makes no estimate of days."""
    known = pace(busy(*[2.0] * 10, 3600.0, *[2.0] * 10))
    assert known == Pace(21, 0.5 * MEGA)


def test_workers_count_together() -> None:
    """Two that end at the same moment every two seconds are a megapixel a second."""
    both = [one for one in busy(*[2.0] * 11) for _ in range(2)]
    known = pace(both)
    assert known is not None
    assert known.pixels_per_s == pytest.approx(MEGA, rel=0.1)


@pytest.mark.parametrize("earlier", [[], busy(2.0, 2.0, 2.0, 2.0), busy(*[0.0] * 9)])
def test_too_little_is_no_estimate(earlier: list[FinishTimes]) -> None:
    """Few images, or a clock that stood still, tell nothing."""
    assert pace(earlier) is None


@pytest.mark.parametrize(
    ("megapixels", "duration"),
    [(0.01, "1 s"), (30, "60 s"), (300, "10 minutes"), (3600, "2 hours"), (7200, "4 hours")],
)
def test_durations_are_round(megapixels: float, duration: str) -> None:
    """Nobody needs seconds of an hour."""
    said = estimate(round(megapixels * MEGA), Pace(7, 0.5 * MEGA))
    assert said == f"about {duration}, at the 0.5 megapixels/s of the last 7 images"
