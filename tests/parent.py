"""Cost of the daemon's own process for an image: claim, assign, commit, record; no worker works.

    python -m tests.parent [--images 2000] [--workers 64] [--rounds 3] [--groups 1,50] [--in FOLDER]
        [--source keep] [--folders 4]

Workers that do nothing stage a tiny file each; only the dispatcher's turns are timed, over a real
ledger and real folders. With `--source archive` or `delete` there are real inputs, too. Sizes of
groups take turns in each round, so a busy machine slows all of them; 1 is a commit for each image.
Durable waits are calls of fsync, and commits of SQLite that wait for the disk; calls that threads
make side by side are one wait, for the slowest of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from sharpend.daemon import pending_results
from sharpend.files.fingerprint import Fingerprint
from sharpend.policies import SourcePolicy
from tests.fakes import Shop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.ledger.ledger import Ledger


class Waits:
    """Durable waits of this process and one ledger, within a block."""

    def __init__(self, ledger: Ledger) -> None:
        self._threads: list[str] = []
        """Of each fsync and each commit, by name."""
        self._is_full = True
        self._connection = ledger._store._connection
        self._fsync: Callable[[int], None] = os.fsync
        self._patch = patch.object(os, "fsync", self._counted)

    @property
    def calls(self) -> int:
        """Each fsync and each commit for itself."""
        return len(self._threads)

    @property
    def count(self) -> int:
        """Waits: what the threads of one executor, made for one step, flush is one."""
        own = threading.main_thread().name
        executors = {name.rpartition("_")[0] for name in self._threads if name != own}
        return self._threads.count(own) + len(executors)

    def __enter__(self) -> Self:
        self._connection.set_trace_callback(self._saw)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()
        self._connection.set_trace_callback(None)

    def _counted(self, fd: int) -> None:
        self._threads.append(threading.current_thread().name)
        self._fsync(fd)

    def _saw(self, statement: str) -> None:
        if statement.startswith("PRAGMA synchronous"):
            self._is_full = statement.endswith("FULL")
        if self._is_full and statement == "COMMIT":
            self._threads.append(threading.current_thread().name)


@dataclass(frozen=True)
class Cost:
    """Of one image."""

    wall_ms: float
    cpu_ms: float
    waits: float
    calls: float
    """Calls of fsync and commits that these were."""


def cost(
    home: Path,
    images: int,
    workers: int,
    source: SourcePolicy = SourcePolicy.KEEP,
    folders: int = 4,
) -> Cost:
    """Work off so many images in so many sub-folders, and measure the turns."""
    archive = os.fsencode(home / "archive") if source is SourcePolicy.ARCHIVE else None
    shop = Shop(home, workers=workers, source=source, archive_root=archive)
    names = [b"%d/%d.png" % (number % folders, number) for number in range(images)]
    found = [(name, _input(home / "in" / os.fsdecode(name), source)) for name in names]
    shop.ledger.add("in", found, time.time())
    wall_s = cpu_s = 0.0
    waits = Waits(shop.ledger)
    while len(shop.results) < images:
        for task in list(shop.pool.tasks):
            shop.pool.stage(task)
        with waits:
            began_s, spent_s = time.perf_counter(), time.process_time()
            shop.dispatcher.work(shop.now_s)
            wall_s += time.perf_counter() - began_s
            cpu_s += time.process_time() - spent_s
    shop.close()
    ms = 1e3 / images
    return Cost(ms * wall_s, ms * cpu_s, waits.count / images, waits.calls / images)


def _input(path: Path, source: SourcePolicy) -> Fingerprint:
    """Make an input where one is wanted."""
    if source is SourcePolicy.KEEP:
        return Fingerprint(10, 20, 30)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"input")
    return Fingerprint.of(path.stat())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.parent")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", default="1,50", help="sizes of groups, the first one the base")
    parser.add_argument("--in", dest="folder", help="a folder of the disk to measure on")
    parser.add_argument("--folders", type=int, default=4, help="sub-folders of the input")
    parser.add_argument("--source", type=SourcePolicy, default=SourcePolicy.KEEP)
    options = parser.parse_args()
    sizes = [int(size) for size in options.groups.split(",")]
    costs: dict[int, list[Cost]] = defaultdict(list)
    for _ in range(options.rounds):
        for size in sizes:
            with (
                tempfile.TemporaryDirectory(dir=options.folder) as home,
                patch.object(pending_results, "MAX_GROUP", size),
            ):
                given = (options.images, options.workers, options.source, options.folders)
                costs[size].append(cost(Path(home), *given))
    for size in sizes:
        pairs = zip(costs[size], costs[sizes[0]], strict=True)
        ratio = statistics.median(own.wall_ms / base.wall_ms for own, base in pairs)
        wall_ms = statistics.median(one.wall_ms for one in costs[size])
        cpu_ms = statistics.median(one.cpu_ms for one in costs[size])
        said = (
            f"{wall_ms:.2f} ms an image, {cpu_ms:.2f} ms of them computing, {ratio:.2f} of the base"
        )
        first = costs[size][0]
        waits = f"{first.waits:.2f} durable waits of {first.calls:.2f} fsyncs and commits"
        print(f"groups of {size}: {said}, {waits}")  # noqa: T201


if __name__ == "__main__":
    main()
