"""Multi-picture format: where the images of a JPEG file lie, and which are declared thumbnails.

Owns the list of entries. Refuses nothing: a list that cannot be read declares no thumbnails.

Source: CIPA DC-007-2009 (MPF), sections 5.2.2 and 5.2.3.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers.jpeglayout import parts
from sharpend.imaging.metadata.exifblock import ExifBlock
from sharpend.imaging.source import MOST_SCANS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.containers.jpeglayout import Parts

_APP2 = 0xE2
_SIGNATURE = b"MPF\0"
_ENTRIES = 0xB002
_CLASS, _LARGE_THUMBNAIL = 0xFF0000, 0x010000
"""Bits of the type of an image, and their value for copies that fit a display."""


def without_thumbnails(found: Parts, end: int) -> bytes:
    """Return the data behind an image up to `end`, with zeros in place of declared thumbnails."""
    behind = bytearray(found.data[found.end : end])
    for start, length in _thumbnails(found):
        first = start - found.end
        if 0 <= first <= first + length <= len(behind):
            own = _end(bytes(behind[first : first + length]))
            behind[first : first + own] = bytes(own)
    return bytes(behind)


def _end(thumbnail: bytes) -> int:
    """Return the offset behind the image of a thumbnail; all, where it cannot be told."""
    try:
        return parts(thumbnail, most_scans=MOST_SCANS).end
    except ImageRefusedError:
        return len(thumbnail)


def _thumbnails(found: Parts) -> Iterator[tuple[int, int]]:
    """Offset in the file and length of each declared thumbnail."""
    for segment in found.segments:
        body = found.body(segment)
        if segment.marker != _APP2 or not body.startswith(_SIGNATURE):
            continue
        try:
            block = ExifBlock(body[len(_SIGNATURE) :])
            listed = block.directory(block.first).find(_ENTRIES)
        except ValueError:
            continue
        entry = struct.Struct(f"{block.order}3I2H")
        table = bytes(block.data[slice(*listed.span)]) if listed else b""
        # Offsets count from the header of this block.
        origin = segment.payload + len(_SIGNATURE)
        for kind, length, offset, *_ in entry.iter_unpack(table[: len(table) // 16 * 16]):
            if kind & _CLASS == _LARGE_THUMBNAIL and offset:
                yield origin + offset, length
