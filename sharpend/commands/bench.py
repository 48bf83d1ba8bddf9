"""`sharpend bench`: measure models, codecs and the whole daemon on this machine.

Prints a Markdown table for each section as soon as it is measured, and writes all of them as JSON
and plots where that is asked for. It starts processes of its own and touches no configured folder.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UsageError

if TYPE_CHECKING:
    import argparse

    from sharpend.benchmark.figures import Table

SECTIONS = (
    "models",
    "stages",
    "codecs",
    "compression",
    "size",
    "daemon",
    "latency",
    "queue",
    "idle",
    "page",
    "contention",
    "peers",
)
ONLY_NAMED = ("cluster",)
"""Sections that `all` leaves out: they need a cluster that the user has started."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    command.add_argument(
        "section",
        nargs="*",
        choices=["all", *SECTIONS, *ONLY_NAMED],
        default="all",
        help=f"what to measure: {', '.join(SECTIONS)}, or all of them (default); or"
        " cluster: workers on a Ray cluster that you started, against local ones",
        metavar="SECTION",
    )
    text = "model; may be repeated, the daemon sections use the first"
    command.add_argument("--model", action="append", metavar="NAME", help=text)
    command.add_argument("--images", type=Path, metavar="DIR", help="images (default: generated)")
    command.add_argument("--quick", action="store_true", help="a few minutes: few and small images")
    command.add_argument("--device", default="cpu", metavar="D", help="device for models")
    command.add_argument("--to", type=Path, metavar="DIR", help="folder for the results")


def main(options: argparse.Namespace) -> int:
    """Measure and print."""
    # Not at the top: it imports numpy and torch, which other commands do not need.
    from sharpend.benchmark import sections  # noqa: PLC0415
    from sharpend.benchmark.plots import require_matplotlib  # noqa: PLC0415

    if options.images is not None and not any(_files(options.images)):
        raise InputMissingError(f"--images: {options.images}: no file in this folder")
    if options.to is not None:
        require_matplotlib()
        options.to.mkdir(parents=True, exist_ok=True)
    sizes = sections.QUICK if options.quick else sections.FULL
    models = tuple(options.model or sections.DEFAULT_MODELS)
    wanted = SECTIONS if "all" in options.section else options.section
    print(f"# Benchmark\n\n{sections.machine()}\n", flush=True)
    found: dict[str, Table] = {}
    with tempfile.TemporaryDirectory(prefix="sharpend-bench-") as scratch:
        every = sections.sections(sizes, models, options.images, Path(scratch), options.device)
        for name, table in sections.measured(every, wanted):
            found[name] = table
            print(table.markdown(), flush=True)
            if options.to is not None:
                _write(found, name, options.to, sections.machine())
    return 0


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"--images: {folder}: is not a folder")
    return [path for path in folder.iterdir() if path.is_file()]


def _write(found: dict[str, Table], name: str, folder: Path, machine: str) -> None:
    """Write all tables so far as one JSON file, and a plot of the latest."""
    from sharpend.benchmark.plots import draw  # noqa: PLC0415 - as above

    tables = {each: asdict(table) for each, table in found.items()}
    content = {"machine": machine, "sections": tables}
    (folder / "benchmark.json").write_text(json.dumps(content, indent=1))
    draw(found[name], folder / f"{name}.png")
