"""Scores and crops of one image by every method.

Each method runs once on each image; only crops stay in memory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging.crops import most_detailed
from sharpend.imaging.filters import resize
from trainer.evaluation.scores import Score, score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.sets import Softened
    from trainer.training.teacher import Method

ORIGINAL, WHOLE = "original", "whole image"
CROP_PX = 160
"""Side of the crops, cut where the original has most detail."""
OVERVIEW_PX = 2 * CROP_PX
"""Longer side of the reduced whole image."""
_FRAME = (255, 210, 0)
CONTENT = [*(one.name for one in fields(Score)), WHOLE]
"""Names of the measured figures: a version that measures more discards stored results."""


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """Scores and crops of one image.

    Attributes:
        image: the original's file name.
        height: in pixels.
        width: in pixels.
        scores: by method, in the order of the rows.
        crops: ORIGINAL and each method at one place, WHOLE with that place framed; uint8.
    """

    image: str
    height: int
    width: int
    scores: Mapping[str, Score]
    crops: Mapping[str, Pixels]

    def described(self) -> dict[str, Any]:
        """All but the crops, as plain values; `restored` is the inverse."""
        scores = {row: asdict(one) for row, one in self.scores.items()}
        return {"image": self.image, "height": self.height, "width": self.width, "scores": scores}


def restored(values: Mapping[str, Any], crops: Mapping[str, Pixels]) -> MeasuredImage:
    """Make a measured image of its plain values and its crops."""
    scores = {row: Score(**one) for row, one in values["scores"].items()}
    return MeasuredImage(values["image"], values["height"], values["width"], scores, crops)


def score_methods(
    name: str, image: Softened, methods: Mapping[str, Method], *, teacher: str | None
) -> MeasuredImage:
    """Run every method once on an image, and score the outputs.

    Args:
        name: of the image.
        image: softened, with its original.
        methods: by the name of their row.
        teacher: the row that is the reference of all agreements.
    """
    outputs = {row: method(image.small, image.degraded) for row, method in methods.items()}
    taught = outputs[teacher] if teacher else None
    scores = {
        row: score(output, image.original, taught=taught, degraded=image.degraded)
        for row, output in outputs.items()
    }
    height, width = image.original.shape[:2]
    return MeasuredImage(name, height, width, scores, _crops(image.original, outputs))


def _crops(original: Pixels, outputs: Mapping[str, Pixels]) -> dict[str, Pixels]:
    """Copy crops, so that the whole images can be freed."""
    height, width = original.shape[:2]
    window = most_detailed(original, height=min(CROP_PX, height), width=min(CROP_PX, width))
    crops = {name: out[window].copy() for name, out in {ORIGINAL: original, **outputs}.items()}
    return {WHOLE: _overview(original, window), **crops}


def _overview(original: Pixels, window: tuple[slice, slice]) -> Pixels:
    """The whole image, reduced, with a frame around a window."""
    factor = min(1.0, OVERVIEW_PX / max(original.shape[:2]))
    height, width = (max(1, round(side * factor)) for side in original.shape[:2])
    small = resize(original, height=height, width=width)
    top, left, bottom, right = (
        min(int(edge * factor), limit - 1)
        for edge, limit in (
            (window[0].start, height),
            (window[1].start, width),
            (window[0].stop, height),
            (window[1].stop, width),
        )
    )
    for line in (np.s_[top, left:right], np.s_[bottom, left:right]):
        small[line] = _FRAME
    for line in (np.s_[top:bottom, left], np.s_[top : bottom + 1, right]):
        small[line] = _FRAME
    return small
