"""Copies of files whose metadata follows the policies, while their compressed pixels stay.

Owns the proof: the copy is decoded, and must have the pixels of its source.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import ImageRefusedError
from sharpend.imaging import codec
from sharpend.imaging.detection import CONTAINERS
from sharpend.imaging.losses import has_trailer
from sharpend.imaging.metadata_policy import reduced

if TYPE_CHECKING:
    from sharpend.imaging.metadata.blocks import Carried
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.policies import Policies


def reduced_copy(data: bytes, picture: Picture, policies: Policies) -> tuple[bytes, list[str]]:
    """Remove from a file the metadata that the policies do not let through.

    Args:
        data: the file.
        picture: as it was decoded.
        policies: of its folder; by these no pixel changes.

    Returns:
        The copy, and notes on what else it lacks.

    Raises:
        ValueError: with the reason why its pixels would have to be compressed again.
    """
    container, notes = CONTAINERS[picture.format], list[str]()
    if container.edited is None:
        raise ValueError(f"{picture.format} is written as a whole")
    if picture.losses or has_trailer(picture):
        raise ValueError("it holds content beside its image")

    def edit(carried: Carried) -> Carried:
        return reduced(carried, container, policies, notes)

    try:
        copy, more = container.edited(data, edit)
        again = _decoded(copy, policies)
    except ImageRefusedError as error:
        raise ValueError("its metadata cannot be told from its pixels") from error
    if not _same(picture, again):
        raise ValueError("its pixels would change")
    return copy, [*notes, *more]


def _decoded(copy: bytes, policies: Policies) -> Picture:
    """Decode a file whose source was within all limits."""
    return codec.decode(
        BytesIO(copy), max_pixels=1 << 62, max_bytes=len(copy), max_scans=1 << 30, policies=policies
    )


def _same(one: Picture, other: Picture) -> bool:
    """Return whether all frames have equal values."""
    pairs = zip(one.frames, other.frames, strict=False)
    return len(one.frames) == len(other.frames) and all(_equal(*pair) for pair in pairs)


def _equal(one: Frame, other: Frame) -> bool:
    if (one.alpha is None) != (other.alpha is None):
        return False
    is_shown_alike = one.alpha is None or np.array_equal(one.alpha, np.asarray(other.alpha))
    return is_shown_alike and np.array_equal(one.pixels, other.pixels)
