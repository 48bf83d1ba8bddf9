"""`sharpend demo`: sharpen sample images with a real daemon and write a comparison sheet.

Makes four kinds of input from each sharp photograph (softened by four as the report does, out of
focus, as it is, and as it is with crispness), drops them into the folders of a daemon that runs as
its own process, waits for its events, and compares. Everything but the result folder is removed; it
holds the state directory, too, which `sharpend web` shows.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sharpend.agreement.summary import summary_lines
from sharpend.benchmark.live import running_daemon
from sharpend.errors import InputMissingError, OutputFailedError, UnavailableError
from sharpend.imaging.formats import format_of
from sharpend.logs.events import Event

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
"""Photographs inside scikit-image's wheel that may be used freely."""
STATE = "demo-state"
"""Folder of the state directory in that of the results; the status page shows it."""
CROP_PX = 192
ZOOM = 2
SIGMA_PX = 1.2
"""Of the blur of a soft photograph."""
CRISPNESS = 0.5
FOUR, SOFT, SHARP, CRISP = "softened by four", "soft photograph", "sharp", "sharp, crispness 0.5"
KINDS = (FOUR, SOFT, SHARP, CRISP)
ENVIRONMENT = {
    "SHARPEND_AGREEMENT__SAMPLE": "1",
    "SHARPEND_AGREEMENT__BUDGET": "1",
    "SHARPEND_PREVIEWS__SHARE": "1",
}
"""Compares each of the few images with the teacher, and makes a preview of each."""
SETTINGS = """
[[folder]]
input = "{folder}/plain"
output = "{folder}/sharp"

[[folder]]
input = "{folder}/crisp"
output = "{folder}/crisper"
crispness = {crispness}
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One photograph in one kind of softness: H x W x 3 uint8 each."""

    name: str
    kind: str
    original: Pixels
    given: Pixels
    """Pixels of the input."""
    masked: Pixels
    """The same after Pillow's unsharp mask, for comparison."""
    sharpened: Pixels


def main(options: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    originals = _own_pictures(options.pictures) if options.pictures else _sample_pictures()
    output: Path = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    state = _new_state(output / STATE)
    with tempfile.TemporaryDirectory(prefix="sharpend-demo-") as scratch:
        compared, report = _sharpen(originals, Path(scratch), output, state, _arguments(options))
    print(_table(compared))
    if lines := summary_lines(report.get("agreement"), device=report.get("device", "")):
        print("", *lines, sep="\n")
    sheet = output / "comparison.png"
    _write_sheet(compared, sheet)
    print(f"side by side: {sheet}\nsharpened: {output}")
    print(f"before and after, as a page: {shlex.join(['sharpend', 'web', '--state', str(state)])}")
    return 0


def _new_state(state: Path) -> Path:
    """Remove the state directory of an earlier demo; return its path.

    Raises:
        OutputFailedError: another file or folder has its name.
    """
    if (state / "ledger.db").is_file():
        shutil.rmtree(state)
    if os.path.lexists(state):
        raise OutputFailedError(f"--output: {state} holds other files: choose another folder")
    return state


def _arguments(options: argparse.Namespace) -> list[str]:
    """Options that are passed to the daemon unchanged."""
    keys = ("model", "device", "strength", "crispness")
    given = {key: getattr(options, key) for key in keys}
    return [f"--{key}={value}" for key, value in given.items() if value is not None]


def _sample_pictures() -> dict[str, Pixels]:
    try:
        from skimage import data  # noqa: PLC0415 - an extra, for this command alone
    except ImportError as error:
        raise UnavailableError(
            "the sample images come with scikit-image: pip install 'sharpend[demo]', "
            "or give --pictures DIR"
        ) from error
    return {name: getattr(data, name)()[..., :3] for name in PICTURES}


def _own_pictures(folder: Path) -> dict[str, Pixels]:
    from sharpend.imaging.files import load_rgb  # noqa: PLC0415 - as above

    paths = sorted(p for p in folder.glob("*") if format_of(os.fsencode(p.name)) is not None)
    if not paths:
        raise InputMissingError(f"--pictures: {folder}: no image in this folder")
    stems = Counter(path.stem for path in paths)
    return {path.stem if stems[path.stem] == 1 else path.name: load_rgb(path) for path in paths}


def _makers() -> dict[str, Callable[[Pixels], Pixels]]:
    """Functions that make each kind of input from a sharp photograph."""
    from sharpend.imaging.filters import blur, degrade  # noqa: PLC0415 - as above

    return {
        FOUR: degrade,
        SOFT: lambda pixels: blur(pixels, sigma=SIGMA_PX),
        SHARP: lambda pixels: pixels,
        CRISP: lambda pixels: pixels,
    }


def _sharpen(
    originals: Mapping[str, Pixels], scratch: Path, output: Path, state: Path, arguments: list[str]
) -> tuple[list[Compared], dict[str, Any]]:
    """Drop images into a running daemon's folders and compare the outputs."""
    from sharpend.imaging.files import load_rgb, save_png  # noqa: PLC0415 - as above
    from sharpend.imaging.filters import unsharp_mask  # noqa: PLC0415 - as above

    for folder in ("plain", "crisp"):
        (scratch / folder).mkdir()
    settings = scratch / "sharpend.toml"
    settings.write_text(SETTINGS.format(folder=scratch, crispness=CRISPNESS))
    given = {
        (name, kind): make(pixels)
        for name, pixels in originals.items()
        for kind, make in _makers().items()
    }
    command = ["--config", str(settings), "--state", str(state), *arguments]
    with running_daemon(command, ENVIRONMENT) as daemon:
        daemon.await_event(Event.DAEMON_READY)
        for (name, kind), pixels in given.items():
            staged = scratch / "staged.png"
            save_png(pixels, staged)
            folder = "crisp" if kind == CRISP else "plain"
            os.rename(staged, scratch / folder / _file_name(name, kind))
        outputs = {}
        for _ in given:
            finished = daemon.await_event(Event.IMAGE_FINISHED)
            folder = "crisper" if finished["folder"] == "crisp" else "sharp"
            outputs[Path(finished["path"]).name] = scratch / folder / finished["output"]
    report = [event for event in daemon.last_events if event["event"] == Event.REPORT_PUBLISHED][-1]
    for path in outputs.values():  # replaces the images of the last demo
        shutil.copyfile(path, output / path.name)
    compared = [
        Compared(
            name,
            kind,
            originals[name],
            pixels,
            unsharp_mask(pixels),
            load_rgb(outputs[_file_name(name, kind)]),
        )
        for (name, kind), pixels in given.items()
    ]
    return compared, report


def _file_name(name: str, kind: str) -> str:
    """Make a file name, for example `coffee, soft photograph.png`."""
    return f"{name}, {kind}.png"


def _psnr(output: Pixels, target: Pixels) -> float:
    """Compute PSNR in dB, at most 99 for equal images."""
    from sharpend.imaging.tensors import to_tensor  # noqa: PLC0415 - torch only where it is used
    from sharpend.model.ssim import psnr  # noqa: PLC0415 - as above

    return min(psnr(to_tensor(output), to_tensor(target)).item(), 99.0)


def _table(compared: list[Compared]) -> str:
    """Format PSNR of each version to the original, by kind, and of the output to the input."""
    titles = ("as it came", "unsharp mask", "sharpened", "output to input")
    lines = ["PSNR to the original, dB".ljust(28) + "".join(f"{t:>18}" for t in titles)]
    for kind in KINDS:
        ours = [one for one in compared if one.kind == kind]
        columns = [
            fmean(_psnr(one.given, one.original) for one in ours),
            fmean(_psnr(one.masked, one.original) for one in ours),
            fmean(_psnr(one.sharpened, one.original) for one in ours),
            fmean(_psnr(one.sharpened, one.given) for one in ours),
        ]
        lines.append(kind.ljust(28) + "".join(f"{value:>18.2f}" for value in columns))
    return "\n".join(lines)


def _write_sheet(compared: list[Compared], path: Path) -> None:
    """Write a row for each kind: the most detailed part of a photograph in all versions.

    The photographs take turns; the last two kinds are of one, so that they can be compared.
    """
    from sharpend.imaging.crops import most_detailed  # noqa: PLC0415 - as above
    from sharpend.imaging.files import save_png  # noqa: PLC0415 - as above
    from sharpend.imaging.sheet import Panel, labelled_sheet  # noqa: PLC0415 - as above

    names = list(dict.fromkeys(one.name for one in compared))
    rows = []
    for number, kind in enumerate(KINDS):
        shown = names[min(number, KINDS.index(SHARP), len(names) - 1)]
        (one,) = (one for one in compared if (one.kind, one.name) == (kind, shown))
        height, width = (min(CROP_PX, size) for size in one.original.shape[:2])
        crop = most_detailed(one.original, height=height, width=width)
        versions = (one.given, one.masked, one.sharpened)
        rows.append(
            [
                Panel(one.given[crop], kind),
                *(Panel(v[crop], f"{_psnr(v, one.original):.1f} dB") for v in versions[1:]),
                Panel(one.original[crop], one.name),
            ]
        )
    titles = ["as it came", "unsharp mask", "sharpend", "original"]
    heading = "Details at 200 %; PSNR to the original over the whole photograph"
    save_png(labelled_sheet(titles, rows, heading=heading, zoom=ZOOM), path)
