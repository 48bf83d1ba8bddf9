"""Section on a Ray cluster: throughput of a daemon with workers there, against local workers.

Joins the cluster of `SHARPEND_ENGINE__ADDRESS`, else that of this machine, and starts none.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.benchmark.batches import Batch, running_in
from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.errors import UnavailableError
from sharpend.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ADDRESS = "SHARPEND_ENGINE__ADDRESS"
_ACTOR = b"ray::WorkerActor"
_BATCHES = 5
"""Batches of each daemon, after one that is not counted."""
_COLUMNS = ("images/s", "ratio", "busy share", "beside the work, ms")


def cluster(source: Path, scratch: Path, model: str) -> Table:
    """Measure two daemons in turn that differ in `engine.kind` alone.

    Args:
        source: folder with at least two images.
        scratch: an empty folder.
        model: as `model.name` takes it.

    Raises:
        UnavailableError: a daemon ended; fewer workers fit on the cluster than it reported.
    """
    images = sorted(path for path in source.iterdir() if path.is_file())
    usual = {"SHARPEND_MODEL__NAME": model, "SHARPEND_WORKERS__THREADS": "1"}
    usual |= {"SHARPEND_PREVIEWS__COUNT": "0", "SHARPEND_REPORT__EVERY_S": "1"}
    found: dict[str, list[Batch]] = {"local": [], "ray": []}
    with ExitStack() as stack:
        on_cluster = stack.enter_context(
            running_in(scratch / "ray", {**usual, "SHARPEND_ENGINE__KIND": "ray"})
        )
        on_cluster.batch(images)  # more workers join meanwhile
        workers = _workers(scratch / "ray" / "state")
        environment = {**usual, "SHARPEND_WORKERS__COUNT": str(workers)}
        local = stack.enter_context(running_in(scratch / "local", environment))
        local.batch(images)
        for number in range(_BATCHES):
            pair = [("local", local), ("ray", on_cluster)]
            for row, place in pair if number % 2 else reversed(pair):
                found[row].append(place.batch(images))
        elsewhere = max(0, workers - _actors_here())
    places = {"local": min(workers, cores())}
    places["ray"] = elsewhere + min(workers - elsewhere, cores())
    where = f"{elsewhere} of them on other machines" if elsewhere else "all on this machine"
    notes = [
        f"{model}, {workers} workers of one thread each, {len(images)} images a batch, batches in"
        f" turn; cluster {os.environ.get(_ADDRESS, 'auto')}, {where}, which has {cores()} cores."
        f" Busy share: of the time of {places['local']} places to work here and {places['ray']} on"
        " the cluster; workers that share fewer cores count as those cores. Beside the work: median"
        " of seconds less decode, measure, infer and encode."
    ]
    rows = {row: _row(batches, found["local"], places[row]) for row, batches in found.items()}
    return Table("Workers on a Ray cluster, against local ones", _COLUMNS, rows, notes)


def _row(batches: Sequence[Batch], base: Sequence[Batch], places: int) -> dict[str, Cell]:
    def over(value: Callable[[Batch], float]) -> Figure:
        return Figure.of(map(value, batches))

    pairs = zip(batches, base, strict=True)
    return {
        "images/s": over(lambda one: one.images_per_s),
        "ratio": Figure.of(one.images_per_s / local.images_per_s for one, local in pairs),
        "busy share": over(lambda one: one.busy(places)),
        "beside the work, ms": over(lambda one: 1e3 * one.beside_s),
    }


def _actors_here() -> int:
    """Number of actors on this machine, by the title that Ray gives to their processes."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found += path.read_bytes().startswith(_ACTOR)
    return found


def _workers(state: Path) -> int:
    """Number of workers that a daemon has now."""
    report = json.loads((state / "status.json").read_text())
    if not report["workers"]:
        raise UnavailableError("no node of the cluster has capacity for a worker")
    return int(report["workers"])
