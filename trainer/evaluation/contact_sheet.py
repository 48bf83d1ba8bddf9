"""The contact sheet: where a student helps most, as usual, and least, for people to look at.

Owns which pictures and which columns are shown. Numbers are of whole pictures, pixels are crops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.sheet import Panel, labelled_sheet
from trainer.evaluation.measurements import CROP_PX, ORIGINAL, WHOLE
from trainer.evaluation.tables import DEGRADED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.measurements import Measured

ZOOM = 2


def telling(measured: Sequence[Measured], row: str) -> list[tuple[str, Measured]]:
    """The best, the median and the worst picture by the row's SSIM gain over DEGRADED.

    Returns:
        Each with what it is; of fewer than three pictures none is there twice.
    """
    ranked = sorted(measured, key=lambda one: -gain(one, row))
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    chosen = {place: what for what, place in reversed(places.items())}
    return [(chosen[place], ranked[place]) for place in sorted(chosen)]


def gain(measured: Measured, row: str) -> float:
    """SSIM that a row adds to the degraded picture."""
    return measured.scores[row].ssim - measured.scores[DEGRADED].ssim


def contact_sheet(
    name: str, measured: Sequence[Measured], rows: Sequence[str], *, judge: str
) -> Pixels:
    """One line a picture: the whole, then its most detailed crop by each row, enlarged.

    Args:
        name: of the set.
        measured: its pictures.
        rows: what to show beside the original.
        judge: the row by whose gain pictures are chosen.

    Returns:
        H x W x 3 uint8.
    """
    lines = [
        [
            Panel(one.crops[WHOLE], f"{what}: {one.picture}, gain {gain(one, judge):+.4f}"),
            *(_panel(one, column) for column in (ORIGINAL, *rows)),
        ]
        for what, one in telling(measured, judge)
    ]
    heading = (
        f"{name}: best, median and worst picture by the SSIM gain of {judge}; crops of {CROP_PX} "
        f"pixels, enlarged {ZOOM} times; numbers are of whole pictures"
    )
    return labelled_sheet([WHOLE, ORIGINAL, *rows], lines, heading=heading)


def _panel(measured: Measured, column: str) -> Panel:
    crop = measured.crops[column].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    score = measured.scores.get(column)
    return Panel(crop, "" if score is None else f"SSIM {score.ssim:.3f}  {score.psnr:.2f} dB")
