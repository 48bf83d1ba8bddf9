"""Folders that are paused on purpose: `sharpend pause`, and hours of work."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from sharpend.cli import main
from sharpend.daemon.intended_pauses import BY_OPERATOR, IntendedPauses
from sharpend.errors import ExitCode
from sharpend.ledger.opening import open_ledger
from sharpend.logs.events import Event
from sharpend.policies import Hours
from tests.fakes import ListLog, Shop
from tests.test_settings import read, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NIGHT = (Hours.parse("20:00-06:00"),)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time has summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("20:00-06:00", ["20:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "19:59"]),
        ("09:00-17:30", ["09:00", "17:29"], ["17:30", "08:59", "00:00"]),
        ("00:00-24:00", ["00:00", "23:59"], []),
        ("22:00-24:00", ["22:00", "23:59"], ["00:00", "21:59"]),
    ],
)
def test_hours_include_their_begin_and_not_their_end(
    text: str, inside: list[str], outside: list[str]
) -> None:
    """Also where a range passes midnight."""
    hours = Hours.parse(text)
    assert str(hours) == text
    for wanted, times in ((True, inside), (False, outside)):
        for one in times:
            hour, minute = one.split(":")
            assert hours.includes(int(hour) * 60 + int(minute)) is wanted, one


@pytest.mark.parametrize(
    "text", ["", "20-06", "25:00-06:00", "6:00-7:00", "10:00-10:00", "10:00-24:30"]
)
def test_wrong_hours_are_refused(tmp_path: Path, text: str) -> None:
    """The key and the text are named; a single range needs no list."""
    folder = f'[[folder]]\ninput = "{tmp_path}/in"\noutput = "{tmp_path}/out"\nhours = '
    (line,) = refusal(tmp_path, folder + json.dumps([text]))
    assert line.startswith("FILE: folder.1.hours: must be ranges such as")
    assert read(tmp_path, folder + '"20:00-06:00"').folder[0].hours == ("20:00-06:00",)


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("local", "fold", "is_paused"),
    [
        ("2026-03-29 01:59", 0, True),
        ("2026-03-29 03:00", 0, False),  # the clock goes from 02:00 to 03:00: 02:30 is past
        ("2026-10-25 02:29", 0, True),
        ("2026-10-25 02:30", 0, False),
        ("2026-10-25 02:29", 1, True),  # the hour from 02:00 comes a second time
        ("2026-10-25 02:30", 1, False),
    ],
)
def test_summer_time_skips_no_hours(
    tmp_path: Path, local: str, fold: int, *, is_paused: bool
) -> None:
    """A range that begins in the skipped hour begins after it."""
    at = datetime.fromisoformat(local).replace(tzinfo=BERLIN, fold=fold)
    with open_ledger(tmp_path) as ledger:
        pauses = IntendedPauses({"in": (Hours.parse("02:30-04:00"),)}, ledger, ListLog())
        pauses.update(at.timestamp())
    assert ("in" in pauses.reasons) is is_paused


@pytest.mark.usefixtures("in_berlin")
def test_changes_are_logged_once(tmp_path: Path) -> None:
    """With the hours as the reason, and the end of the pause."""
    log, noon = ListLog(), datetime(2026, 6, 1, 12, tzinfo=BERLIN).timestamp()
    with open_ledger(tmp_path) as ledger:
        pauses = IntendedPauses({"in": NIGHT, "other": ()}, ledger, log)
        for hours_later in (0, 1, 8, 9):
            pauses.update(noon + hours_later * 3600)
    assert log.told == [
        (
            "info",
            Event.FOLDER_PAUSED,
            {"folder": "in", "reason": "outside of its hours (20:00-06:00)"},
        ),
        ("info", Event.FOLDER_RESUMED, {"folder": "in"}),
    ]


def test_a_paused_folder_queues_and_begins_nothing(tmp_path: Path) -> None:
    """What is in work is finished, others go on, health stays ok, and a reload changes nothing."""
    shop = Shop(tmp_path, names=("in", "other"), workers=2)
    shop.take("a.jpg")
    shop.ledger.pause("in", 0.0)
    shop.settle()
    shop.pool.stage()
    shop.take("b.jpg")
    shop.take("c.jpg", folder="other")
    assert [task.relative for task in shop.pool.tasks] == [b"c.jpg"]
    assert shop.made() == ["a.jpg"]
    now = shop.dispatcher.snapshot()
    assert (now.paused, now.health, now.queue_depth) == ({"in": BY_OPERATOR}, "ok", 2)
    shop.pool.stage()
    shop.settle()
    shop.reload()
    shop.settle()
    assert shop.pool.tasks == []
    shop.ledger.resume("in")
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"b.jpg"]
    shop.close()


def test_a_fault_comes_before_a_pause(tmp_path: Path) -> None:
    """Health says what is wrong, whoever paused the folder."""
    shop = Shop(tmp_path)
    shop.ledger.pause("", 0.0)
    shop.settle()
    shop.dispatcher.folders["in"].pause("disk full", shop.now_s)
    now = shop.dispatcher.snapshot()
    assert (now.paused, now.health) == ({"in": "disk full"}, "degraded")
    shop.close()


def test_pause_and_resume_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside a running daemon and without one, by name and by path, seen by `status` at once."""
    shop = Shop(tmp_path, workers=1)
    where = ["--state", str(tmp_path / "state")]
    assert main(["pause", *where, str(tmp_path / "in")]) == 0
    assert "in: paused" in capsys.readouterr().out
    shop.take("a.jpg")
    assert shop.pool.tasks == []
    main(["status", *where])
    assert f"paused: in: {BY_OPERATOR}, since 20" in capsys.readouterr().out
    shop.close()
    folders = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "in-out")]
    assert main(["once", *where, *folders]) == ExitCode.UNAVAILABLE
    assert "in: paused" in capsys.readouterr().err
    shop.start()
    shop.settle()
    assert shop.pool.tasks == []
    assert main(["resume", *where, "in"]) == 0
    shop.settle()
    assert len(shop.pool.tasks) == 1
    shop.close()


def test_a_pause_of_all_folders_ends_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single folder cannot be resumed out of it, and an unknown one is reported."""
    shop = Shop(tmp_path)
    where = ["--state", str(tmp_path / "state")]
    assert main(["pause", *where, "nobody"]) == ExitCode.INPUT_MISSING
    assert "nobody: no such folder; known are in" in capsys.readouterr().err
    assert main(["pause", *where, "in"]) == main(["pause", *where]) == 0
    assert main(["resume", *where, "in"]) == ExitCode.USAGE
    assert set(shop.ledger.pauses()) == {"", "in"}
    assert main(["resume", *where]) == 0
    assert shop.ledger.pauses() == {}
    shop.close()
