"""History of figures and of images: what the status page shows of the past, within bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.daemon import history, image_history
from sharpend.daemon.history import DAY_S, HOUR_S, LONGEST_POINT_BYTES, YEAR_S, History
from sharpend.daemon.image_history import ImageHistoryLog
from sharpend.files import rotated
from sharpend.logs.events import Event
from sharpend.logs.plain import plain
from tests.fakes import ListLog

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 1_800_000_000 // HOUR_S * HOUR_S
MINUTE = 60


def report(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - of a report
    """A report of one minute with one image."""
    agreement = {"rolling": 0.9, "noop_mean": 0.8, "alarm_below": None, "residual_ratio": 0.25}
    agreement["residual_above"] = 0.5
    usual = {"images": 1, "failures": 0, "megapixels_per_s": 2.0, "window_s": 60.0}
    return {**usual, "queue_depth": 7, "health": "ok", "agreement": agreement, **values}


def written(state: Path, minutes: int, *, begin_s: int = BEGIN) -> History:
    """A history with a report in each minute, the last one not written yet."""
    made = History(state)
    for number in range(minutes + 1):
        made.add(report(), begin_s + number * MINUTE)
    return made


def test_a_day_by_the_minute_and_a_year_by_the_hour(tmp_path: Path) -> None:
    """Each minute has its point, and each hour that is over the sum of its minutes."""
    written(tmp_path, 150)
    now_s = BEGIN + 150 * MINUTE
    minutes = history.read(tmp_path, hours=False, now_s=now_s)
    hours = history.read(tmp_path, hours=True, now_s=now_s)
    assert [one["at"] for one in minutes] == [BEGIN + n * MINUTE for n in range(150)]
    assert [(one["at"], one["images"]) for one in hours] == [(BEGIN, 60), (BEGIN + HOUR_S, 60)]
    assert minutes[0]["residual_ratio"] == 0.25
    assert minutes[0]["megapixels"] == 120.0


def test_reports_of_one_minute_are_one_point(tmp_path: Path) -> None:
    """Counts are added up; a level is the last one."""
    made = History(tmp_path)
    for second, depth in enumerate((9, 5, 3)):
        made.add(report(queue_depth=depth), BEGIN + second)
    made.flush()
    (point,) = history.read(tmp_path, hours=False, now_s=BEGIN + MINUTE)
    assert (point["images"], point["queue_depth"]) == (3, 3)


def test_hours_that_ended_while_no_daemon_ran_are_written_by_the_next(tmp_path: Path) -> None:
    """A kill loses one minute, and no hour; what is written is not written again."""
    written(tmp_path, 59)
    later = BEGIN + 5 * HOUR_S
    written(tmp_path, 2, begin_s=later)
    written(tmp_path, 2, begin_s=later + 10 * MINUTE)
    hours = history.read(tmp_path, hours=True, now_s=later + HOUR_S)
    assert [(one["at"], one["images"]) for one in hours] == [(BEGIN, 59)]


def test_what_is_too_old_is_not_shown(tmp_path: Path) -> None:
    """A day and a year, whatever the files hold; nor what the clock says is to come."""
    written(tmp_path, 61)
    for hours, length_s in ((False, DAY_S), (True, YEAR_S)):
        assert history.read(tmp_path, hours=hours, now_s=BEGIN - 1) == []
        assert history.read(tmp_path, hours=hours, now_s=BEGIN + 62 * MINUTE + length_s) == []


def test_the_files_are_bounded(tmp_path: Path) -> None:
    """Two days of minutes at most, a line short enough that one day fits."""
    written(tmp_path, 5000)
    folder = tmp_path / "history"
    sizes = [path.stat().st_size for path in sorted(folder.glob("minutes.jsonl*"))]
    most = DAY_S // MINUTE * LONGEST_POINT_BYTES
    assert all(size <= most + LONGEST_POINT_BYTES for size in sizes)
    now_s = BEGIN + 5000 * MINUTE
    assert len(history.read(tmp_path, hours=False, now_s=now_s)) == DAY_S // MINUTE
    longest = history.point_of(report(queue_depth=10**12, images=10**9), BEGIN)
    longest |= {key: 0.1234567890123456 for key in longest if longest[key] is None}
    assert len(str(longest)) < LONGEST_POINT_BYTES


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_a_kill_cut_spoils_no_other(tmp_path: Path, cut: int) -> None:
    """The torn line alone is lost, and the next one is whole."""
    written(tmp_path, 3)
    path = tmp_path / "history/minutes.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    written(tmp_path, 2, begin_s=BEGIN + 10 * MINUTE)
    points = history.read(tmp_path, hours=False, now_s=BEGIN + HOUR_S)
    minutes = [(one["at"] - BEGIN) // MINUTE for one in points]
    assert minutes == [0, 1, 10, 11]


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b'{"at": "x"}',
        b'{"at": 1799999999}',
        b'{"at": 1, "images": "x", "failures": 0, "megapixels": 0}',
        b"\xff",
        b"null",
        b'{"at": 1e999}',
        b"9" * 5000,
    ],
)
def test_lines_that_are_none_of_ours_are_left_out(tmp_path: Path, line: bytes) -> None:
    """The points before and behind the line are shown, and the hour is summed up."""
    written(tmp_path, 2)
    for name in ("minutes", "hours"):
        with (tmp_path / f"history/{name}.jsonl").open("ab") as file:
            file.write(b"\n" + line)
    written(tmp_path, 2, begin_s=BEGIN + HOUR_S)
    now_s = BEGIN + 2 * HOUR_S
    assert len(history.read(tmp_path, hours=False, now_s=now_s)) == 4
    assert [one["images"] for one in history.read(tmp_path, hours=True, now_s=now_s)] == [2]


def test_a_full_disk_is_an_error_of_the_caller_and_no_more(tmp_path: Path) -> None:
    """A limit on the size of files takes the place of a full disk: OSError, then work goes on."""
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from tests.test_history import report, BEGIN; from sharpend.daemon.history import History;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "made = History(Path(sys.argv[1]));\n"
        "for n in range(5): made.add(report(), BEGIN + n * 60)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (900, resource.RLIM_INFINITY))\n"
        "failed = 0\n"
        "for n in range(5, 9):\n"
        "    try: made.add(report(), BEGIN + n * 60)\n"
        "    except OSError: failed += 1\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "for n in range(9, 12): made.add(report(), BEGIN + n * 60)\n"
        "print(failed)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) >= 3
    minutes = [one["at"] for one in history.read(tmp_path, hours=False, now_s=BEGIN + HOUR_S)]
    assert {BEGIN, BEGIN + 9 * MINUTE, BEGIN + 10 * MINUTE} <= set(minutes)


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """Nothing is appended to another file."""
    target = tmp_path / "target"
    target.write_bytes(b"")
    path = tmp_path / "lines"
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        rotated.append(path, {"a": 1}, 1000)
    assert target.read_bytes() == b""


def test_the_history_of_images_keeps_the_events_of_each_image(tmp_path: Path) -> None:
    """Those of one input come back, the last one first, with the options of its folder."""
    log = ListLog()
    kept = ImageHistoryLog(log, tmp_path, {"in": {"strength": 1.5}})
    odd = b'a"\n\xff.jpg'
    kept.debug(Event.FILE_SETTLED, folder="in", path=odd)
    kept.info(Event.IMAGE_FINISHED, folder="in", path=odd, output=odd, infer_s=0.5)
    kept.info(Event.IMAGE_FINISHED, folder="other", path=odd)
    kept.info(Event.IMAGE_FINISHED, folder="in", path=b"a")
    kept.info(Event.FOLDER_RESUMED, folder="in")
    finished, settled = image_history.read(tmp_path, "in", odd)
    assert (finished["event"], settled["event"]) == ("image.finished", "file.settled")
    assert finished["options"] == {"strength": 1.5}
    assert finished["infer_s"] == 0.5
    assert finished["output"] == plain(odd)
    assert len(log.told) == 5


def test_the_history_of_images_never_stops_an_image(tmp_path: Path) -> None:
    """Where the state directory cannot be written, the log has the event all the same."""
    log = ListLog()
    kept = ImageHistoryLog(log, tmp_path / "gone", {})
    kept.info(Event.IMAGE_FINISHED, folder="in", path=b"a.jpg")
    assert len(log.of(Event.IMAGE_FINISHED)) == 1
    assert image_history.read(tmp_path / "gone", "in", b"a.jpg") == []


def test_the_history_of_images_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older half goes when a file is full."""
    monkeypatch.setattr(image_history, "MOST_BYTES", 2000)
    kept = ImageHistoryLog(ListLog(), tmp_path, {})
    for number in range(200):
        kept.info(Event.IMAGE_FINISHED, folder="in", path=b"%d.jpg" % number)
    sizes = [os.stat(path).st_size for path in (tmp_path / "history").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 2300
    assert image_history.read(tmp_path, "in", b"199.jpg")
    assert not image_history.read(tmp_path, "in", b"1.jpg")
