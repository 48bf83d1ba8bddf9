"""Targets of photo models, and the check of a model against them.

Two columns, for models of the size of `lite` and of `base`. They apply to means over the images of
the matrix; a target without a measured figure is neither met nor missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainer.evaluation.matrix.cells import SHARP_JPEG, SHARP_NOISY, SOFT, X4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sharpend.model.weights import Card

    MatrixRow = Mapping[str, Any]

LITE_CHANNELS = 32
"""Models with more channels are judged by the column `base`."""


@dataclass(frozen=True, slots=True)
class Column:
    """Limits for one size; gains in dB over the no-op, cells in the order of SOFT."""

    mean_psnr: float
    mean_ssim: float
    cells: tuple[float, ...]
    below_specialist: float
    third_pass: float


COLUMNS = {
    "lite": Column(
        mean_psnr=1.35,
        mean_ssim=0.031,
        cells=(0.3, 0.5, 0.5, 0.8, 2.7, 2.4, 2.2, 2.5, 2.1, 1.5, 1.5, 1.0, 0.35, 1.35),
        below_specialist=0.35,
        third_pass=0.3,
    ),
    "base": Column(
        mean_psnr=1.6,
        mean_ssim=0.037,
        cells=(0.4, 0.6, 0.7, 1.05, 3.0, 2.7, 2.5, 2.8, 2.3, 1.7, 1.7, 1.1, 0.45, 1.5),
        below_specialist=0.25,
        third_pass=0.2,
    ),
}
SHARP_LOSSES = {SHARP_JPEG: -0.3, SHARP_NOISY: -0.1}
SHARP_MEAN, SHARP_WORST, REALLY_SHARP_WORST = 50.0, 36.0, 42.0
NOISE, BLOCKS = 1.02, 1.03
REAL_NOISE, REAL_OVERSHOOT = 1.06, 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """One target, checked.

    Attributes:
        what: name of the figure.
        asked: the limit.
        sense: `above` if the limit is a minimum, `below` if a maximum.
        found: the figure; None where it was not measured.
    """

    what: str
    asked: float
    sense: Literal["above", "below"]
    found: float | None

    @property
    def met(self) -> bool | None:
        """True if the figure keeps the limit (included); None if it was not measured."""
        if self.found is None:
            return None
        return self.found >= self.asked if self.sense == "above" else self.found <= self.asked


def column_of(card: Card) -> str:
    """The column by which a model is judged."""
    return "lite" if card.channels <= LITE_CHANNELS else "base"


def check(row: MatrixRow, column: str, *, specialist: MatrixRow | None = None) -> list[Target]:
    """Check a row of the matrix against its targets.

    Args:
        row: its figures, as `trainer.evaluation.matrix.result` builds them.
        column: a key of COLUMNS.
        specialist: the row of the x4 model of the same size, where it was measured.
    """
    asked = COLUMNS[column]
    return [*_of_soft(row, asked), *_of_x4(row, asked, specialist), *_of_harm(row, asked)]


def _of_soft(row: MatrixRow, asked: Column) -> Iterator[Target]:
    soft, cells = row["soft"], row["cells"]
    yield Target("mean of soft cells, dB", asked.mean_psnr, "above", soft["psnr_gain"])
    yield Target("mean of soft cells, SSIM", asked.mean_ssim, "above", soft["ssim_gain"])
    yield Target("least of soft cells, dB", 0.0, "above", soft["least_psnr_gain"])
    for cell, gain in zip(SOFT, asked.cells, strict=True):
        yield Target(f"{cell}, dB", gain, "above", cells[cell]["psnr_gain"])
    for cell, loss in SHARP_LOSSES.items():
        yield Target(f"{cell}, dB", loss, "above", cells[cell]["psnr_gain"])


def _of_x4(row: MatrixRow, asked: Column, specialist: MatrixRow | None) -> Iterator[Target]:
    gain = "psnr_gain"
    below = None
    if specialist is not None:
        below = specialist["cells"][X4][gain] - row["cells"][X4][gain]
    what = f"{X4} below the x4 network of its size, dB"
    yield Target(what, asked.below_specialist, "below", below)


def _of_harm(row: MatrixRow, asked: Column) -> Iterator[Target]:
    sharp, second_and_third = row["sharp"], row["passes"]["g1"][2:4]
    really = sharp["cue_above"]
    yield Target("sharp originals to the input, mean, dB", SHARP_MEAN, "above", sharp["mean"])
    yield Target("sharp originals to the input, worst, dB", SHARP_WORST, "above", sharp["worst"])
    what = f"those with a cue above {really['threshold']:g}, worst, dB"
    yield Target(what, REALLY_SHARP_WORST, "above", really["worst"])
    yield Target("flat noise, ratio", NOISE, "below", row["harm"]["noise_worst"])
    yield Target("JPEG blocks, ratio", BLOCKS, "below", row["harm"]["blocks"])
    loss = second_and_third[0] - second_and_third[1]
    yield Target("loss of the third pass on g1, dB", asked.third_pass, "below", loss)
    if "real" in row:
        real = row["real"]
        yield Target("real: noise, worst ratio", REAL_NOISE, "below", real["noise_worst"])
        over = real["overshoot_worst"]
        yield Target("real: overshoot, worst, levels", REAL_OVERSHOOT, "below", over)
