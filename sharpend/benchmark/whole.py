"""Sections on the whole daemon: throughput through folder and ledger, latency, idle cost, queue."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from statistics import fmean
from typing import TYPE_CHECKING

from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.benchmark.live import running_daemon
from sharpend.benchmark.once import Run, run_once
from sharpend.logs.events import Event
from sharpend.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_FOLDER = """
[[folder]]
name = "{number}"
input = "{base}/{number}/input"
output = "{base}/{number}/output"
polling = {polling}
"""
_MINUTE_S = 60
_MS = 1000
_SHARE = "share of the roofline from the third image on"
_PARTS = ("stages, ms", "observations, ms", "rest, ms")
POLLED = 100
"""Polled folders of an idle daemon."""
_SKIPPED = 2
"""First images that are not counted: lazy initialisation and the first comparison with the teacher
slow them."""


def throughput(given: Mapping[str, Path], scratch: Path, model: str, rounds: int) -> Table:
    """Measure `sharpend once` on folders, the folders in turn.

    Args:
        given: input folders by row.
        scratch: an empty folder for outputs and states.
        model: as `model.name` takes it.
        rounds: runs of each folder.
    """
    found: dict[str, list[Run]] = {row: [] for row in given}
    for number in range(rounds):
        for row, source in given.items():
            place = scratch / f"{number}-{source.name}"
            found[row].append(run_once(source, place, {"SHARPEND_MODEL__NAME": model}))
    columns = (
        "images/s",
        "roofline",
        _SHARE,
        *_PARTS,
        "whole command, s",
        "CPU s",
        "ready, s",
        "first output, s",
    )
    rows = {f"{row}, {len(runs[0].finished_s)}": _row(runs) for row, runs in found.items()}
    workers = next(iter(found.values()))[0].workers
    notes = [
        f"{model}, {workers} workers on {cores()} cores; images/s and roofline without the first"
        " half of each run. The roofline is cores divided by the seconds of decode, measure, infer"
        " and encode. Milliseconds are of a core for an image from the third on: these stages,"
        " agreement and previews, and all else."
    ]
    return Table("The whole daemon, `sharpend once`", columns, rows, notes)


def _row(runs: list[Run]) -> dict[str, Cell]:
    half = len(runs[0].finished_s) // 2
    skipped = min(half, _SKIPPED)

    def over(value: Callable[[Run], float]) -> Figure:
        return Figure.of(value(run) for run in runs)

    return {
        "images/s": over(lambda run: run.images_per_s(skip=half)),
        "roofline": over(lambda run: run.roofline(cores(), skip=half)),
        _SHARE: over(
            lambda run: run.images_per_s(skip=skipped) / run.roofline(cores(), skip=skipped)
        ),
        _PARTS[0]: over(lambda run: _MS * fmean(run.stages_s[skipped:])),
        _PARTS[1]: over(lambda run: _MS * fmean(run.observed_s[skipped:])),
        _PARTS[2]: over(lambda run: _MS * run.rest_s(cores(), skip=skipped)),
        "whole command, s": over(lambda run: run.seconds),
        "CPU s": over(lambda run: run.cpu_s),
        "ready, s": over(lambda run: run.ready_s),
        "first output, s": over(lambda run: run.first_s),
    }


def latency(image: Path, scratch: Path, rounds: int) -> Table:
    """Measure the way of a single image through a running daemon that waits.

    The image is renamed into the folder, or copied into it; the clock stops at `image.finished`.
    """
    folder = scratch / "0"
    methods = {"renamed in": _renamed, "copied in": _copied}
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    with running_daemon(_settings(scratch, 1, polling=False), {}) as daemon:
        daemon.await_event(Event.DAEMON_READY)
        for number in range(rounds + 1):
            for method, place in methods.items():
                began = time.monotonic()
                place(image, folder / "input" / f"{number}-{method.split()[0]}.jpg")
                daemon.await_event(Event.IMAGE_FINISHED)
                seconds[method].append(time.monotonic() - began)
    rows: dict[str, dict[str, Cell]] = {
        method: {"seconds": Figure.of(found[1:])} for method, found in seconds.items()
    }
    return Table("One image in a waiting daemon", ("seconds",), rows)


def idle(scratch: Path, seconds: float, counts: tuple[int, ...] = (1, 100, 500)) -> Table:
    """Measure processor time of the daemon's own process while nothing happens.

    Args:
        scratch: an empty folder.
        seconds: of watching each.
        counts: numbers of folders; POLLED polled ones are measured as well.
    """
    rows: dict[str, dict[str, Cell]] = {}
    for count, polling in [*((count, False) for count in counts), (POLLED, True)]:
        options = _settings(scratch / f"{count}-{polling}", count, polling=polling)
        with running_daemon(options, {}) as daemon:
            daemon.await_event(Event.DAEMON_READY)
            time.sleep(min(seconds, _SETTLED_S))
            before, began = daemon.cpu_s(), time.monotonic()
            time.sleep(seconds)
            used = (daemon.cpu_s() - before) / (time.monotonic() - began)
        row = f"{count} folders" + ", polled" * polling
        rows[row] = {"CPU s/minute": used * _MINUTE_S, "share of a core, %": 100 * used}
    return Table("Idle daemon", ("CPU s/minute", "share of a core, %"), rows)


_SETTLED_S = 5.0
"""After the start, before an idle daemon is watched."""


def _settings(base: Path, count: int, *, polling: bool) -> list[str]:
    """Make so many folders and settings for them; return the daemon's options."""
    sections = []
    for number in range(count):
        (base / str(number) / "input").mkdir(parents=True)
        sections.append(_FOLDER.format(base=base, number=number, polling=str(polling).lower()))
    settings = base / "sharpend.toml"
    settings.write_text("".join(sections))
    return ["--config", str(settings), "--state", str(base / "state")]


def queue(given: Mapping[str, Path], scratch: Path) -> Table:
    """Measure `once` on folders of tiny images, and again where all of them are finished."""
    rows: dict[str, dict[str, Cell]] = {}
    for row, source in given.items():
        place = scratch / source.name
        first = run_once(source, place, {})
        rows[row] = {
            "images/s": first.images_per_s(skip=1),
            "first run, s": first.seconds,
            "run again, s": run_once(source, place, {}).seconds,
        }
    columns = ("images/s", "first run, s", "run again, s")
    return Table("Growth by queue", columns, rows)


def contention(source: Path, scratch: Path, model: str, rounds: int) -> Table:
    """Measure `sharpend once` alone, and beside as many busy processes as there are cores, in turn.

    Args:
        source: folder with at least two images.
        scratch: an empty folder for outputs and states.
        model: as `model.name` takes it.
        rounds: runs of both.
    """
    beside = f"beside {cores()} busy processes"
    found: dict[str, list[float]] = {"alone": [], beside: []}
    for number in range(rounds):
        for row, count in (("alone", 0), (beside, cores())):
            with _busy(count):
                run = run_once(
                    source, scratch / f"{number}-{count}", {"SHARPEND_MODEL__NAME": model}
                )
            found[row].append(run.images_per_s(skip=len(run.finished_s) // 2))
    rows: dict[str, dict[str, Cell]] = {
        row: {"images/s": Figure.of(rates)} for row, rates in found.items()
    }
    shares = zip(found[beside], found["alone"], strict=True)
    rows[beside]["share"] = Figure.of(disturbed / alone for disturbed, alone in shares)
    notes = [f"{model}, without the first half of each run; the others do nothing but count."]
    return Table("Beside busy processes", ("images/s", "share"), rows, notes)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep so many processes busy, each on one core."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while 1: pass"]))
            stack.callback(process.kill)
        yield


def _renamed(image: Path, to: Path) -> None:
    staged = to.parent.parent / to.name
    staged.write_bytes(image.read_bytes())
    os.rename(staged, to)


def _copied(image: Path, to: Path) -> None:
    to.write_bytes(image.read_bytes())
