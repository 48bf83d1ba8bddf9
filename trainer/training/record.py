"""What a run measured of itself: one JSON line for each validation, read back by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

RECORD = "record.jsonl"
SPANS = ("step", "minutes")


@dataclass(frozen=True, slots=True)
class Record:
    """What one run measured of itself."""

    name: str
    rows: tuple[dict[str, float], ...]
    """Ascending in `step` and in `minutes`; each has those two and some of MEASURES."""

    def points(self, span: str, measure: str) -> tuple[list[float], list[float]]:
        """Abscissas and ordinates of one curve; empty where the run did not measure this."""
        rows = [row for row in self.rows if measure in row]
        return [row[span] for row in rows], [row[measure] for row in rows]


def append_line(path: Path, line: str) -> None:
    """Add a line, apart from one that a kill cut short."""
    with path.open("a+b") as file:
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")


def read_record(run: Path) -> Record:
    """Read `record.jsonl` of a run's folder.

    A line that is not whole, as a kill can leave it, is passed over; of a step that was measured
    again after a resumption the later line counts.

    Raises:
        InputMissingError: there is no record, or nothing has been measured yet.
    """
    path = run / RECORD
    if not path.is_file():
        raise InputMissingError(f"{path}: no such file; training has not validated yet")
    by_step = {row["step"]: row for row in _whole_lines(path.read_text().splitlines())}
    if not by_step:
        raise InputMissingError(f"{path}: holds no measurement")
    return Record(run.resolve().name, tuple(by_step[step] for step in sorted(by_step)))


def _whole_lines(lines: Iterable[str]) -> Iterator[dict[str, float]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and set(SPANS) <= set(row):
            yield row
