"""`sharpend demo`: sample pictures through a real daemon, and a picture that shows the difference.

Degrades sharp photographs as the report does, drops them into the watch folder of a daemon that
runs as its own process, waits for its events, and compares. Everything but the result folder is
removed again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sharpend.errors import InputMissingError, SharpendError, UnavailableError
from sharpend.imaging.formats import format_of
from sharpend.logs import Event

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
"""Photographs inside scikit-image's wheel that may be used freely."""
DEADLINE_S = 300.0
CROP_PX = 192
ZOOM = 2
ENVIRONMENT = {
    "SHARPEND_AGREEMENT__SAMPLE": "1",
    "SHARPEND_AGREEMENT__BUDGET": "1",
    "SHARPEND_LOG__FORMAT": "json",
    "SHARPEND_LOG__LEVEL": "info",
}
"""The demo asks the teacher about every picture: there are only a few."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One picture in four versions, H x W x 3 uint8, by the titles of the table."""

    name: str
    original: Pixels
    versions: Mapping[str, Pixels]


def main(options: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    originals = _own_pictures(options.pictures) if options.pictures else _sample_pictures()
    output: Path = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sharpend-demo-") as scratch:
        compared, report = _sharpen(originals, Path(scratch), output, _arguments(options))
    print(_table(compared))
    agreement = report.get("agreement")
    if agreement and agreement["n"]:
        print(
            f"\nagreement with the teacher: SSIM {agreement['mean']:.4f} "
            f"on {agreement['n']} crop(s) (doing nothing: {agreement['noop_mean']:.4f}), "
            f"on {report['device']}"
        )
    sheet = output / "comparison.png"
    _write_sheet(compared, sheet)
    print(f"side by side: {sheet}\nsharpened: {output}")
    return 0


def _arguments(options: argparse.Namespace) -> list[str]:
    """The options that the daemon gets as they are."""
    keys = ("model", "device", "strength", "crispness")
    given = {key: getattr(options, key) for key in keys}
    return [f"--{key}={value}" for key, value in given.items() if value is not None]


def _sample_pictures() -> dict[str, Pixels]:
    try:
        from skimage import data  # noqa: PLC0415 - an extra, for this command alone
    except ImportError as error:
        raise UnavailableError(
            "the sample pictures come with scikit-image: pip install 'sharpend[demo]', "
            "or give --pictures DIR"
        ) from error
    return {name: getattr(data, name)()[..., :3] for name in PICTURES}


def _own_pictures(folder: Path) -> dict[str, Pixels]:
    from sharpend.imaging.sheet import load_rgb  # noqa: PLC0415 - keeps --help fast

    paths = sorted(p for p in folder.glob("*") if format_of(os.fsencode(p.name)) is not None)
    if not paths:
        raise InputMissingError(f"--pictures: {folder}: no picture in this folder")
    stems = Counter(path.stem for path in paths)
    return {path.stem if stems[path.stem] == 1 else path.name: load_rgb(path) for path in paths}


def _sharpen(
    originals: Mapping[str, Pixels], scratch: Path, output: Path, arguments: list[str]
) -> tuple[list[Compared], dict[str, Any]]:
    """Drop degraded pictures into a running daemon's folder and compare what comes out."""
    from sharpend.imaging.filters import degrade, unsharp_mask  # noqa: PLC0415 - as above
    from sharpend.imaging.sheet import load_rgb, save_png  # noqa: PLC0415 - as above

    watched, staging, sharp = (scratch / name for name in ("watched", "staging", "sharp"))
    watched.mkdir()
    staging.mkdir()
    degraded = {name: degrade(pixels) for name, pixels in originals.items()}
    command = ["--input", str(watched), "--output", str(sharp), "--state", str(scratch / "state")]
    with running_daemon([*command, *arguments]) as events:
        _await(events, Event.DAEMON_READY)
        for name, pixels in degraded.items():
            save_png(pixels, staging / f"{name}.png")
            os.rename(staging / f"{name}.png", watched / f"{name}.png")
        outputs = {}
        for _ in degraded:
            finished = _await(events, Event.IMAGE_FINISHED)
            outputs[Path(finished["path"]).stem] = sharp / finished["output"]
    # All that the daemon still says: it has ended before its folders are removed.
    report = [event for event in events if event["event"] == Event.REPORT_PUBLISHED][-1]
    for path in outputs.values():  # a new demo takes the place of the last one's pictures
        shutil.copyfile(path, output / path.name)
    compared = [
        Compared(
            name,
            original,
            {
                "degraded": degraded[name],
                "unsharp mask": unsharp_mask(degraded[name]),
                "sharpened": load_rgb(outputs[name]),
            },
        )
        for name, original in originals.items()
    ]
    return compared, report


@contextmanager
def running_daemon(arguments: list[str]) -> Iterator[Iterator[dict[str, Any]]]:
    """A real `sharpend run` for the length of a block, drained by SIGTERM at its end.

    Yields:
        Its events as they come, and after the block those of its end.
    """
    daemon = subprocess.Popen(
        [sys.executable, "-m", "sharpend", "run", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    overdue = threading.Timer(DEADLINE_S, daemon.kill)
    overdue.start()
    try:
        yield _events(daemon)
        daemon.send_signal(signal.SIGTERM)
    except BaseException:
        daemon.kill()
        raise
    finally:
        overdue.cancel()


def _events(daemon: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The daemon's log, event by event, until it ends."""
    if daemon.stderr is None:
        raise UnavailableError("the daemon's log cannot be read")
    with daemon.stderr:
        for line in daemon.stderr:
            try:
                yield json.loads(line)
            except ValueError:
                print(line, end="", file=sys.stderr)
    daemon.wait()


def _await(events: Iterator[dict[str, Any]], wanted: Event) -> dict[str, Any]:
    """The next event of a kind; a quarantined picture or the daemon's end is an error."""
    for event in events:
        if event["event"] == wanted:
            return event
        if event["event"] == Event.IMAGE_QUARANTINED:
            raise SharpendError(f"{event['path']} was quarantined: {event['message']}")
    raise UnavailableError(f"the daemon ended before {wanted}; its own message stands above")


def _scores(pixels: Pixels, original: Pixels) -> tuple[float, float]:
    """SSIM and PSNR in dB."""
    from sharpend.imaging.tensors import to_tensor  # noqa: PLC0415 - torch only where it is used
    from sharpend.model.ssim import compute_ssim, psnr  # noqa: PLC0415 - as above

    output, target = to_tensor(pixels), to_tensor(original)
    return compute_ssim(output, target).item(), psnr(output, target).item()


def _table(compared: list[Compared]) -> str:
    """SSIM and PSNR of every version of every picture, and their means."""
    titles = list(compared[0].versions)
    rows = [
        (one.name, [_scores(one.versions[title], one.original) for title in titles])
        for one in compared
    ]
    means = [
        (fmean(ssim for ssim, _ in column), fmean(psnr for _, psnr in column))
        for column in zip(*(scores for _, scores in rows), strict=True)
    ]
    lines = ["SSIM / PSNR to the original".ljust(28) + "".join(f"{t:>20}" for t in titles)]
    for name, scores in [*rows, ("mean", means)]:
        cells = (f"{score[0]:.4f} / {score[1]:.2f} dB" for score in scores)
        lines.append(name.ljust(28) + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def _write_sheet(compared: list[Compared], path: Path) -> None:
    """The most detailed part of each picture in all versions, with the SSIM of the whole."""
    from sharpend.imaging.sheet import (  # noqa: PLC0415 - as above
        Panel,
        labelled_sheet,
        most_detailed,
        save_png,
    )

    rows = []
    for one in compared:
        height, width = (min(CROP_PX, size) for size in one.original.shape[:2])
        crop = most_detailed(one.original, height=height, width=width)
        versions = [
            Panel(pixels[crop], f"SSIM {_scores(pixels, one.original)[0]:.4f}")
            for pixels in one.versions.values()
        ]
        rows.append([Panel(one.original[crop], one.name), *versions])
    titles = ["original", *compared[0].versions]
    heading = "A detail of each picture; SSIM to the original over the whole picture"
    save_png(labelled_sheet(titles, rows, heading=heading, zoom=ZOOM), path)
