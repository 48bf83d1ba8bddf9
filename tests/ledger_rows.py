"""Cost of a job's life and of a start by the number of rows in the ledger.

    python -m tests.ledger_rows [--rows 1000,2000000] [--rounds 10] [--in FOLDER]

Half of the rows wait and half are finished. A life is what the daemon does for an image: claim,
stage, finish and dispose, in groups of 50. The ledgers take turns in each round, so a busy machine
slows all of them. A start is the opening of a ledger that was closed in order, and of one that was
not.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.case_folding import name_key
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import Product

if TYPE_CHECKING:
    from sharpend.ledger.ledger import Ledger

GROUP = 50
BATCH = 5000
ONE = Fingerprint(1_234_567, 1_700_000_000_123_456_789, 12_345_678)
FINISHED = """
INSERT INTO job (folder, relative, mark, digest, state, added_at, finished_at, output, output_mark,
    output_key, model, options, pixels)
VALUES (1, ?1, ?2, ?3, 'disposed', ?4, ?4, ?1, ?5, ?6, 1, 2, 2000000)
"""


def name(number: int) -> bytes:
    """A path as an archive has them."""
    return b"archive/%04d/box-%03d/scan-%08d.jpg" % (number // 10_000, number // 100 % 100, number)


def fill(ledger: Ledger, rows: int) -> None:
    """Enter so many jobs: those that wait, and those that are done."""
    ledger.folder("in", b"/in", b"/out")
    with ledger._store.transaction() as cursor:
        for text in ("m" * 64, "o" * 64):
            cursor.execute("INSERT INTO digest (text) VALUES (?)", (text,))
    for first in range(0, rows // 2, BATCH):
        numbers = range(first, min(first + BATCH, rows // 2))
        ledger.add("in", [(name(number), ONE) for number in numbers], 5.0)
        with ledger._store.transaction() as cursor:
            cursor.executemany(FINISHED, (finished(rows + number) for number in numbers))


def finished(number: int) -> tuple[object, ...]:
    """The values of a job that is done."""
    path = name(number)
    mark = f"{ONE.size}:{ONE.mtime_ns}:{number}"
    return path, mark, number.to_bytes(32), 5.0, mark, name_key(path)


def lives_s(ledger: Ledger) -> float:
    """Seconds for the life of each of a group of jobs."""
    began_s = time.perf_counter()
    jobs = []
    for _ in range(GROUP):
        job = ledger.claim(6.0, {"in"})
        assert job is not None
        jobs.append(job)
    with ledger.joined():
        for job in jobs:
            made = Fingerprint(99, 98, job.id)
            digest = job.id.to_bytes(32).hex()
            ledger.stage(
                job, Product(job.relative, made, b"t", False, "m" * 64, "o" * 64, 1, digest)
            )
    with ledger.joined():
        for job in jobs:
            ledger.finish(job, 7.0)
            ledger.dispose(job)
    ledger.counts()
    ledger.waiting(["in"])
    return (time.perf_counter() - began_s) / GROUP


def start_s(state_dir: Path, *, in_order: bool) -> float:
    """Seconds that an opening takes."""
    if not in_order:
        (state_dir / "ledger.db.closed").unlink()
    began_s = time.perf_counter()
    ledger = open_ledger(state_dir)
    ledger.recover()
    taken_s = time.perf_counter() - began_s
    ledger.close()
    return taken_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger_rows")
    parser.add_argument("--rows", default="1000,2000000", help="of each ledger, the first the base")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--in", dest="folder", help="a folder of the disk to measure on")
    options = parser.parse_args()
    sizes = [int(rows) for rows in options.rows.split(",")]
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        places = {rows: Path(home, str(rows)) for rows in sizes}
        ledgers = {rows: open_ledger(places[rows]) for rows in sizes}
        for rows, ledger in ledgers.items():
            began_s = time.perf_counter()
            fill(ledger, rows)
            per_s = rows / (time.perf_counter() - began_s)
            print(f"{rows} rows entered, {per_s:.0f} a second", flush=True)  # noqa: T201
        rounds = [
            {rows: lives_s(ledger) for rows, ledger in ledgers.items()}
            for _ in range(options.rounds)
        ]
        for ledger in ledgers.values():
            ledger.close()
        for rows in sizes:
            median_ms = 1e3 * statistics.median(one[rows] for one in rounds)
            ratio = statistics.median(one[rows] / one[sizes[0]] for one in rounds)
            size_mb = (places[rows] / "ledger.db").stat().st_size / 1e6
            starts = [start_s(places[rows], in_order=in_order) for in_order in (True, False)]
            said = f"{median_ms:.3f} ms a life, {ratio:.2f} of the first; {size_mb:.1f} MB"
            said += f"; start {starts[0]:.2f} s in order, {starts[1]:.2f} s else"
            print(f"{rows} rows: {said}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
