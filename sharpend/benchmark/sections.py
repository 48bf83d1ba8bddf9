"""Sections of the benchmark by name, with the sizes of a quick and of a full run."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.benchmark import cluster, networks, plain, watched, whole
from sharpend.benchmark.codecs import codecs
from sharpend.benchmark.compression import compression
from sharpend.benchmark.images import HD_PX, SIZES_PX, fill, folders, kinds, photograph, write
from sharpend.benchmark.once import FEWEST_IMAGES
from sharpend.benchmark.peers import peers
from sharpend.benchmark.rounds import FEWEST
from sharpend.imaging.formats import Format
from sharpend.machine import cores, processor_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from sharpend.benchmark.figures import Table

DEFAULT_MODELS = ("lite-x4", "base-x4", "lite-photo", "base-photo")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a run."""

    rounds: int
    images: int
    """Of 1080p for the whole daemon."""
    runs: int
    """Of the whole daemon."""
    idle_s: float
    queues: tuple[int, ...]
    folders: tuple[int, ...]
    largest_mp: float
    page_s: float = 4.0
    """Of a batch beside the status page."""


FULL = Sizes(7, 120, 3, 30.0, (1_000, 10_000), (1, 100, 500), 100.0)
QUICK = Sizes(2, 12, 1, 5.0, (200,), (1, 100), 6.0)


def sections(
    sizes: Sizes, models: tuple[str, ...], given: Path | None, scratch: Path, device: str
) -> dict[str, Callable[[], Table]]:
    """Name the sections in order; each is measured when it is called.

    Args:
        sizes: FULL or QUICK.
        models: shipped models or files; the first one works in the daemon.
        given: a folder of images for the whole daemon and other tools; None makes images.
        scratch: an empty folder.
        device: of the sections that need no daemon, as the settings name it.
    """
    made = partial(_photographs, given, scratch, sizes)
    first = models[0]
    return {
        **_without_daemon(sizes, models, scratch, device),
        "compression": lambda: compression(_few(made()), sizes.rounds),
        "daemon": lambda: whole.throughput(
            {"given": given} if given else folders(_new(scratch), sizes.images),
            _new(scratch),
            first,
            sizes.runs,
        ),
        "latency": lambda: whole.latency(
            write(_new(scratch) / "image.jpg", photograph(*HD_PX), Format.JPEG),
            _new(scratch),
            sizes.rounds,
        ),
        "queue": lambda: whole.queue(
            {
                f"{count} images of 16 x 16": fill(_new(scratch) / str(count), count, _TINY_PX)
                for count in sizes.queues
            },
            _new(scratch),
        ),
        "idle": lambda: whole.idle(_new(scratch), sizes.idle_s, sizes.folders),
        "page": lambda: watched.page(
            made(), _new(scratch), first, rounds=sizes.rounds, batch_s=sizes.page_s
        ),
        "contention": lambda: whole.contention(made(), _new(scratch), first, sizes.runs),
        "cluster": lambda: cluster.cluster(made(), _new(scratch), first),
        "peers": lambda: peers(_short_and_long(given, scratch, sizes), models, FEWEST),
    }


def _without_daemon(
    sizes: Sizes, models: tuple[str, ...], scratch: Path, device: str
) -> dict[str, Callable[[], Table]]:
    first = models[0]
    threads = sorted({1, cores()} if device == networks.CPU else {1})
    within = {row: size for row, size in SIZES_PX.items() if prod(size) <= sizes.largest_mp * _MEGA}
    large = "24 MP" in within
    return {
        "models": partial(networks.models, models, HD_PX, threads, sizes.rounds, device),
        "stages": lambda: networks.stages(
            first, kinds(_new(scratch), large=large), sizes.rounds, device
        ),
        "codecs": lambda: codecs(_jpegs_and_pngs(_new(scratch), large=large), sizes.rounds),
        "size": partial(networks.growth, first, within, sizes.rounds, device),
    }


def _jpegs_and_pngs(folder: Path, *, large: bool) -> dict[str, Path]:
    files = {row: path for row, (path, _) in kinds(folder, large=large).items()}
    return {row: path for row, path in files.items() if path.suffix in {".jpg", ".png"}}


def _photographs(given: Path | None, scratch: Path, sizes: Sizes) -> Path:
    """Return the folder that was given, or make one of photographs of 1920 x 1080."""
    return given or fill(_new(scratch) / "made", sizes.images, HD_PX)


def _few(folder: Path) -> list[NDArray[np.uint8]]:
    """Decode the first photographs of a folder."""
    return [plain.in_colour(path) for path in sorted(folder.iterdir())[:_FEW]]


def _short_and_long(given: Path | None, scratch: Path, sizes: Sizes) -> list[Path]:
    """Return folders of the first photographs, whose time the start rules, and of all."""
    every = _photographs(given, scratch, sizes)
    first = sorted(every.iterdir())[: max(sizes.images // _SHORT_PART, FEWEST_IMAGES)]
    short = _new(scratch)
    for path in first:
        shutil.copy(path, short)
    return [short, every]


_FEW = 4
_SHORT_PART = 5
"""24 of 120."""
_MEGA = 1e6
_TINY_PX = (16, 16)


def measured(
    all_sections: Mapping[str, Callable[[], Table]], wanted: Iterable[str]
) -> Iterator[tuple[str, Table]]:
    """Measure sections one after the other, and note the load of the machine before each."""
    for name in wanted:
        load = os.getloadavg()[0]
        table = all_sections[name]()
        table.notes.append(f"Load average before: {load:.1f}.")
        yield name, table


def machine() -> str:
    """Describe this machine in a line."""
    return f"{cores()} cores, {processor_name()}"


def _new(scratch: Path) -> Path:
    """Make a folder of its own for one section."""
    return Path(tempfile.mkdtemp(dir=scratch))
