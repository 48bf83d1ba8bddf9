"""ISO base media file format: parse the boxes and item properties of AVIF and HEIC.

Parses the layout; boxes of a codec are parsed by the module of its format.

Source: ISO/IEC 14496-12 (boxes; nclx in 12.1.5), 23008-12 (ispe).
"""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.reading import Reader, damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BOXES = 10_000
_HEAD_BYTES = 8
_VERSION_BYTES = 4
"""A full box's version and flags."""
_NCLX_BYTES = 8


def properties_of(reader: Reader) -> list[tuple[bytes, bytes]]:
    """List the item properties of a file: type and content."""
    properties = dict(inside(meta_of(reader).get(b"iprp", b"")))
    return list(inside(properties.get(b"ipco", b"")))


def size_of(properties: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Height and width of the largest item."""
    sizes = [
        struct.unpack(">II", body[4:12])
        for kind, body in properties
        if kind == b"ispe" and len(body) >= 12  # noqa: PLR2004 - the box's fixed part
    ]
    if not sizes:
        raise damaged("it declares no image")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return height, width


def color_of(properties: list[tuple[bytes, bytes]], at: int) -> int | None:
    """Read a code point (H.273) of the nclx colour box: at 4 primaries, 6 transfer, 8 matrix."""
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= _NCLX_BYTES:
            return int.from_bytes(body[at : at + 2])
    return None


def with_colour(data: bytes, primaries: int, transfer: int) -> bytes:
    """Set primaries and transfer of a file; its encoder can only write sRGB.

    The matrix stays: it is how the encoder has turned RGB into luma and colour differences.

    Args:
        data: as written by an encoder, with one nclx colour box at most.
        primaries: H.273's number.
        transfer: likewise.
    """
    at = data.find(b"colrnclx")
    if at < 0:
        return data
    at += len(b"colrnclx")
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


class Box(NamedTuple):
    """Type, offset and length of a box."""

    kind: bytes
    start: int
    """Of its content."""
    end: int
    told: int
    """Its length as told in 32 bits: 0 to the end of all, 1 told in 64 bits, 2 to 7 nonsense."""


def boxes(reader: Reader) -> Iterator[Box]:
    """Iterate over consecutive boxes, until one has no length or less than a header is left.

    The last may reach beyond the end: then the file is cut.
    """
    at = 0
    while len(head := reader.up_to(at, 2 * _HEAD_BYTES)) >= _HEAD_BYTES:
        told = length = int.from_bytes(head[:4])
        start = at + _HEAD_BYTES
        if told == 1:
            length, start = int.from_bytes(head[8:]), at + 2 * _HEAD_BYTES
        end = at + length
        yield Box(head[4:8], start, end if start <= end else reader.size, told)
        if end < start:
            return
        at = end


def inside(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Parse the boxes within a box: type and content."""
    for box in boxes(Reader(BytesIO(content))):
        if 0 < box.told < _HEAD_BYTES:
            return
        yield box.kind, content[box.start : box.end]


def meta_of(reader: Reader) -> dict[bytes, bytes]:
    """Parse the boxes within a file's meta box: type to content."""
    for box in islice(boxes(reader), _MAX_BOXES):
        if box.kind == b"meta":
            content = reader.at(box.start, max(0, box.told - _HEAD_BYTES))
            return dict(inside(content[_VERSION_BYTES:]))
        if box.told < _HEAD_BYTES:  # only media data is so large, and comes behind
            raise damaged("it has no description of an image")
    raise truncated()


def check_whole(data: bytes) -> None:
    """Refuse a file that ends inside a box."""
    *_, last = boxes(Reader(BytesIO(data)))
    if last.end != len(data):
        raise truncated()
