"""ISO base media files: the boxes of AVIF and HEIC, their properties, and whether all is there.

Owns the layout; what a codec's own box says is its format's.

Source: ISO/IEC 14496-12 (boxes; nclx in 12.1.5), 23008-12 (ispe).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.reading import Reader

_MAX_BOXES = 10_000
_HEAD_BYTES = 8
_VERSION_BYTES = 4
"""A full box's version and flags."""
_NCLX_BYTES = 8


def properties_of(reader: Reader) -> list[tuple[bytes, bytes]]:
    """The properties that any item of a file has: kind and content.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    properties = dict(boxes(meta(reader))).get(b"iprp", b"")
    return list(boxes(dict(boxes(properties)).get(b"ipco", b"")))


def size_of(properties: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Height and width of the largest item.

    Raises:
        ImageRefusedError: `damaged` where none tells.
    """
    sizes = [
        struct.unpack(">II", body[4:12])
        for kind, body in properties
        if kind == b"ispe" and len(body) >= 12  # noqa: PLR2004 - the box's fixed part
    ]
    if not sizes:
        raise damaged("it declares no picture")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return height, width


def color_of(properties: list[tuple[bytes, bytes]], at: int) -> int | None:
    """A code point (H.273) of the nclx colour box: at 4 primaries, 6 transfer, 8 matrix."""
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= _NCLX_BYTES:
            return int.from_bytes(body[at : at + 2])
    return None


def with_colour(data: bytes, primaries: int, transfer: int) -> bytes:
    """A file that means these primaries and this transfer; its encoder can only say sRGB.

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


def meta(reader: Reader) -> bytes:
    """The boxes that describe the items of a file.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    at = 0
    for _ in range(_MAX_BOXES):
        length, kind = struct.unpack(">I4s", reader.at(at, 8))
        if kind == b"meta":
            return reader.at(at + 8, max(0, length - _HEAD_BYTES))[_VERSION_BYTES:]
        # 0: to the end of the file; 1: a 64-bit length, only media data has those
        if length < _HEAD_BYTES:
            break
        at += length
    raise damaged("it has no description of a picture")


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a container: kind and content."""
    at = 0
    while at + _HEAD_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length == 0:  # to the end
            length = len(data) - at
        if length < _HEAD_BYTES:
            return
        yield kind, data[at + 8 : at + length]
        at += length


def check_whole(data: bytes) -> None:
    """Refuse a file that ends inside a box.

    Raises:
        ImageRefusedError: `truncated`.
    """
    at = 0
    while at < len(data):
        if at + _HEAD_BYTES > len(data):  # cut within a box's head
            raise truncated()
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length < _HEAD_BYTES:  # 0: this box is the last and reaches to the end
            return
        at += length
    if at > len(data):
        raise truncated()
