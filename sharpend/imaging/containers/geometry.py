"""Geometry of AVIF and HEIF images: size, crop (clap) and shape of pixels (pasp).

Source: ISO/IEC 23008-12, 6.5.3 (ispe), 6.5.9 (clap) and 6.5.4 (pasp); 14496-12, 12.1.4.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.reading import damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.containers.items import Boxes
    from sharpend.imaging.depth import Sample

_ISPE_BYTES = 12
_MIRRORED = frozenset({2, 4, 5, 7})
"""Orientations of EXIF that are turned as 1, 3, 8 and 6 after a flip along the rows."""
_QUARTERS = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}
"""Quarter turns counter-clockwise by orientation; CIPA DC-008-2023, table 8."""
_CLAP = struct.Struct(">IIIIiIiI")
_PADDING_PX = 64
"""Encoders add fewer rows and columns than this, at the end, to fill a block."""


class Crop(NamedTuple):
    """Part of an image that is shown, in pixels of the image before it is turned."""

    top: int
    left: int
    height: int
    width: int


def size_of(image: Boxes) -> tuple[int, int]:
    """Height and width of an image by its properties, before it is turned or cropped."""
    body = _first(image, b"ispe")
    if len(body) < _ISPE_BYTES:
        raise damaged("it declares no image")
    width, height = struct.unpack(">II", body[4:12])
    return height, width


def check_square(image: Boxes, title: str) -> None:
    """Refuse pixels that are not square, because no writer can tell of them.

    Raises:
        ImageRefusedError: `format_not_allowed`.
    """
    body = _first(image, b"pasp")
    if body[:4] != body[4:8]:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            f"its pixels are not square (pasp), which {title} cannot be written with;"
            " scale it to square pixels",
        )


def crop_of(image: Boxes) -> Crop | None:
    """Read the part of an image that is shown; None where that is all of it.

    Raises:
        ImageRefusedError: `damaged`, where it does not lie within the image on whole pixels.
    """
    body = _first(image, b"clap")
    if not body:
        return None
    height, width = size_of(image)
    numbers = _CLAP.unpack(body[: _CLAP.size]) if len(body) >= _CLAP.size else (0,) * 8
    if not all(numbers[1::2]):
        raise damaged("its crop (clap) is no number")
    shown_width, shown_height, right, down = map(Fraction, numbers[::2], numbers[1::2])
    left, top = (width - shown_width) / 2 + right, (height - shown_height) / 2 + down
    sides = (top, left, shown_height, shown_width)
    fits = min(top, left) >= 0 and top + shown_height <= height and left + shown_width <= width
    if any(side.denominator > 1 for side in sides) or not fits or not shown_height * shown_width:
        raise damaged("its crop (clap) does not lie within the image on whole pixels")
    crop = Crop(*map(int, sides))
    return None if crop == (0, 0, height, width) else crop


def crop_notes(image: Boxes, crop: Crop | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name what was cut off: notes for an encoder's padding, losses for more."""
    if crop is None:
        return (), ()
    height, width = size_of(image)
    note = (
        f"it was cropped to {crop.width} x {crop.height} of {width} x {height}, as it is shown",
    )
    is_padding = crop[:2] == (0, 0) and (
        max(height - crop.height, width - crop.width) < _PADDING_PX
    )
    return (note, ()) if is_padding else ((), note)


def turned(values: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Turn pixels upright: H x W [x C], by EXIF's number of their orientation.

    1 is upright, and so is any that EXIF does not know.
    """
    if orientation in _MIRRORED:
        values = values[:, ::-1]
    return np.ascontiguousarray(np.rot90(values, _QUARTERS.get(orientation, 0)))


def _first(image: Boxes, wanted: bytes) -> bytes:
    return next((body for kind, body in image if kind == wanted), b"")
