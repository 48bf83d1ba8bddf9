"""Contact sheets of the matrix: real photographs, kinds of softness, sharp originals that changed.

Selects crops and columns. Crops are at 100 %; methods run again on the few images that are drawn,
so that no output is kept in memory during the measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.crops import most_detailed, window_starts
from sharpend.imaging.sheet import Panel, labelled_sheet
from trainer.evaluation.matrix.cells import CELLS, SHARP, degraded
from trainer.evaluation.matrix.real_photos import INPUT
from trainer.evaluation.scores import decibels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.matrix.comparison import CellMethod
    from trainer.evaluation.matrix.real_photos import RealImage

ORIGINAL = "original"
CROP_PX = 160
WORST_PX = 256
IMAGES_A_SHEET = 6
GAIN = 8
"""Factor on differences that are drawn."""


def real_sheets(images: Sequence[RealImage]) -> Iterator[Pixels]:
    """Draw photographs beside the outputs of each method, a few a sheet."""
    columns = list(images[0].crops)
    for start in range(0, len(images), IMAGES_A_SHEET):
        part = images[start : start + IMAGES_A_SHEET]
        lines = [[Panel(one.crops[row], _real_label(one, row)) for row in columns] for one in part]
        yield labelled_sheet(columns, lines, heading="real photographs, crops at 100 %")


def _real_label(image: RealImage, row: str) -> str:
    if row == INPUT:
        return f"{image.name}, cue {image.cue:+.2f}"
    figures = image.rows[row]
    return (
        f"slope {figures['slope']:.2f} noise {figures['noise']:.2f} "
        f"over {figures['overshoot']:.0f}  {figures['distance']:.0f} dB"
    )


def cell_sheet(name: str, original: Pixels, methods: Mapping[str, CellMethod]) -> Pixels:
    """Draw one image in every cell by every method, at its most detailed place.

    Args:
        name: of the image.
        original: its pixels.
        methods: by row, the no-op first, which shows the input.
    """
    window = most_detailed(original, height=CROP_PX, width=CROP_PX)
    lines = []
    for cell in CELLS:
        given = degraded(cell, original, name=name)
        outputs = {row: method(given, cell) for row, method in methods.items()}
        panels = [
            Panel(output[window], f"{decibels(output, original):.2f} dB")
            for output in outputs.values()
        ]
        first = Panel(panels[0].pixels, f"{cell}: {panels[0].label}")
        lines.append([first, *panels[1:], Panel(original[window], "")])
    heading = f"{name}: crops at 100 %; PSNR to the original, of the whole image"
    return labelled_sheet([*methods, ORIGINAL], lines, heading=heading)


def worst_sheet(row: str, originals: Sequence[tuple[str, Pixels]], method: CellMethod) -> Pixels:
    """Draw the sharp originals that a method changed most, each where it changed most.

    Args:
        row: the method's.
        originals: labels and pixels.
        method: the method.
    """
    lines = []
    for label, original in originals:
        output = method(original, SHARP)
        window = most_changed(original, output, side=WORST_PX)
        difference = GAIN * (output[window].astype(np.int16) - original[window]) + 128
        drawn = np.clip(difference, 0, 255).astype(np.uint8)
        lines.append([Panel(original[window], label), Panel(output[window], ""), Panel(drawn, "")])
    heading = f"{row}: sharp originals farthest from themselves, crops at 100 %"
    return labelled_sheet([ORIGINAL, row, f"difference x {GAIN}"], lines, heading=heading)


def most_changed(before: Pixels, after: Pixels, *, side: int) -> tuple[slice, slice]:
    """The square in which two images differ most, on a grid of half its side."""
    change = np.square(after.astype(np.float32) - before).sum(axis=2)
    windows = [
        (slice(top, top + side), slice(left, left + side))
        for top in window_starts(change.shape[0], side)
        for left in window_starts(change.shape[1], side)
    ]
    return max(windows, key=lambda window: float(change[window].sum()))
