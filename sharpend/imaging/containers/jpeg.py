"""JPEG: parse markers and metadata segments, and keep quantisation tables and subsampling.

Owns the byte layout between SOI and the first scan. Segments are carried as they are, in their
order, which no encoder's options can do; pixels are Pillow's.

Source: ITU-T T.81 (JPEG), T.871 (JFIF), EXIF 2.32 section 4.5.4, XMP specification part 3.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import CREDENTIALS, Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.source import Source

_MAX_SEGMENTS = 10_000
_MARKER = 0xFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15; DHT, JPG and DAC lie in between."""
_ARITHMETIC = _FRAMES & frozenset(range(0xC9, 0xD0))
_FRAME_BYTES = 8
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers without a payload."""
_END, _SCAN = 0xD9, 0xDA
_END_OF_PICTURE = b"\xff\xd9"
_APP0, _APP14, _COMMENT = 0xE0, 0xEE, 0xFE
_SEGMENT_MAX = 65_533
"""A segment's length field has 16 bits and counts itself."""

JFIF = b"\xe0JFIF\0"
COMMENT = b"\xfe"
ADOBE = b"\xeeAdobe"
"""Colour coding: RGB, YCbCr or YCCK."""
EXIF = b"\xe1Exif\0"
XMP = b"\xe1http://ns.adobe.com/xap/1.0/\0"
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    (JFIF, Kind.DENSITY),
    (EXIF, Kind.EXIF),
    (XMP, Kind.XMP),
    (b"\xe1http://ns.adobe.com/xmp/extension/\0", Kind.EXTENDED_XMP),
    (b"\xe2ICC_PROFILE\0", Kind.ICC),
    (ADOBE, Kind.COLOR),
    (b"\xedPhotoshop 3.0\0", Kind.PHOTOSHOP),
    (COMMENT, Kind.TEXT),
)
"""Marker and signature of the segments that are understood; all other APPn are Kind.OTHER."""
_LEFT_OUT: tuple[tuple[bytes, str], ...] = (
    (b"\xe2MPF\0", "the further images in this phone's JPEG were not kept"),
    (b"\xeb", CREDENTIALS),
)
"""Blocks that describe the old coded data, and the note on their removal."""
_CMYK_QUALITY = 95
_BYTES_PER_PIXEL = 6
"""Room for libjpeg: noise needs more than Pillow's guess of 2 (4.2 measured at quality 100)."""


def probe(reader: Reader) -> Header:
    """Read size, depth and components from the frame header.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    for marker, offset, length in segments(reader):
        if marker in _FRAMES:
            if length < _FRAME_BYTES:
                raise damaged("its JPEG frame header is too short")
            bits, height, width = struct.unpack(">BHH", reader.at(offset, 5))
            return Header(Format.JPEG, height, width, bits)
        if marker in {_END, _SCAN}:
            break
    raise damaged("a JPEG without a frame header")


def _check_whole(data: bytes) -> None:
    """Refuse a file without an end marker; libjpeg would fill what is missing with gray."""
    _end(data)


def _end(data: bytes) -> int:
    """Offset of the end of the first image, its end marker included."""
    # The search starts at the scan: the thumbnail before it has an end mark of its own.
    scan = next(at for marker, at, _ in segments(Reader(BytesIO(data))) if marker == _SCAN)
    end = data.find(_END_OF_PICTURE, scan)
    if end < 0:
        raise truncated()
    return end + len(_END_OF_PICTURE)


def blocks(data: bytes) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Extract the metadata before the first scan of a whole JPEG, and notes on what is dropped."""
    found: list[Block] = []
    notes = []
    for marker, offset, length in segments(Reader(BytesIO(data))):
        if marker == _SCAN:
            break
        if marker in _ARITHMETIC:
            notes.append("its arithmetic coding was replaced by Huffman's")
        segment = bytes((marker,)) + data[offset : offset + length - 2]
        left_out = [note for start, note in _LEFT_OUT if segment.startswith(start)]
        notes += left_out
        if not left_out and (_APP0 <= marker < _APP0 + 16 or marker == _COMMENT):
            found.append(_block(segment))
    if data[_end(data) :].strip(b"\0"):
        notes.append("what follows the image (further images, a video) was not kept")
    return tuple(found), tuple(dict.fromkeys(notes))


def _block(segment: bytes) -> Block:
    for start, kind in _KINDS:
        if segment.startswith(start):
            # Some write 0xff in place of EXIF's second 0.
            end = len(start) + (kind is Kind.EXIF)
            return Block(kind, segment[end:], segment[:end])
    return Block(Kind.OTHER, segment[1:], segment[:1])


def _spliced(encoded: bytes, carried: Sequence[Block]) -> bytes:
    """Insert these blocks in place of the encoder's own APP0 (JFIF) and APP14 (Adobe)."""
    # Without one of Adobe's the encoder's stays.
    own = {_APP0, _APP14 if any(block.where == ADOBE for block in carried) else _APP0}
    start = 2
    if encoded[3] in own:
        start += 2 + int.from_bytes(encoded[4:6])
    made = b"".join(
        b"\xff"
        + block.where[:1]
        + (len(block.where) + 1 + len(block.data)).to_bytes(2)
        + block.where[1:]
        + block.data
        for block in carried
    )
    return encoded[:2] + made + encoded[start:]


def _fitting(block: Block) -> list[Block]:
    """Split a block into segments; none if it is empty.

    Raises:
        ValueError: it is larger than one segment of JPEG and may not be divided.
    """
    room = _SEGMENT_MAX - len(block.where) + 1
    if len(block.data) <= room:
        return [block] if block.data else []
    if block.kind is not Kind.PHOTOSHOP:
        raise ValueError(f"{len(block.data)} bytes are more than a JPEG segment holds")
    starts = range(0, len(block.data), room)
    return [replace(block, data=block.data[at : at + room]) for at in starts]


def segments(reader: Reader) -> Iterator[tuple[int, int, int]]:
    """Iterate over segments before the first scan: marker, payload offset, length field."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        start, marker = reader.at(at, 2)
        if start != _MARKER or marker == _MARKER:  # padding, or junk that decoders skip too
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        length = int.from_bytes(reader.at(at + 2, 2))
        yield marker, at + 4, length
        at += 2 + length
    raise damaged("too many JPEG segments")


def _carried(source: Source, image: Image.Image) -> Told:
    found, notes = blocks(source.data)
    if image.mode not in {"L", "CMYK"} and not _keeps_sampling(image):
        notes = (*notes, "its chroma subsampling was replaced by full colour")
    return Carried(found), list(notes)


def _options(_source: Source, image: Image.Image, _count: int) -> Options:
    """Save options: the source's quantisation tables and subsampling."""
    if not isinstance(image, JpegImageFile):
        raise TypeError(type(image))
    tables = [image.quantization[component[3]] for component in image.layer]
    options: Options = {"progressive": "progressive" in image.info}
    if image.mode == "CMYK":
        return options | {"quality": _CMYK_QUALITY, "subsampling": 0}
    options["qtables"] = tables[:2] if tables[1:2] == tables[2:] else tables
    if len(tables) > 1:
        # Of the samplings Pillow cannot write, full colour is the lossless choice.
        options["subsampling"] = get_sampling(image) if _keeps_sampling(image) else 0
        options["keep_rgb"] = _is_rgb(image)
    return options


def _keeps_sampling(image: Image.Image) -> bool:
    """Return whether Pillow can write a JPEG's sampling again: not 4:4:0, 4:1:1, subsampled RGB."""
    return get_sampling(image) in ({0} if _is_rgb(image) else {0, 1, 2})


def _is_rgb(image: Image.Image) -> bool:
    """Return whether a JPEG stores RGB components; never with a JFIF marker."""
    return image.info.get("adobe_transform") == 0 and "jfif" not in image.info


def _converted(source: Source, image: Image.Image, told: Told) -> Picture:
    """Convert a CMYK JPEG to sRGB."""
    source.check_cmyk()
    if "adobe" not in image.info:
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "its colours are CMYK without Adobe's marker, so whether 0 is no ink is unknown",
        )
    carried, notes = told
    pixels, profile = color.to_srgb(image, icc.profile_of(carried))
    found = (*carried.without(Kind.ICC, Kind.COLOR).blocks, *icc.in_pieces(profile))
    frame = Frame(pixels, None, Carried(found), _options(source, image, 1))
    return Picture((frame,), Format.JPEG, (*notes, "its CMYK colours were converted to sRGB"))


def _write(picture: Picture) -> bytes:
    height, width = picture.size
    before = ImageFile.MAXBLOCK
    # Progressive files are written in one piece.
    ImageFile.MAXBLOCK = max(before, _BYTES_PER_PIXEL * height * width)
    try:
        (encoded,) = pillow.stills(picture)
    finally:
        ImageFile.MAXBLOCK = before
    return _spliced(encoded, picture.carried.blocks)


# A second view or a gain map makes Pillow open an MPO: its first image is a still.
_READING = pillow.Reading(_carried, _options, count=pillow.one_frame, converted=_converted)
CONTAINER = Container(probe, _READING, _write, _check_whole, XMP, _fitting)
