"""The boxes of AVIF and HEIC: their header, and whether the file is whole.

Owns the ISO base media layout; pixels and metadata are the readers'.

Source: ISO/IEC 14496-12 (boxes; nclx in 12.1.5), 23008-12 (ispe), AV1-ISOBMFF 2.3.3 (av1C),
14496-15 8.3.3.1 (hvcC).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import Format
from sharpend.imaging.header import Header
from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.reading import Reader

_MAX_BOXES = 10_000
_HEAD_BYTES = 8
_VERSION_BYTES = 4
"""A full box's version and flags."""
_NCLX_BYTES = 8
_AV1_SUBSAMPLING = {0: "4:4:4", 2: "4:2:2", 3: "4:2:0", 1: "4:4:4"}
"""By av1C's bits for horizontal and vertical subsampling."""
_HEVC_SUBSAMPLING = {0: "4:2:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
"""By hvcC's chroma format."""


def probe_avif(reader: Reader) -> Header:
    """The largest size and the deepest samples that any item of an AVIF declares.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    properties = _properties(reader)
    codecs = [body[2] for kind, body in properties if kind == b"av1C" and len(body) >= 4]  # noqa: PLR2004 - the box's fixed part
    if not codecs:
        raise damaged("its AVIF declares no picture")
    if any(
        kind == b"clap" or (kind == b"pasp" and body[:4] != body[4:8]) for kind, body in properties
    ):
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            "its AVIF is cropped or stretched by a property that would be lost",
        )
    height, width = _size(properties)
    return Header(
        Format.AVIF,
        height,
        width,
        bits=max(12 if flags & 0x20 else 10 if flags & 0x40 else 8 for flags in codecs),
        gray=all(flags & 0x10 for flags in codecs),
        subsampling=_AV1_SUBSAMPLING[min(codecs) >> 2 & 3],
        primaries=_told(properties, 4),
        transfer=_told(properties, 6),
        lossless=_told(properties, 8) == 0,  # only RGB as it is has no matrix
    )


def probe_heic(reader: Reader) -> Header:
    """The largest size and the deepest samples that any item of a HEIC declares.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    properties = _properties(reader)
    codecs = [body[16:18] for kind, body in properties if kind == b"hvcC" and len(body) >= 23]  # noqa: PLR2004 - the box's fixed part
    if not codecs:
        raise damaged("its HEIF declares no HEVC picture")
    height, width = _size(properties)
    return Header(
        Format.HEIC,
        height,
        width,
        bits=max(8 + (depth & 7) for _, depth in codecs),
        gray=all(chroma & 3 == 0 for chroma, _ in codecs),
        subsampling=_HEVC_SUBSAMPLING[max(chroma & 3 for chroma, _ in codecs)],
        primaries=_told(properties, 4),
        transfer=_told(properties, 6),
    )


def _properties(reader: Reader) -> list[tuple[bytes, bytes]]:
    properties = dict(boxes(meta(reader))).get(b"iprp", b"")
    return list(boxes(dict(boxes(properties)).get(b"ipco", b"")))


def _size(properties: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    sizes = [
        struct.unpack(">II", body[4:12])
        for kind, body in properties
        if kind == b"ispe" and len(body) >= 12  # noqa: PLR2004 - the box's fixed part
    ]
    if not sizes:
        raise damaged("it declares no picture")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return height, width


def _told(properties: list[tuple[bytes, bytes]], at: int) -> int | None:
    """A code point of the nclx colour box: 4 primaries, 6 transfer."""
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
