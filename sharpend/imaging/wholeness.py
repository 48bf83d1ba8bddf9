"""See that a file holds all of its picture before a decoder is asked to make one of it.

Owns the end marks, lengths and checksums of each format. Decoders are generous: libjpeg fills what
is missing with gray, Pillow skips PNG checksums. A picture that is not whole is refused here.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.formats import Format
from sharpend.imaging.headers import jpeg_segments
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.tifftags import read_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_STRIPS = ((273, 279), (324, 325))
"""TIFF's StripOffsets and StripByteCounts, TileOffsets and TileByteCounts."""
_JPEG_TABLES = 347
_BOX_HEAD_BYTES = 8
_END_OF_JPEG = b"\xff\xd9"
_START_OF_SCAN = 0xDA


def check_whole(found: Format, data: bytes) -> None:
    """Refuse a file that ends early or whose checksums are wrong.

    Args:
        found: the format that the content has.
        data: the whole file.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    _CHECKS[found](data)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end, kind and content, checksums verified.

    Raises:
        ImageRefusedError: `truncated` without an end chunk, `damaged` on a wrong checksum.
    """
    at, kind = 8, b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise truncated()
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise truncated()
        body = data[at + 8 : end]
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[end : end + 4]):
            raise damaged(f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
        yield kind, body
        at = end + 4


def _png(data: bytes) -> None:
    for _ in png_chunks(data):
        pass


def _jpeg(data: bytes) -> None:
    # The search starts at the scan: the thumbnail before it has an end mark of its own.
    segments = jpeg_segments(Reader(BytesIO(data)))
    scan = next(offset for marker, offset, _ in segments if marker == _START_OF_SCAN)
    if data.find(_END_OF_JPEG, scan) < 0:
        raise truncated()


def _webp(data: bytes) -> None:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise truncated()


def _avif(data: bytes) -> None:
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length < _BOX_HEAD_BYTES:  # 0: this box is the last and reaches to the end
            return
        at += length
    if at > len(data):
        raise truncated()


def _tiff(data: bytes) -> None:
    wanted = {_JPEG_TABLES, *(tag for pair in _STRIPS for tag in pair)}
    page = read_layout(Reader(BytesIO(data)), wanted)
    for offsets, lengths in _STRIPS:
        for offset, length in zip(page.values(offsets), page.values(lengths), strict=False):
            if offset + length > len(data):
                raise truncated()


_CHECKS: Mapping[Format, Callable[[bytes], None]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.TIFF: _tiff,
    Format.AVIF: _avif,
}
