"""How sharp is it: SSIM and PSNR to the original, agreement with the teacher, pictures per second.

Owns the measurement, and how its numbers are told as a table, as JSON and as a sheet. The softened
picture itself and the unsharp mask always stand beside the networks: on photographs doing nothing
already scores high. Means are over pictures, never over a batch of different sizes.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UsageError
from sharpend.imaging.filters import unsharp_mask
from sharpend.imaging.sheet import Panel, labelled_sheet, most_detailed
from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import WINDOW_PX, compute_ssim, psnr
from trainer.dataset import pictures_below, read_picture
from trainer.degradation import SOFTENED_BY, get_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from trainer.degradation import Pixels
    from trainer.teacher import Method

DEGRADED, UNSHARP, TEACHER, STUDENT = "degraded", "unsharp mask", "teacher", "student"
BASELINES: Mapping[str, Method] = {
    DEGRADED: lambda _, degraded: degraded,
    UNSHARP: lambda _, degraded: unsharp_mask(degraded),
}
_LUMA = (65.481, 128.553, 24.966)
"""Weights of R, G, B in [0, 1] for BT.601 studio-range Y, as rgb2ycbcr in the x4 literature."""


@dataclass(frozen=True, slots=True)
class Score:
    """One picture by one method.

    Attributes:
        ssim: to the original, RGB mean, data range 1.
        psnr: to the original in dB, RGB.
        psnr_y: the same of BT.601 Y, a border of four pixels left out, as x4 benchmarks do.
        agreement: SSIM to the teacher's picture; None without a teacher.
        seconds: from pixels to pixels.
    """

    ssim: float
    psnr: float
    psnr_y: float
    agreement: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One picture by every method."""

    picture: Path
    height: int
    width: int
    scores: Mapping[str, Score]


def measure(picture: Path, methods: Mapping[str, Method]) -> tuple[Measured, dict[str, Pixels]]:
    """Soften a sharp picture, let every method at it, and compare.

    Args:
        picture: a sharp original.
        methods: by name; the one named `teacher` is the reference of all agreements.

    Returns:
        The scores, and each method's picture.

    Raises:
        InputMissingError, ImageRefusedError: the picture cannot be read.
        UsageError: a side is smaller than SSIM's window.
    """
    degraded, original = get_transform()(read_picture(picture))
    outputs: dict[str, Pixels] = {}
    seconds: dict[str, float] = {}
    for name, method in methods.items():
        started = time.perf_counter()
        outputs[name] = method(original, degraded)
        seconds[name] = time.perf_counter() - started
    taught = outputs.get(TEACHER)
    scores = {
        name: compare(output, original, picture, taught=taught, seconds=seconds[name])
        for name, output in outputs.items()
    }
    height, width = original.shape[:2]
    return Measured(picture, height, width, scores), {**outputs, "original": original}


def compare(
    output: Pixels,
    original: Pixels,
    picture: Path,
    *,
    taught: Pixels | None = None,
    seconds: float | None = None,
) -> Score:
    """Score one output against its original, both H x W x 3 uint8.

    Raises:
        UsageError: shapes differ, or a side is smaller than SSIM's window.
    """
    if output.shape != original.shape or min(original.shape[:2]) < WINDOW_PX:
        raise UsageError(
            f"{picture}: cannot compare {output.shape[1]} x {output.shape[0]} with "
            f"{original.shape[1]} x {original.shape[0]} pixels (at least {WINDOW_PX} a side)"
        )
    given, target = to_tensor(output), to_tensor(original)
    agreement = None if taught is None else compute_ssim(given, to_tensor(taught)).item()
    return Score(
        ssim=compute_ssim(given, target).item(),
        psnr=psnr(given, target).item(),
        psnr_y=psnr(_luma(given), _luma(target)).item(),
        agreement=agreement,
        seconds=seconds,
    )


def _luma(picture: Tensor) -> Tensor:
    """BT.601 Y in [0, 1], 1 x 1 x H x W, without a border of four pixels where there is one."""
    weights = picture.new_tensor(_LUMA).view(1, 3, 1, 1)
    light = ((picture * weights).sum(dim=1, keepdim=True) + 16) / 255
    inner = light[..., SOFTENED_BY:-SOFTENED_BY, SOFTENED_BY:-SOFTENED_BY]
    return inner if inner.numel() else light


def pair_outputs(outputs: Path, originals: Path) -> list[tuple[Path, Path]]:
    """Each output with the original of its relative path; the suffix may differ.

    Raises:
        InputMissingError: a folder or an original is missing, or there are no outputs.
        UsageError: several originals fit and none has the very name.
    """
    candidates: dict[Path, list[Path]] = {}
    for path in pictures_below([originals]):
        candidates.setdefault(path.relative_to(originals.resolve()).with_suffix(""), []).append(
            path
        )
    pairs = []
    for output in pictures_below([outputs]):
        relative = output.relative_to(outputs.resolve())
        fitting = candidates.get(relative.with_suffix(""), [])
        pairs.append((output, _the_one(relative, fitting, originals)))
    if not pairs:
        raise InputMissingError(f"{outputs}: holds no pictures")
    return pairs


def _the_one(relative: Path, fitting: Sequence[Path], originals: Path) -> Path:
    exact = [path for path in fitting if path.name == relative.name]
    if not fitting:
        raise InputMissingError(f"{originals}: has no original of {relative}")
    if len(exact or fitting) > 1:
        raise UsageError(f"{originals}: has several originals of {relative}")
    return (exact or fitting)[0]


def measure_outputs(outputs: Path, originals: Path) -> list[Measured]:
    """Score pictures that were made elsewhere, by `sharpend once` for example.

    Raises:
        InputMissingError, UsageError, ImageRefusedError: as `pair_outputs` and `compare`.
    """
    measured = []
    for output, original in pair_outputs(outputs, originals):
        target = read_picture(original)
        score = compare(read_picture(output), target, output)
        height, width = target.shape[:2]
        measured.append(Measured(original, height, width, {"outputs": score}))
    return measured


@dataclass(frozen=True, slots=True)
class Summary:
    """One method over a folder: means over pictures.

    Attributes:
        fps: pictures per second, one over the median of the pictures of the commonest size, the
            first of them left out where there are more; None where nothing was timed.
    """

    ssim: float
    psnr: float
    psnr_y: float
    agreement: float | None
    fps: float | None


def commonest_size(measured: Sequence[Measured]) -> tuple[int, int]:
    """(height, width) in pixels that most pictures have; at this size speed is told."""
    return statistics.mode((one.height, one.width) for one in measured)


def summarise(measured: Sequence[Measured]) -> dict[str, Summary]:
    """Each method's summary; every picture must carry the same methods."""
    size = commonest_size(measured)
    timed = [one for one in measured if (one.height, one.width) == size]
    return {
        name: _summary(
            [one.scores[name] for one in measured],
            [one.scores[name].seconds for one in timed if name != DEGRADED],  # nothing is done
        )
        for name in measured[0].scores
    }


def _summary(scores: Sequence[Score], seconds: Sequence[float | None]) -> Summary:
    agreements = [score.agreement for score in scores if score.agreement is not None]
    warm = [one for one in (seconds[1:] or seconds) if one is not None]
    return Summary(
        ssim=statistics.fmean(score.ssim for score in scores),
        psnr=statistics.fmean(score.psnr for score in scores),
        psnr_y=statistics.fmean(score.psnr_y for score in scores),
        agreement=statistics.fmean(agreements) if agreements else None,
        fps=1 / statistics.median(warm) if warm else None,
    )


def table(summaries: Mapping[str, Summary]) -> str:
    """The summaries as plain text, one method a line."""
    lines = [
        f"{'':14}{'SSIM':>8}{'PSNR dB':>9}{'Y dB':>8}{'SSIM to teacher':>17}{'pictures/s':>12}"
    ]
    for name, one in summaries.items():
        agreement = "-" if one.agreement is None else f"{one.agreement:.4f}"
        fps = "-" if one.fps is None else f"{one.fps:.3g}"
        lines.append(
            f"{name:14}{one.ssim:8.4f}{one.psnr:9.2f}{one.psnr_y:8.2f}{agreement:>17}{fps:>12}"
        )
    return "\n".join(lines)


def sheet(pictures: Iterable[tuple[Measured, Mapping[str, Pixels]]], *, crop_px: int) -> Pixels:
    """Crops of every method beside the original, one picture a row, enlarged twice.

    Args:
        pictures: what `measure` returned.
        crop_px: side of the crops, cut where the original has most detail.

    Returns:
        H x W x 3 uint8; labels are the scores of the whole pictures.
    """
    rows = []
    titles: list[str] = []
    for measured, outputs in pictures:
        titles = list(outputs)
        window = most_detailed(
            outputs["original"],
            height=min(crop_px, measured.height),
            width=min(crop_px, measured.width),
        )
        rows.append(
            [
                Panel(pixels[window], _sheet_label(measured.scores.get(name)))
                for name, pixels in outputs.items()
            ]
        )
    return labelled_sheet(titles, rows, heading="Crops; numbers are of whole pictures", zoom=2)


def _sheet_label(score: Score | None) -> str:
    return "" if score is None else f"SSIM {score.ssim:.3f}  {score.psnr:.2f} dB"
