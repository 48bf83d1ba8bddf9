"""Read what a picture's header says, without a decoder and with small reads only.

Owns the byte layout of headers: size, bit depth, and what Pillow does not tell (how good is a WebP,
is an AVIF gray). So a bomb is refused before memory is asked for, and 16 bits, which Pillow
silently halves, are seen. Decodes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import Format
from sharpend.imaging.reading import Reader, damaged
from sharpend.imaging.signatures import HEAD_BYTES, identify
from sharpend.imaging.tifftags import Directory, read_layout
from sharpend.imaging.vp8 import ENOUGH_BYTES, quality_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MAX_SEGMENTS = 10_000
_IHDR_BYTES = 13
_BOX_HEAD_BYTES = 8
_MARKER = 0xFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's SOF0 to SOF15; DHT, JPG and DAC lie in between."""
_FRAME_BYTES = 8
_BARE_MARKERS = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Those without a payload."""
_AFTER_HEADER = frozenset({0xD9, 0xDA})
"""EOI and SOS."""
_SUBSAMPLING = {0: "4:4:4", 2: "4:2:2", 3: "4:2:0", 1: "4:4:4"}
"""By av1C's bits for horizontal and vertical subsampling."""
_TIFF_SUBFILE, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_EXTRA = 254, 256, 257, 258, 338
_TIFF_RAW = frozenset({33421, 50706})
"""CFARepeatPatternDim and DNGVersion: sensor data."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says about its picture."""

    format: Format
    height: int
    width: int
    bits: int = 8
    """The most bits of any sample."""
    quality: int | None = None
    """Lossy WebP only: about the quality that it was written at, 0..100."""
    gray: bool = False
    """AVIF only: there is no colour, though Pillow reads RGB."""
    subsampling: str = "4:2:0"
    """AVIF only: how much coarser the colours are stored."""


def probe(file: BinaryIO) -> Header:
    """Read the header of a seekable file.

    Raises:
        ImageRefusedError: not a picture, not an allowed format, truncated or damaged.
    """
    file.seek(0)
    found = identify(file.read(HEAD_BYTES))
    header = _PROBES[found](Reader(file))
    if not header.height or not header.width:
        raise damaged("it declares a picture without pixels")
    return header


def _png(reader: Reader) -> Header:
    length, kind, width, height, bits = struct.unpack(">I4sIIB", reader.at(8, 17))
    if kind != b"IHDR" or length != _IHDR_BYTES:
        raise damaged("a PNG must begin with its header")
    return Header(Format.PNG, height, width, bits)


def _jpeg(reader: Reader) -> Header:
    for marker, offset, length in jpeg_segments(reader):
        if marker in _FRAMES:
            if length < _FRAME_BYTES:
                raise damaged("its JPEG frame header is too short")
            bits, height, width = struct.unpack(">BHH", reader.at(offset, 5))
            return Header(Format.JPEG, height, width, bits)
        if marker in _AFTER_HEADER:
            break
    raise damaged("a JPEG without a frame header")


def jpeg_segments(reader: Reader) -> Iterator[tuple[int, int, int]]:
    """Each segment before the first scan's data: marker, offset of its payload, length field.

    Raises:
        ImageRefusedError: `truncated` where the file ends, `damaged` after too many segments.
    """
    at = 2
    for _ in range(_MAX_SEGMENTS):
        start, marker = reader.at(at, 2)
        if start != _MARKER or marker == _MARKER:  # padding, or junk that decoders skip too
            at += 1
            continue
        if marker in _BARE_MARKERS:
            at += 2
            continue
        length = int.from_bytes(reader.at(at + 2, 2))
        yield marker, at + 4, length
        at += 2 + length
    raise damaged("too many JPEG segments")


def _webp(reader: Reader) -> Header:
    kind = reader.at(12, 4)
    if kind == b"VP8X":
        return _webp_extended(reader)
    return _webp_frame(reader, 12, kind)


def _webp_frame(reader: Reader, at: int, kind: bytes) -> Header:
    if kind == b"VP8L":
        bits = int.from_bytes(reader.at(at + 9, 4), "little")
        height, width = (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        return Header(Format.WEBP, height, width)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", reader.at(at + 14, 4))
        quality = _webp_quality(reader, at)
        return Header(Format.WEBP, height & 0x3FFF, width & 0x3FFF, quality=quality)
    raise damaged("its WebP has no picture")


def _webp_quality(reader: Reader, at: int) -> int:
    length = int.from_bytes(reader.at(at + 4, 4), "little")
    return quality_of(reader.at(at + 8, min(length, ENOUGH_BYTES)))


def _webp_extended(reader: Reader) -> Header:
    canvas = reader.at(24, 6)
    width = int.from_bytes(canvas[:3], "little") + 1
    height = int.from_bytes(canvas[3:], "little") + 1
    if reader.at(20, 1)[0] & 2:
        raise ImageRefusedError(Reason.ANIMATED, "an animated WebP; only stills are sharpened")
    at = 30
    for _ in range(_MAX_SEGMENTS):
        kind, length = struct.unpack("<4sI", reader.at(at, 8))
        if kind == b"VP8L":
            return Header(Format.WEBP, height, width)
        if kind == b"VP8 ":
            return Header(Format.WEBP, height, width, quality=_webp_quality(reader, at))
        at += 8 + length + (length & 1)
    raise damaged("too many WebP chunks")


def _avif(reader: Reader) -> Header:
    """The largest size and the deepest samples that any item of the file declares.

    Source: ISO/IEC 14496-12 (boxes), 23008-12 (ispe), AV1-ISOBMFF 2.3.3 (av1C).
    """
    meta = _avif_meta(reader)
    properties = dict(_boxes(meta[4:])).get(b"iprp", b"")
    boxes = list(_boxes(dict(_boxes(properties)).get(b"ipco", b"")))
    sizes = [struct.unpack(">II", body[4:12]) for kind, body in boxes if _is(kind, body, b"ispe")]
    codecs = [body[2] for kind, body in boxes if _is(kind, body, b"av1C")]
    if not sizes or not codecs:
        raise damaged("its AVIF declares no picture")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(
        Format.AVIF,
        height,
        width,
        bits=max(12 if flags & 0x20 else 10 if flags & 0x40 else 8 for flags in codecs),
        gray=all(flags & 0x10 for flags in codecs),
        subsampling=_SUBSAMPLING[min(codecs) >> 2 & 3],
    )


def _is(kind: bytes, body: bytes, wanted: bytes) -> bool:
    return kind == wanted and len(body) >= (12 if wanted == b"ispe" else 4)


def _avif_meta(reader: Reader) -> bytes:
    at = 0
    for _ in range(_MAX_SEGMENTS):
        length, kind = struct.unpack(">I4s", reader.at(at, 8))
        if kind == b"meta":
            return reader.at(at + 8, max(0, length - _BOX_HEAD_BYTES))
        if (
            length < _BOX_HEAD_BYTES
        ):  # 0: to the end of the file; 1: a 64-bit length, only media data has those
            break
        at += length
    raise damaged("its AVIF has no description of a picture")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of an ISO base media container: kind and content."""
    at = 0
    while at + _BOX_HEAD_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < _BOX_HEAD_BYTES:
            return
        yield kind, data[at + 8 : at + length]
        at += length


def _tiff(reader: Reader) -> Header:
    page = read_layout(
        reader,
        {_TIFF_SUBFILE, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_EXTRA, *_TIFF_RAW},
    )
    _refuse_tiff(page)
    height, width = page.values(_TIFF_HEIGHT), page.values(_TIFF_WIDTH)
    if not height or not width:
        raise damaged("its TIFF declares no size")
    return Header(Format.TIFF, height[0], width[0], max(page.values(_TIFF_BITS, (1,))))


def _refuse_tiff(page: Directory) -> None:
    if _TIFF_RAW & page.entries.keys() or page.values(_TIFF_SUBFILE, (0,))[0] & 1:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, "a camera raw file, whose TIFF picture is only a preview"
        )
    if page.next_page:
        raise ImageRefusedError(
            Reason.ANIMATED, "a TIFF with several pages; only single pictures are sharpened"
        )
    if 0 in page.values(_TIFF_EXTRA):
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "its TIFF has an extra channel of unknown meaning, which would be lost",
        )


_PROBES: Mapping[Format, Callable[[Reader], Header]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.TIFF: _tiff,
    Format.AVIF: _avif,
}
