"""Record of a run: one JSON line with the scores of each validation."""

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
    """The validations of one run."""

    name: str
    rows: tuple[dict[str, float], ...]
    """Ascending in `step` and in `minutes`; each has those two and some of MEASURES."""

    def points(self, span: str, measure: str) -> tuple[list[float], list[float]]:
        """Abscissas and ordinates of one curve; empty if the run did not measure it."""
        rows = [row for row in self.rows if measure in row]
        return [row[span] for row in rows], [row[measure] for row in rows]


def append_line(path: Path, line: str) -> None:
    """Append a line, after a line break if a kill left the last one incomplete."""
    with path.open("a+b") as file:
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line.encode() + b"\n")


def read_record(run: Path) -> Record:
    """Read `record.jsonl` of a run's folder.

    An incomplete line, as a kill can leave it, is skipped; of a step that was validated again after
    resuming, the later line counts.

    Raises:
        InputMissingError: there is no record, or nothing has been measured yet.
    """
    path = run / RECORD
    if not path.is_file():
        raise InputMissingError(f"{path}: no such file; training has not validated yet")
    by_step = {row["step"]: row for row in _whole_lines(path.read_text().splitlines())}
    if not by_step:
        raise InputMissingError(f"{path}: contains no validation")
    return Record(run.resolve().name, tuple(by_step[step] for step in sorted(by_step)))


def _whole_lines(lines: Iterable[str]) -> Iterator[dict[str, float]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and set(SPANS) <= set(row):
            yield row
