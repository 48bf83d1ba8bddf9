"""Layout of a preview: names of its files, its geometry, and its description in JSON."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from sharpend.files.atomic import READ_FILE

IMAGES = ("crop-before.webp", "crop-after.webp", "whole-before.webp", "whole-after.webp")
"""Files of a preview: the most detailed crop in its own size, and the whole image made smaller."""
DESCRIPTION = "preview.json"
MOST_BYTES = 4 << 20
"""Largest file of a preview; noise in a crop of 512 x 512 takes a tenth of it."""
MOST_PX = 1 << 40
WHOLE_PX = 1024
"""Longer side of the whole image at most; a smaller one is kept as it is."""
_DESCRIPTION_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """Geometry and sizes of a preview."""

    crop: tuple[int, ...]
    """Left, top, width and height of the crop, in pixels of the upright image."""
    width: int
    """Of the upright image, in pixels."""
    height: int
    sizes: tuple[int, ...]
    """Bytes of each of `IMAGES`."""


def read_layout(descriptor: int) -> Layout:
    """Read the description; ValueError, TypeError or KeyError where it is none."""
    opened = os.open(DESCRIPTION, READ_FILE, dir_fd=descriptor)
    with os.fdopen(opened, "rb") as file:
        description = json.loads(file.read(_DESCRIPTION_BYTES))
    return Layout(
        crop=_numbers(description["crop"], MOST_PX),
        width=_number(description["width"], MOST_PX),
        height=_number(description["height"], MOST_PX),
        sizes=_numbers(description["sizes"], MOST_BYTES),
    )


def _numbers(values: Any, most: int) -> tuple[int, ...]:  # noqa: ANN401 - of any JSON
    if len(values) != len(IMAGES):
        raise ValueError("there are not four numbers")
    return tuple(_number(value, most) for value in values)


def _number(value: Any, most: int) -> int:  # noqa: ANN401 - of any JSON
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a value is not a number, or out of range")
    return value
