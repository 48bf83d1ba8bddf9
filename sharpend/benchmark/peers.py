"""Section on other tools: whole commands on the same JPEGs, start included, in turn with `once`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.benchmark.figures import Cell, Figure, Table, ratio
from sharpend.benchmark.once import run_once
from sharpend.benchmark.rounds import in_turn, timed
from sharpend.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPORT = "the report's pipeline"
_PEER = "sharpend.benchmark.peer"
_UNLIMITED_S = float("inf")


def peers(sources: Sequence[Path], models: Sequence[str], rounds: int) -> Table:
    """Measure images a second of whole commands.

    Args:
        sources: folders of JPEGs, of different numbers of them, the smallest first: it warms up
            for all.
        models: of `sharpend once`.
        rounds: see `in_turn`.
    """
    columns: list[str] = []
    rows: dict[str, dict[str, Cell]] = {}
    for source in sources:
        count = len(list(source.iterdir()))
        speed, times = f"images/s of {count}", f"times the report, {count}"
        columns += [speed, times]
        work = {row: timed(partial(_run, command, source)) for row, command in _tools().items()}
        for model in models:
            work[f"sharpend once, {model}"] = timed(partial(_once, source, model))
        seconds = in_turn(work, rounds, budget_s=_UNLIMITED_S, warms_up=source is sources[0])
        for row, found in seconds.items():
            cells = rows.setdefault(row, {})
            cells[speed] = Figure.of(count / one for one in found)
            cells[times] = ratio(seconds, row, against=REPORT)
    notes = [
        "JPEGs, whole commands, start included. Tools that are missing have no row."
        " trainer/README.md has the SSIM of the report's networks beside these models'."
    ]
    return Table("Other tools", tuple(columns), rows, notes)


def _tools() -> dict[str, Callable[[Path, Path], list[str]]]:
    """Commands of the tools that are installed, by row."""

    def ours(tool: str) -> Callable[[Path, Path], list[str]]:
        return lambda source, to: [sys.executable, "-m", _PEER, tool, str(source), str(to)]

    found = {REPORT: ours("report"), "Pillow, unsharp mask": ours("pillow")}
    if importlib.util.find_spec("cv2"):
        found["OpenCV, unsharp mask"] = ours("opencv")
    if shutil.which("mogrify"):
        found["ImageMagick, mogrify -unsharp"] = lambda source, to: [
            *("mogrify", "-path", str(to), "-unsharp", "0x2+1.5+0"),
            *map(str, sorted(source.iterdir())),
        ]
    if shutil.which("vips"):
        found["libvips, vips sharpen"] = ours("vips")
    return found


def _run(command: Callable[[Path, Path], list[str]], source: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sharpend-bench-") as to:
        done = subprocess.run(
            command(source, Path(to)), check=False, capture_output=True, text=True
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise UnavailableError(f"{done.args[0]} cannot sharpen {source}: {said[-1]}")


def _once(source: Path, model: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sharpend-bench-") as scratch:
        run_once(source, Path(scratch), {"SHARPEND_MODEL__NAME": model})
