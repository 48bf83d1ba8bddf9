"""History of the reports: a point for each minute of a day, and for each hour of a year.

Owns `history/` in the state directory, and what a point holds. The files are bounded by their size
(`files.rotated`). A point that cannot be written is lost; the caller logs the error and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpend.files import rotated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FOLDER = "history"
"""Folder in the state directory."""
MINUTE_S, HOUR_S = 60, 3600
DAY_S, YEAR_S = 24 * HOUR_S, 366 * 24 * HOUR_S
LONGEST_POINT_BYTES = 512
"""Most bytes that one point takes, by which the sizes of the files are chosen."""
_SUMS = ("images", "failures", "megapixels")
_OF_AGREEMENT = ("rolling", "noop_mean", "alarm_below", "residual_ratio", "residual_above")


class History:
    """Writer of the history of one daemon; all methods are called from one thread.

    A point is written with the first report of a later minute, so a kill loses one minute. An hour
    is computed from its minutes when it is over, by this daemon or by a later one.

    Args:
        state_dir: the folder is made in it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER
        self._point: dict[str, Any] | None = None
        self._hours_until: int | None = None
        """End of the last hour that is written; None until the file was looked at."""

    def add(self, report: Mapping[str, Any], wall_s: float) -> None:
        """Add a report.

        Args:
            report: as `report.published` has it.
            wall_s: wall clock in seconds.

        Raises:
            OSError: a point could not be written.
        """
        point = point_of(report, int(wall_s) // MINUTE_S * MINUTE_S)
        before, self._point = self._point, point
        if before is None:
            return
        if before["at"] == point["at"]:
            self._point = merged([before, point])
        else:
            self._write(before)

    def flush(self) -> None:
        """Write the last point, at the end of the daemon; raises OSError as `add` does."""
        point, self._point = self._point, None
        if point is not None:
            self._write(point)

    def _write(self, point: Mapping[str, Any]) -> None:
        self._folder.mkdir(mode=0o750, exist_ok=True)
        most_bytes = DAY_S // MINUTE_S * LONGEST_POINT_BYTES
        rotated.append(self._folder / "minutes.jsonl", point, most_bytes)
        self._write_hours(point["at"] // HOUR_S * HOUR_S)

    def _write_hours(self, now_s: int) -> None:
        """Write the hours before `now_s`, an hour's begin, that have minutes and are missing."""
        path = self._folder / "hours.jsonl"
        if self._hours_until is None:
            ends = (point["at"] + HOUR_S for point in _since(path, 0))
            self._hours_until = next((end for end in ends if end <= now_s), 0)
        if self._hours_until >= now_s:
            return
        begin, self._hours_until = self._hours_until, now_s
        hours: dict[int, list[dict[str, Any]]] = {}
        for point in _since(self._folder / "minutes.jsonl", begin):
            if point["at"] < now_s:
                hours.setdefault(point["at"] // HOUR_S * HOUR_S, []).insert(0, point)
        for at, points in sorted(hours.items()):
            one = {**merged(points), "at": at}
            rotated.append(path, one, YEAR_S // HOUR_S * LONGEST_POINT_BYTES)


def point_of(report: Mapping[str, Any], at_s: int) -> dict[str, Any]:
    """Choose what a point holds of a report.

    Args:
        report: as `report.published` has it.
        at_s: begin of its minute (wall clock).
    """
    agreement = report.get("agreement") or {}
    megapixels = report.get("megapixels_per_s", 0.0) * report.get("window_s", 0.0)
    return {
        "at": at_s,
        "images": report.get("images", 0),
        "failures": report.get("failures", 0),
        "megapixels": round(megapixels, 3),
        "queue_depth": report.get("queue_depth", 0),
        "health": report.get("health", "ok"),
        **{key: agreement.get(key) for key in _OF_AGREEMENT},
    }


def merged(points: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge points in their order: counts are added, all else is that of the last one."""
    *_, last = points = list(points)
    return {**last, **{key: sum(one[key] for one in points) for key in _SUMS}}


def read(state_dir: Path, *, hours: bool, now_s: float) -> list[dict[str, Any]]:
    """Read the points of the last day by the minute, or of the last year by the hour.

    Args:
        state_dir: of the daemon.
        hours: the year.
        now_s: wall clock in seconds.

    Returns:
        The points in the order of time, with the keys of `point_of`.
    """
    name, span_s = ("hours", YEAR_S) if hours else ("minutes", DAY_S)
    points = _since(state_dir / FOLDER / f"{name}.jsonl", now_s - span_s)
    wanted = {one["at"]: one for one in points if one["at"] <= now_s}
    return [wanted[at] for at in sorted(wanted)]


def _since(path: Path, begin_s: float) -> Iterator[dict[str, Any]]:
    """Iterate over the points from a time on, the last one first.

    Points are in the order of time, unless the clock was set: then those before an older point are
    not found.
    """
    for point in rotated.newest_first(path):
        if not _is_point(point):
            continue
        if point["at"] < begin_s:
            return
        yield point


def _is_point(values: Mapping[str, Any]) -> bool:
    """Return whether a line is a point: one of another program, or damaged, is left out."""
    numbers = {key: value for key, value in values.items() if key != "health"}
    are_numbers = all(value is None or type(value) in {int, float} for value in numbers.values())
    are_sums = all(type(values.get(key)) in {int, float} for key in _SUMS)
    return are_numbers and type(values.get("at")) is int and are_sums
