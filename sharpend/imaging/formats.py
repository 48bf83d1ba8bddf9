"""The one table of picture formats: which suffixes are ours, and what they mean.

Owns the suffix table. A suffix only says that a file is a candidate; what a file is, its content
decides (`headers`). Imports nothing heavy, because the daemon's parent process reads it.
"""

from __future__ import annotations

import os
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Format(StrEnum):
    """A format that is read and written; the value is Pillow's name for it."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    TIFF = "TIFF"
    AVIF = "AVIF"


SUFFIXES: Mapping[bytes, Format] = MappingProxyType(
    {
        b".jpg": Format.JPEG,
        b".jpeg": Format.JPEG,
        b".jpe": Format.JPEG,
        b".jfif": Format.JPEG,
        b".png": Format.PNG,
        b".webp": Format.WEBP,
        b".tif": Format.TIFF,
        b".tiff": Format.TIFF,
        b".avif": Format.AVIF,
    }
)
"""Lower-case suffix, with its dot, to the format that it promises."""


def format_of(name: bytes) -> Format | None:
    """The format that a file's name promises, or None where the suffix is not ours.

    Args:
        name: a file name or path; upper and lower case are the same.
    """
    return SUFFIXES.get(os.path.splitext(name)[1].lower())
