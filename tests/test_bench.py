"""`sharpend bench`: figures that a busy machine cannot skew; each section on real processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.benchmark import sections, whole
from sharpend.benchmark.batches import Batch
from sharpend.benchmark.figures import Cell, Figure, Table, ratio
from sharpend.benchmark.images import fill, photograph
from sharpend.benchmark.memory import MIB, Memory
from sharpend.benchmark.process import run_server
from sharpend.benchmark.rounds import in_turn
from sharpend.benchmark.serve import serve
from sharpend.cli import main
from sharpend.commands.bench import SECTIONS
from sharpend.errors import ExitCode
from sharpend.model.device import Placement

if TYPE_CHECKING:
    from pathlib import Path

ON_CPU = Placement("cpu", "float32", threads=1)
TINY = sections.Sizes(2, 4, 1, 0.1, (6,), (1,), 0.5, 0.1)


def test_a_disturbed_round_does_not_change_the_ratio() -> None:
    """Competitors are compared within rounds: what slows a whole round slows all of them alike."""
    seconds = {"lite": [0.25, 1.0, 9.0, 7.0], "teacher": [3.0, 12.0, 3.0]}
    assert ratio(seconds, "lite", against="teacher") == Figure(12.0, 3.0 / 9.0, 12.0)
    assert ratio(seconds, "teacher", against="teacher") == Figure(1, 1, 1)


def test_a_slow_competitor_leaves_after_two_rounds() -> None:
    """Time is budgeted, but a median of less than two would be chance; the first one warms up."""
    calls: list[str] = []

    def work(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds

    found = in_turn({"slow": lambda: work("slow", 18), "fast": lambda: work("fast", 1)}, 5)
    assert {name: len(seconds) for name, seconds in found.items()} == {"slow": 2, "fast": 5}
    assert (calls.count("slow"), calls.count("fast")) == (3, 6)


@pytest.mark.parametrize(("places", "share"), [(1, 1.0), (2, 0.65), (4, 0.375)])
def test_images_beyond_the_places_to_work_make_them_no_busier(places: int, share: float) -> None:
    """Of the last 10 s, two images are in work for one, three for two, and one for seven."""
    rest = {"measure_s": 0.0, "infer_s": 0.0, "encode_s": 0.0}
    ended = [(20, 14.0, 14.0), (16, 6.0, 3.0), (14, 3.0, 2.0), (12, 9.0, 5.0)]
    events = [
        {"timestamp": f"2026-01-01T00:00:{end}Z", "seconds": seconds, "decode_s": work_s, **rest}
        for end, seconds, work_s in ended
    ]
    assert Batch(10.0, 0.0, events).busy(places) == pytest.approx(share)


def test_a_table_is_markdown() -> None:
    """A figure shows its range, and what was not measured is an empty cell."""
    rows: dict[str, dict[str, Cell]] = {
        "a": {"x": Figure.of([3, 1, 2.5]), "y": "text"},
        "b": {"x": 1234.5},
    }
    table = Table("Title", ("x", "y"), rows, ["Note."])
    assert table.markdown().splitlines() == [
        "## Title",
        "",
        "| | x | y |",
        "|---|---|---|",
        "| a | 2.5 (1 to 3) | text |",
        "| b | 1234 |  |",
        "",
        "Note.",
    ]


def test_images_are_photographs_more_or_less(tmp_path: Path) -> None:
    """They use the whole range, differ from each other, and are the same each time."""
    first = photograph(64, 96, seed=1)
    assert np.ptp(first) > 200
    assert np.array_equal(first, photograph(64, 96, seed=1))
    files = sorted(fill(tmp_path / "made", 6, (64, 96)).iterdir())
    assert len(files) == 6
    assert len({path.read_bytes() for path in files}) == 4


def test_memory_counts_what_was_freed_again() -> None:
    """The highest counts, beyond what was there; earlier peaks do not."""
    np.ones(64 * MIB, np.uint8)
    memory = Memory(torch.device("cpu"))
    before = memory.added_bytes
    np.ones(32 * MIB, np.uint8)
    assert before < 8 * MIB
    assert 30 * MIB < memory.added_bytes < 40 * MIB


def test_the_server_says_why_it_cannot(capfd: pytest.CaptureFixture[str]) -> None:
    """A model that is not there is one sentence and its exit code."""
    assert run_server(serve, [json.dumps({"model": "nothing"})], []) == ExitCode.UNAVAILABLE
    assert capfd.readouterr().err.startswith("nothing: no such model")


def test_the_server_times_every_stage(tmp_path: Path) -> None:
    """Each stage has seconds and memory."""
    (image,) = fill(tmp_path / "made", 1, (64, 96)).iterdir()
    orders = ["sharpen 64 96", *(f"{stage} {image}" for stage in ("decode", "measure", "encode"))]
    opened, *replies = serve("lite-photo", ON_CPU, orders)
    assert opened["device"] == "cpu float32"
    assert [reply["seconds"] > 0 for reply in replies] == [True] * 4


def test_an_empty_folder_of_images_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the option."""
    assert main(["bench", "--images", str(tmp_path)]) == ExitCode.INPUT_MISSING
    assert "--images" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_measures_with_real_processes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row has a figure in the first column, and the range holds the median."""
    for variable in ("OMP_NUM_THREADS", "SHARPEND_WORKERS__THREADS"):
        monkeypatch.setenv(variable, "1")  # several wait for each other beside other tests
    every = sections.sections(TINY, ("lite-photo",), None, tmp_path, "cpu")
    ((_, table),) = sections.measured(every, [name])
    assert table.rows
    for cells in table.rows.values():
        figure = cells[table.columns[0]]
        if isinstance(figure, Figure):
            assert 0 < figure.low <= figure.median <= figure.high


@pytest.mark.slow
def test_results_are_written_as_json_and_plots(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command: a table on stdout, and the same figures in a file."""
    monkeypatch.setattr(sections, "QUICK", TINY)
    to = tmp_path / "to"
    assert main(["bench", "latency", "--quick", "--to", str(to)]) == 0
    assert "| renamed in |" in capfd.readouterr().out
    written = json.loads((to / "benchmark.json").read_text())
    assert written["sections"]["latency"]["rows"]["copied in"]["seconds"]["median"] > 0
    assert (to / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_given_images_take_the_place_of_made_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--images` reaches the whole daemon."""
    asked: list[dict[str, Path]] = []

    def throughput(given: dict[str, Path], *_: object) -> Table:
        asked.append(given)
        return Table("", (), {})

    monkeypatch.setattr(whole, "throughput", throughput)
    sections.sections(TINY, ("lite-photo",), tmp_path, tmp_path, "cpu")["daemon"]()
    assert asked == [{"given": tmp_path}]
