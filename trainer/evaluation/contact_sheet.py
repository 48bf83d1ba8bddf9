"""Contact sheet: the images on which a student gains most, the median and least.

Selects images and columns. Numbers are of whole images, pixels are crops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.sheet import Panel, labelled_sheet
from trainer.evaluation.measurements import CROP_PX, ORIGINAL, WHOLE
from trainer.evaluation.tables import DEGRADED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.measurements import MeasuredImage

ZOOM = 2


def best_median_worst(
    measured: Sequence[MeasuredImage], row: str
) -> list[tuple[str, MeasuredImage]]:
    """The best, the median and the worst image by the row's SSIM gain over DEGRADED.

    Returns:
        Each with its label; no image twice, even of fewer than three.
    """
    ranked = sorted(measured, key=lambda one: -gain(one, row))
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    chosen = {place: what for what, place in reversed(places.items())}
    return [(chosen[place], ranked[place]) for place in sorted(chosen)]


def gain(measured: MeasuredImage, row: str) -> float:
    """SSIM that a row adds to the degraded image."""
    return measured.scores[row].ssim - measured.scores[DEGRADED].ssim


def contact_sheet(
    name: str, measured: Sequence[MeasuredImage], rows: Sequence[str], *, by: str
) -> Pixels:
    """Draw one line an image: the whole, then its most detailed crop by each row, enlarged.

    Args:
        name: of the set.
        measured: its images.
        rows: shown beside the original.
        by: the row by whose gain images are chosen.

    Returns:
        H x W x 3 uint8.
    """
    lines = [
        [
            Panel(one.crops[WHOLE], f"{what}: {one.image}, gain {gain(one, by):+.4f}"),
            *(_panel(one, column) for column in (ORIGINAL, *rows)),
        ]
        for what, one in best_median_worst(measured, by)
    ]
    heading = (
        f"{name}: best, median and worst image by the SSIM gain of {by}; crops of {CROP_PX} "
        f"pixels, enlarged {ZOOM} times; numbers are of whole images"
    )
    return labelled_sheet([WHOLE, ORIGINAL, *rows], lines, heading=heading)


def _panel(measured: MeasuredImage, column: str) -> Panel:
    crop = measured.crops[column].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    score = measured.scores.get(column)
    return Panel(crop, "" if score is None else f"SSIM {score.ssim:.3f}  {score.psnr:.2f} dB")
