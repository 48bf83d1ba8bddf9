"""Scores and crops of one image by every method, and their storage on disk.

Stores what is measured, so that an interrupted evaluation resumes. Each method runs once on each
image; only crops stay in memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from sharpend.files.atomic import replacing
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.filters import resize
from trainer.evaluation.scores import Score, score

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.sets import Softened
    from trainer.training.teacher import Method

ORIGINAL, WHOLE = "original", "whole image"
CROP_PX = 160
"""Side of the crops, cut where the original has most detail."""
OVERVIEW_PX = 2 * CROP_PX
"""Longer side of the reduced whole image."""
_FRAME = (255, 210, 0)


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


class PartialEvaluation:
    """Images of an unfinished evaluation, stored in a folder."""

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        """`identity`: everything besides the image that a score depends on, as plain values."""
        self._folder = folder
        columns = [one.name for one in fields(Score)]
        self._identity = json.dumps([identity, columns, WHOLE], sort_keys=True).encode()

    def load(self, name: str, image: Softened) -> MeasuredImage | None:
        """Load this image of this evaluation; None if it is not there."""
        path = self._path(image)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["arr_0"]))
            scores = {row: Score(**values) for row, values in told["scores"].items()}
            crops = {crop: arrays[f"arr_{at}"] for at, crop in enumerate(told["crops"], start=1)}
        height, width = image.original.shape[:2]
        return MeasuredImage(name, height, width, scores, crops)

    def save(self, image: Softened, measured: MeasuredImage) -> None:
        """Store scores and crops of an image, atomically."""
        self._folder.mkdir(parents=True, exist_ok=True)
        told = {
            "scores": {row: asdict(one) for row, one in measured.scores.items()},
            "crops": list(measured.crops),
        }
        with replacing(self._path(image)) as file:
            np.savez(file, np.array(json.dumps(told)), *measured.crops.values())

    def _path(self, image: Softened) -> Path:
        digest = hashlib.sha256(self._identity)
        for pixels in (image.original, image.small):
            digest.update(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
        return self._folder / f"{digest.hexdigest()}.npz"


def forget(folder: Path) -> None:
    """Remove the folder of a finished evaluation."""
    shutil.rmtree(folder, ignore_errors=True)
