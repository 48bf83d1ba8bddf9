"""Storage of an unfinished evaluation: one file for each measured image, so that it resumes.

A file is found by the digest of everything that its result depends on, so that a result of other
models, options or pixels is never taken for this one's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.files.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.degradations.mixture import Pixels


class PartialResults:
    """Results of the images of one unfinished evaluation, in a folder."""

    def __init__(self, folder: Path, *identity: object) -> None:
        """`identity`: everything besides the image that a result depends on, as plain values."""
        self._folder = folder
        self._identity = json.dumps(identity, sort_keys=True).encode()

    def load(self, name: str, image: Sequence[Pixels]) -> tuple[Any, dict[str, Pixels]] | None:
        """Load the result of an image; None if it is not there.

        Args:
            name: of the image.
            image: its pixels, in every version that was measured.

        Returns:
            The plain values, and the crops by name.
        """
        path = self._path(name, image)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            saved = json.loads(str(arrays["arr_0"]))
            crops = {crop: arrays[f"arr_{at}"] for at, crop in enumerate(saved["crops"], start=1)}
        return saved["values"], crops

    def save(
        self, name: str, image: Sequence[Pixels], values: object, crops: Mapping[str, Pixels]
    ) -> None:
        """Store the result of an image, atomically.

        Args:
            name: of the image.
            image: as for `load`.
            values: plain values.
            crops: by name.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"values": values, "crops": list(crops)})
        with replacing(self._path(name, image)) as file:
            np.savez(file, np.array(text), *crops.values())

    def _path(self, name: str, image: Sequence[Pixels]) -> Path:
        digest = hashlib.sha256(self._identity)
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        for pixels in image:
            digest.update(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
        return self._folder / f"{digest.hexdigest()}.npz"


def forget(folder: Path) -> None:
    """Remove the folder of a finished evaluation."""
    shutil.rmtree(folder, ignore_errors=True)
