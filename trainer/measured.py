"""One picture by every method: its scores, the crops that people look at, and both kept on disk.

Owns the folder of what is already measured, so that an interrupted evaluation goes on where it
was. Each method works on each picture once; only crops outlive the picture in memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from sharpend.atomic import replacing
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.filters import resize
from trainer.scores import Score, score

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.degradation import Pixels
    from trainer.sets import Softened
    from trainer.teacher import Method

ORIGINAL, WHOLE = "original", "whole picture"
CROP_PX = 160
"""Side of the crops, cut where the original has most detail."""
OVERVIEW_PX = 2 * CROP_PX
"""Longer side of the reduced whole picture."""
_FRAME = (255, 210, 0)


@dataclass(frozen=True, slots=True)
class Measured:
    """One picture.

    Attributes:
        picture: the original's file name.
        height: in pixels.
        width: in pixels.
        scores: by method, in the order of the rows.
        crops: ORIGINAL and each method at one place, WHOLE with that place framed; uint8.
    """

    picture: str
    height: int
    width: int
    scores: Mapping[str, Score]
    crops: Mapping[str, Pixels]


def measure(
    name: str, picture: Softened, methods: Mapping[str, Method], *, teacher: str | None
) -> Measured:
    """Let every method at a picture, once, and compare.

    Args:
        name: of the picture.
        picture: softened, with its original.
        methods: by the name of their row.
        teacher: the row that is the reference of all agreements.
    """
    outputs = {row: method(picture.small, picture.degraded) for row, method in methods.items()}
    taught = outputs[teacher] if teacher else None
    scores = {
        row: score(output, picture.original, taught=taught, degraded=picture.degraded)
        for row, output in outputs.items()
    }
    height, width = picture.original.shape[:2]
    return Measured(name, height, width, scores, _crops(picture.original, outputs))


def _crops(original: Pixels, outputs: Mapping[str, Pixels]) -> dict[str, Pixels]:
    """Copies, so that the pictures they come from can go."""
    height, width = original.shape[:2]
    window = most_detailed(original, height=min(CROP_PX, height), width=min(CROP_PX, width))
    crops = {name: out[window].copy() for name, out in {ORIGINAL: original, **outputs}.items()}
    return {WHOLE: _overview(original, window), **crops}


def _overview(original: Pixels, window: tuple[slice, slice]) -> Pixels:
    """The whole picture, reduced, with a frame around a window."""
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


class Kept:
    """What a folder holds of an evaluation that has not ended."""

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        """`identity`: all that decides a score besides the picture, as plain values."""
        self._folder = folder
        columns = [one.name for one in fields(Score)]
        self._identity = json.dumps([identity, columns], sort_keys=True).encode()

    def load(self, name: str, picture: Softened) -> Measured | None:
        """What was measured of this very picture in this very evaluation, if anything."""
        path = self._path(picture)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["arr_0"]))
            scores = {row: Score(**values) for row, values in told["scores"].items()}
            crops = {crop: arrays[f"arr_{at}"] for at, crop in enumerate(told["crops"], start=1)}
        height, width = picture.original.shape[:2]
        return Measured(name, height, width, scores, crops)

    def save(self, picture: Softened, measured: Measured) -> None:
        """Keep a picture's scores and crops, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        told = {
            "scores": {row: asdict(one) for row, one in measured.scores.items()},
            "crops": list(measured.crops),
        }
        with replacing(self._path(picture)) as file:
            np.savez(file, np.array(json.dumps(told)), *measured.crops.values())

    def _path(self, picture: Softened) -> Path:
        digest = hashlib.sha256(self._identity)
        for pixels in (picture.original, picture.small):
            digest.update(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
        return self._folder / f"{digest.hexdigest()}.npz"


def forget(folder: Path) -> None:
    """Remove what was kept: the evaluation has ended."""
    shutil.rmtree(folder, ignore_errors=True)
