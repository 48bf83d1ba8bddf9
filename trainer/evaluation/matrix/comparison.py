"""Comparison of the output of every method in every cell of an image with the original.

Owns the baseline rows and the figures of one image. One image in one cell at a time is in memory;
`means` reduces the figures of all images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import UsageError
from sharpend.imaging.tensors import to_tensor
from sharpend.model.measuring import measure
from sharpend.model.ssim import compute_ssim
from trainer.evaluation.matrix.cell_masks import middle
from trainer.evaluation.matrix.cells import CELLS, SHARP, SHARP_JPEG, degraded
from trainer.evaluation.matrix.harm import block_excess, repeat_passes
from trainer.evaluation.scores import decibels, squared_error
from trainer.evaluation.unsharp import Unsharp
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.matrix.cell_masks import CellMasks
    from trainer.training.models import Model

    CellMethod = Callable[[Pixels, str], Pixels]
    """(image, its cell) to the sharpened image, both H x W x 3 uint8."""

NOOP, BEST_MASK = "no-op", "best mask of each cell"
SINGLE_MASKS = {"mask 1/100": Unsharp(1.0, 100), "mask 2/150": Unsharp(2.0, 150)}
"""The best single mask of the study that chose the cells, and Pillow's own, by radius/per cent."""
BASELINES = (NOOP, *SINGLE_MASKS, BEST_MASK)
PASSED = ("g1", SHARP)
"""Cells in which images are sharpened several times."""
PASSES = 3
SMALLEST_PX = 32


@dataclass(frozen=True, slots=True)
class Compared:
    """Figures of one output.

    Attributes:
        psnr: PSNR to the original, dB.
        ssim: SSIM to the original.
        distance: PSNR to the input, dB.
        agreement: SSIM to the teacher's output; None without a teacher.
        residual: sum of squared differences to the teacher's output; None without a teacher.
    """

    psnr: float
    ssim: float
    distance: float
    agreement: float | None = None
    residual: float | None = None


@dataclass(slots=True)
class RowFigures:
    """Figures of one method on one image.

    Attributes:
        cells: by cell.
        passes: PSNR to the original after 0 to PASSES passes, by cell.
        blocks: excess of steps at block edges in the compressed sharp image, levels.
    """

    cells: dict[str, Compared] = field(default_factory=dict)
    passes: dict[str, list[float]] = field(default_factory=dict)
    blocks: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """All figures of one image: its cues by cell, and its rows."""

    set_name: str
    name: str
    cues: dict[str, float]
    rows: dict[str, RowFigures]


def restored(image: MatrixImage, values: Mapping[str, Any]) -> ImageFigures:
    """Make the figures of an image of what `dataclasses.asdict` made of them."""
    rows = {
        row: RowFigures(
            {cell: Compared(**compared) for cell, compared in one["cells"].items()},
            one["passes"],
            one["blocks"],
        )
        for row, one in values["rows"].items()
    }
    return ImageFigures(image.set_name, image.name, values["cues"], rows)


@dataclass(frozen=True, slots=True)
class MatrixImage:
    """An original of a set, not yet read.

    Attributes:
        set_name: of the set.
        path: its file.
        crop_px: side of the middle crop that is measured; 0 takes the whole.
    """

    set_name: str
    path: Path
    crop_px: int

    @property
    def name(self) -> str:
        """Name of the file: seeds noise and angles."""
        return self.path.name

    def read(self) -> Pixels:
        """Its pixels, H x W x 3 uint8.

        Raises:
            InputMissingError, ImageRefusedError: it cannot be read.
            UsageError: a side is too short.
        """
        pixels = read_image(self.path)
        crop = middle(pixels, self.crop_px or max(pixels.shape))
        if min(crop.shape[:2]) < SMALLEST_PX:
            raise UsageError(f"{self.path}: a side is shorter than {SMALLEST_PX} pixels")
        return np.ascontiguousarray(crop)


def methods_of(models: Mapping[str, Model], masks: CellMasks) -> dict[str, CellMethod]:
    """Every row in order: the no-op, unsharp masks, models."""

    def of_mask(mask: Unsharp) -> CellMethod:
        return lambda pixels, _: mask(pixels, pixels)

    def of_model(model: Model) -> CellMethod:
        return lambda pixels, _: model.sharpen_degraded(pixels)

    return {
        NOOP: lambda pixels, _: pixels,
        **{row: of_mask(mask) for row, mask in SINGLE_MASKS.items()},
        BEST_MASK: masks,
        **{row: of_model(model) for row, model in models.items()},
    }


def measure_image(
    image: MatrixImage, original: Pixels, methods: Mapping[str, CellMethod], *, teacher: str | None
) -> ImageFigures:
    """Run every method once on every cell of an image, and compare the outputs.

    Args:
        image: set and name.
        original: its pixels.
        methods: by row, NOOP first.
        teacher: the row that agreements refer to.
    """
    found = ImageFigures(image.set_name, image.name, {}, {row: RowFigures() for row in methods})
    for cell in CELLS:
        given = degraded(cell, original, name=image.name)
        outputs = {row: method(given, cell) for row, method in methods.items()}
        found.cues[cell] = measure(given).sharpness
        agreeing = () if teacher is None else [row for row in outputs if _agrees(row, teacher)]
        taught = outputs.get(teacher or "", given)
        for row, output in outputs.items():
            asked = taught if row in agreeing else None
            compared = _compare(output, original=original, given=given, taught=asked)
            found.rows[row].cells[cell] = compared
            if cell == SHARP_JPEG:
                found.rows[row].blocks = block_excess(output)
            if cell in PASSED:
                passed = _passed(methods[row], cell, output, original)
                found.rows[row].passes[cell] = [decibels(given, original), *passed]
    return found


def _agrees(row: str, teacher: str) -> bool:
    """Check if a row is compared with the teacher: the no-op and the other models are."""
    return row != teacher and (row == NOOP or row not in BASELINES)


def _compare(output: Pixels, *, original: Pixels, given: Pixels, taught: Pixels | None) -> Compared:
    return Compared(
        psnr=decibels(output, original),
        ssim=_ssim(output, original),
        distance=decibels(output, given),
        agreement=None if taught is None else _ssim(output, taught),
        residual=None if taught is None else squared_error(output, taught),
    )


def _ssim(one: Pixels, other: Pixels) -> float:
    return compute_ssim(to_tensor(one), to_tensor(other)).item()


def _passed(method: CellMethod, cell: str, first: Pixels, original: Pixels) -> list[float]:
    """PSNR after each pass, the first of which is done."""
    more = repeat_passes(lambda pixels: method(pixels, cell), first, times=PASSES - 1)
    return [decibels(output, original) for output in (first, *more)]
