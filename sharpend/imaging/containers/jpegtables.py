"""JPEG's quantisation tables: read, and as the quality of libjpeg's that comes nearest.

For JPEG within TIFF, whose writer takes a quality and no tables.
"""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sharpend.imaging.containers.jpeg import segments
from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLES, _END, _SCAN = 0xDB, 0xD9, 0xDA


def quantisation(data: bytes) -> tuple[int, ...]:
    """The first quantisation table, in the file's order.

    Args:
        data: a JPEG, or an abbreviated one that holds tables only.

    Raises:
        ImageRefusedError: `damaged` or `truncated`, where there is none.
    """
    for marker, offset, _ in segments(Reader(BytesIO(data))):
        if marker == _TABLES:
            wide = data[offset] >> 4
            numbers = data[offset + 1 : offset + 1 + 64 * (1 + wide)]
            return struct.unpack(">64H", numbers) if wide else tuple(numbers)
        if marker in {_END, _SCAN}:
            break
    raise damaged("a JPEG without quantisation tables")


@cache
def _first_tables() -> tuple[tuple[int, ...], ...]:
    """The first quantisation table of libjpeg's qualities 1 to 100."""
    tables = []
    for quality in range(1, 101):
        buffer = BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as image:
            assert isinstance(image, JpegImageFile)  # noqa: S101 - tells the type checker
            tables.append(tuple(image.quantization[0]))
    return tuple(tables)


def quality_of(table: Sequence[int]) -> int:
    """The quality of libjpeg's whose first quantisation table is nearest.

    Args:
        table: 64 numbers in any order.
    """
    total = sum(table)
    distances = [abs(sum(each) - total) for each in _first_tables()]
    return 1 + distances.index(min(distances))
