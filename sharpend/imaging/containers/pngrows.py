"""PNG rows: count the bytes that pixels have before compression, and those that a stream holds.

Source: PNG specification, third edition (W3C, 2025), sections 7 and 8.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.inflating import inflated_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel as it is stored, by colour type."""
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""Of an interlaced image (section 8.1): first column and row, and steps between them."""


def has_all_rows(header: bytes, packed: Iterable[bytes]) -> bool:
    """Return whether compressed pixels hold every row of an image with this IHDR."""
    most = pixel_bytes(header)
    return inflated_bytes(packed, most)[0] == most


def pixel_bytes(header: bytes) -> int:
    """Compute the bytes of all rows before compression, each with its filter (section 7)."""
    width, height, bits, color_type, *_, interlaced = struct.unpack(">IIBBBBB", header)
    row_bits = bits * _SAMPLES.get(color_type, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = (
        (-(-(width - left) // across), -(-(height - top) // down))
        for left, top, across, down in passes
        if width > left and height > top
    )
    return int(sum(rows * (1 + -(-columns * row_bits // 8)) for columns, rows in sizes))
