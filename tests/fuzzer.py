"""Damaged images in their thousands through a real daemon, and what came of them.

    python -m tests.fuzzer [--count 10000] [--seed 1]

Every file must come to an output that decodes or to a reason, no worker may hang or grow beyond
its limit, and the daemon must not end. `internal` is a bug of ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from sharpend.errors import SharpendError
from sharpend.imaging import codec
from sharpend.ledger.reader import LedgerReader
from sharpend.policies import Frames, Policies
from tests.daemons import Daemon, configured, running, temps, until
from tests.mutants import mutants, seeds
from tests.students import agreeing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JOB_TIMEOUT_S = 120
MEMORY_MB = 600
MAX_MEGAPIXELS = 4
PATIENCE_S = 600.0
LOOK_EVERY_S = 0.1
BATCH = 500
FORGIVING = {"frames": "all", "cmyk": "convert", "metadata": "strip-gps", "thumbnail": "refresh"}
"""Half of the files meet these, so that animations and metadata reach their parsers, too."""


@dataclass
class Fuzzed:
    """What came of so many files."""

    files: int = 0
    ordinary: int = 0
    """Sound files that were sharpened before, so that the worker had loaded all its libraries."""
    outputs: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    """Name and cause."""
    longest_s: float = 0.0
    """The longest last attempt."""
    idle_mb: float = 0.0
    peak_mb: float = 0.0
    """The worker's resident memory, after sound files of each format and at most."""
    faults: list[str] = field(default_factory=list)
    """What must not be."""


def fuzzed(base: Path, files: Iterable[tuple[str, bytes]], *, batch: int = BATCH) -> Fuzzed:
    """Feed files to a daemon with one worker, a batch at a time, and look at what came of them.

    Args:
        base: an empty folder, on a disk that is fast.
        files: names and contents.
        batch: how many are there at once.
    """
    found = Fuzzed()
    config = _configured(base)
    with running("--config", config, SHARPEND_LOG__REPEATS="0") as daemon:
        daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
        ordinary = Fuzzed()
        _feed(base, daemon, [(f"sound-{name}", data) for name, data in seeds().items()], ordinary)
        found.ordinary = ordinary.files
        with _watched(daemon, found):
            waiting: list[tuple[str, bytes]] = []
            for file in files:
                waiting.append(file)
                if len(waiting) == batch:
                    _feed(base, daemon, waiting, found)
            _feed(base, daemon, waiting, found)
        found.deaths = [f"{one['path']}: {one['cause']}" for one in daemon.events("worker.died")]
    found.faults += [f"left behind: {path.name}" for path in temps(base)]
    return found


def _configured(base: Path) -> Path:
    folders = []
    for name, policies in (("strict", {}), ("forgiving", FORGIVING)):
        (base / name).mkdir(parents=True)
        folder = {"input": base / name, "output": base / f"{name}-out", "settle_s": 0.1}
        folders.append({**folder, **policies})
    return configured(
        base,
        agreeing(base),
        *folders,
        workers={
            "count": 1, "threads": 1, "job_timeout_s": JOB_TIMEOUT_S, "memory_mb": MEMORY_MB
        },
        limits={"max_megapixels": MAX_MEGAPIXELS, "max_megabytes": 50},
        retry={"first_s": 0.05, "longest_s": 0.1},
    )  # fmt: skip


def _feed(base: Path, daemon: Daemon, batch: list[tuple[str, bytes]], found: Fuzzed) -> None:
    """Drop a batch into both folders in turn, wait for its end, look, and clear it away."""
    placed = {}
    for number, (name, data) in enumerate(batch):
        folder = ("strict", "forgiving")[number % 2]
        (base / "hidden.tmp").write_bytes(data)
        (base / "hidden.tmp").rename(base / folder / name)
        placed[name] = folder
    batch.clear()
    found.files += len(placed)

    def ended() -> bool:
        assert daemon.process.poll() is None, "the daemon has ended"
        with LedgerReader.read_only(base / "state") as ledger:
            counts = {state.value: number for state, number in ledger.counts().items()}
        return counts["disposed"] + counts["quarantined"] >= found.ordinary + found.files

    until(ended, within_s=PATIENCE_S)
    for name, folder in placed.items():
        _look(base, folder, name, found)


def _look(base: Path, folder: str, name: str, found: Fuzzed) -> None:
    """One file: an output that decodes, or a reason."""
    with LedgerReader.read_only(base / "state") as ledger:
        (outcome,) = ledger.outcomes(folder, [name.encode()])
    output = base / f"{folder}-out" / name
    if outcome.reason is not None:
        found.reasons[outcome.reason] += 1
        if outcome.reason in {"internal", "io_error", "worker_died", "out_of_memory"}:
            found.faults.append(f"{folder}/{name}: {outcome.reason}: {outcome.message}")
        if output.exists():
            found.faults.append(f"{folder}/{name}: refused, and an output is there")
        return
    found.outputs += 1
    try:
        with output.open("rb") as file:
            codec.decode(
                file, max_pixels=10**8, max_bytes=10**9, policies=Policies(frames=Frames.ALL)
            )
    except (OSError, SharpendError) as error:
        found.faults.append(f"{folder}/{name}: its output: {error}")
    output.unlink(missing_ok=True)


@contextmanager
def _watched(daemon: Daemon, found: Fuzzed) -> Iterator[None]:
    """Keep the worker's largest memory, and the longest time between two ends."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_EVERY_S):
            with suppress(psutil.Error):
                held = [worker.memory_info().rss / 1e6 for worker in daemon.workers()]
                found.peak_mb = max([found.peak_mb, *held])
                found.idle_mb = found.idle_mb or max(held, default=0.0)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    ended = [*daemon.events("image.finished"), *daemon.events("image.quarantined")]
    found.longest_s = max((event["seconds"] for event in ended), default=0.0)
    if found.peak_mb > found.idle_mb + MEMORY_MB:
        found.faults.append(f"a worker held {found.peak_mb:.0f} MB, idle {found.idle_mb:.0f}")


def main() -> int:
    """Print the figures; the exit status is 1 where something must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzer")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzzer-", dir=_fast_disk()) as base:
        found = fuzzed(Path(base), mutants(options.seed, options.count))
    print(json.dumps(vars(found), indent=1))  # noqa: T201 - a program
    return int(bool(found.faults))


def _fast_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of our own


if __name__ == "__main__":
    sys.exit(main())
