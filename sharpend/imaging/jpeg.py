"""JPEG's markers: its header, whether it is whole, and its metadata segments.

Owns the byte layout between SOI and the first scan. Segments are carried as they are, in their
order, which no encoder's options can do; pixels are Pillow's.

Source: ITU-T T.81 (JPEG), T.871 (JFIF), EXIF 2.32 section 4.5.4, XMP specification part 3.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.formats import Format
from sharpend.imaging.header import Header
from sharpend.imaging.metadata import Block, Carried, Kind
from sharpend.imaging.reading import Reader, damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAX_SEGMENTS = 10_000
_MARKER = 0xFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15; DHT, JPG and DAC lie in between."""
_ARITHMETIC = _FRAMES & frozenset(range(0xC9, 0xD0))
_FRAME_BYTES = 8
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers without a payload."""
_TABLES, _END, _SCAN = 0xDB, 0xD9, 0xDA
_END_OF_PICTURE = b"\xff\xd9"
_APP0, _APP14, _COMMENT = 0xE0, 0xEE, 0xFE
_SEGMENT_MAX = 65_533
"""A segment's length field has 16 bits and counts itself."""

JFIF = b"\xe0JFIF\0"
COMMENT = b"\xfe"
ADOBE = b"\xeeAdobe"
"""How colours are coded: as RGB, YCbCr or YCCK."""
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
CREDENTIALS = "its content credentials (JUMBF) were not kept: they vouch for other pixels"
_LEFT_OUT: tuple[tuple[bytes, str], ...] = (
    (b"\xe2MPF\0", "the further pictures in this phone's JPEG were not kept"),
    (b"\xeb", CREDENTIALS),
)
"""What speaks of the coded data, which is new, and what to say when it goes."""


def probe(reader: Reader) -> Header:
    """The frame header.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    for marker, offset, length in _segments(reader):
        if marker in _FRAMES:
            if length < _FRAME_BYTES:
                raise damaged("its JPEG frame header is too short")
            bits, height, width = struct.unpack(">BHH", reader.at(offset, 5))
            return Header(Format.JPEG, height, width, bits)
        if marker in {_END, _SCAN}:
            break
    raise damaged("a JPEG without a frame header")


def check_whole(data: bytes) -> None:
    """Refuse a file without an end mark; libjpeg would fill what is missing with gray.

    Raises:
        ImageRefusedError: `truncated`.
    """
    _end(data)


def _end(data: bytes) -> int:
    """Where the first picture ends, its end mark included."""
    # The search starts at the scan: the thumbnail before it has an end mark of its own.
    scan = next(at for marker, at, _ in _segments(Reader(BytesIO(data))) if marker == _SCAN)
    end = data.find(_END_OF_PICTURE, scan)
    if end < 0:
        raise truncated()
    return end + len(_END_OF_PICTURE)


def quantisation(data: bytes) -> tuple[int, ...]:
    """The first quantisation table, in the file's order.

    Args:
        data: a JPEG, or an abbreviated one that holds tables only.

    Raises:
        ImageRefusedError: `damaged` or `truncated`, where there is none.
    """
    for marker, offset, _ in _segments(Reader(BytesIO(data))):
        if marker == _TABLES:
            wide = data[offset] >> 4
            numbers = data[offset + 1 : offset + 1 + 64 * (1 + wide)]
            return struct.unpack(">64H", numbers) if wide else tuple(numbers)
        if marker in {_END, _SCAN}:
            break
    raise damaged("a JPEG without quantisation tables")


def blocks(data: bytes) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """The metadata before the first scan, and notes on what cannot be kept.

    Args:
        data: a whole JPEG.
    """
    found: list[Block] = []
    notes = []
    for marker, offset, length in _segments(Reader(BytesIO(data))):
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
        notes.append("what follows the picture (further pictures, a video) was not kept")
    return tuple(found), tuple(dict.fromkeys(notes))


def _block(segment: bytes) -> Block:
    for start, kind in _KINDS:
        if segment.startswith(start):
            # Some write 0xff in place of EXIF's second 0.
            end = len(start) + (kind is Kind.EXIF)
            return Block(kind, segment[end:], segment[:end])
    return Block(Kind.OTHER, segment[1:], segment[:1])


def fitting(block: Block) -> list[Block]:
    """A block as its format can hold it: JPEG's in segments, others as they are, empty ones not.

    Raises:
        ValueError: it is larger than one segment of JPEG and may not be divided.
    """
    is_segment = _APP0 <= (block.where or b"\0")[0] < _APP0 + 16
    room = _SEGMENT_MAX - len(block.where) + 1
    if not block.data or not is_segment or len(block.data) <= room:
        return [block] if block.data else []
    if block.kind is not Kind.PHOTOSHOP:
        raise ValueError(f"{len(block.data)} bytes are more than a JPEG segment holds")
    starts = range(0, len(block.data), room)
    return [replace(block, data=block.data[at : at + room]) for at in starts]


def with_joined_resources(carried: Carried) -> Carried:
    """Photoshop's resources, which one JPEG may have in several segments, as one block."""
    parts = [block for block in carried.blocks if block.kind is Kind.PHOTOSHOP]
    if len(parts) < 2:  # noqa: PLR2004 - nothing to join
        return carried
    whole = replace(parts[0], data=b"".join(part.data for part in parts))
    rest = [block for block in carried.blocks if block not in parts[1:]]
    blocks = [whole if block is parts[0] else block for block in rest]
    return replace(carried, blocks=tuple(blocks))


def spliced(encoded: bytes, carried: Sequence[Block]) -> bytes:
    """An encoder's JPEG with these blocks in place of its own APP0 (JFIF) and APP14 (Adobe).

    Args:
        encoded: as Pillow writes it: of metadata, one of those two at most.
        carried: blocks, each of which fits into a segment. Without Adobe's the encoder's stays.
    """
    own = {_APP0, _APP14 if any(block.where == ADOBE for block in carried) else _APP0}
    start = 2
    if encoded[3] in own:
        start += 2 + int.from_bytes(encoded[4:6])
    segments = b"".join(
        b"\xff"
        + block.where[:1]
        + (len(block.where) + 1 + len(block.data)).to_bytes(2)
        + block.where[1:]
        + block.data
        for block in carried
    )
    return encoded[:2] + segments + encoded[start:]


def joined_icc(carried: Iterable[Block]) -> bytes:
    """The ICC profile, from its numbered pieces.

    Source: ICC.1:2010, B.4.
    """
    pieces = sorted(block.data for block in carried if block.kind is Kind.ICC)
    return b"".join(piece[2:] for piece in pieces)


def icc_blocks(profile: bytes) -> tuple[Block, ...]:
    """A profile cut into pieces that fit."""
    size = _SEGMENT_MAX - len(b"ICC_PROFILE\0") - 2
    pieces = [profile[at : at + size] for at in range(0, len(profile), size)]
    return tuple(
        Block(Kind.ICC, bytes((number, len(pieces))) + piece, b"\xe2ICC_PROFILE\0")
        for number, piece in enumerate(pieces, start=1)
    )


def _segments(reader: Reader) -> Iterator[tuple[int, int, int]]:
    """Each segment before the first scan's data: marker, offset of its payload, length field."""
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
