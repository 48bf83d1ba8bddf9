"""JPEG: metadata segments, quantisation tables and subsampling, and what lies behind the image.

Owns what of a file is carried. Segments are carried as they are, in their order, which no encoder's
options can do; pixels are Pillow's, which gets a stream without metadata.

Source: ITU-T T.81 (JPEG), T.871 (JFIF), EXIF 2.32 section 4.5.4, XMP specification part 3, CIPA
DC-007 (MPF), ISO 21496-1 annex C (gain maps), ISO/IEC 18477-3 (JPEG XT) and 19566-5 (JUMBF).
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import jpegdamage, pillow, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.jpegparts import (
    APP0,
    APP14,
    END,
    FRAMES,
    SCAN,
    Parts,
    Segment,
    is_told,
    parts,
)
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import CREDENTIALS, TRAILER, Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, damaged, unsupported
from sharpend.imaging.source import Header, bit_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.source import Source

_MAX_SEGMENTS = 10_000
_MARKER = 0xFF
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
_ARITHMETIC = frozenset({0xC9, 0xCA})
_BITS = 8
_FRAME_BYTES = 8
_APP11 = 0xEB
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers without a payload."""
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
_JUMBF_TYPE = slice(13, 17)
"""Type of the box in an APP11 segment, behind marker, "JP", instance, sequence and length."""
_GAIN_MAP_TOLD = (b"\xe2MPF\0", b"\xe2urn:iso:std:iso:ts:21496:-1\0")
"""Segments that announce further images in the file, of which MPF's has their offsets."""
_GAIN_MAP_NOTE = "what announces further images or a gain map (MPF, ISO 21496-1) was removed"
_IMAGES_LOST = (
    "the further images in its file (a gain map, a depth map, another view) are not in the output"
)
_EXTENSION_LOST = "its JPEG XT extension layers are not in the output"
_CMYK_QUALITY = 95
_BYTES_PER_PIXEL = 6
"""Room for libjpeg: noise needs more than Pillow's guess of 2 (4.2 measured at quality 100)."""
_SAMPLINGS = {((1, 1),) * 3: 0, ((2, 1), (1, 1), (1, 1)): 1, ((2, 2), (1, 1), (1, 1)): 2}
"""Pillow's numbers of 4:4:4, 4:2:2 and 4:2:0, by the components' factors."""


def probe(reader: Reader) -> Header:
    """Read size, depth and coding process from the frame header.

    Raises:
        ImageRefusedError: `truncated`, `damaged`; `format_not_allowed` for a process that no decoder
            here knows, `bit_depth`.
    """
    for marker, offset, length in segments(reader):
        if marker in FRAMES:
            if length < _FRAME_BYTES:
                raise damaged("its JPEG frame header is too short", may_settle=False)
            bits, height, width = struct.unpack(">BHH", reader.at(offset, 5))
            _check_process(marker, bits, height)
            return Header(Format.JPEG, height, width, bits)
        if marker in {END, SCAN}:
            break
    raise damaged("a JPEG without a frame header", may_settle=False)


def _check_process(marker: int, bits: int, height: int) -> None:
    """Refuse what no decoder here reads: the process is told by the frame's marker."""
    if marker not in _HUFFMAN | _ARITHMETIC:
        kind = "lossless" if marker in {0xC3, 0xC7, 0xCB, 0xCF} else "hierarchical"
        raise unsupported(f"it is a {kind} JPEG (SOF{marker - min(FRAMES)})")
    if bits != _BITS:
        raise bit_depth(f"of {bits} bits")
    if not height:
        raise unsupported("it is a JPEG whose height is told behind its first scan (DNL)")


def _read(source: Source) -> Picture:
    """Read the first image of a file.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, `too_many_scans`, and as `pillow.Reading`.
    """
    found = parts(
        source.data, most_scans=source.max_scans, stop=trailers.samsung(source.data)
    )
    reading = pillow.Reading(
        partial(_carried, found), _options, count=pillow.one_frame, converted=_converted
    )
    colour = found.stream(lambda each: each.marker in {APP0, APP14})
    picture = reading(replace(source, data=colour))
    return picture.told((jpegdamage.check(found), _losses(found)))


def _carried(found: Parts, source: Source, image: Image.Image) -> Told:
    """List the blocks of a whole file, and notes on those that are changed or left out."""
    carried, notes = blocks(found)
    if image.mode not in {"L", "CMYK"} and not _keeps_sampling(image):
        notes.append("its chroma subsampling was replaced by full colour")
    return carried, notes


def blocks(found: Parts) -> Told:
    """Extract the metadata segments and what is carried from behind the image; list notes."""
    notes = ["its end mark was missing"] * (not found.has_end_mark)
    if found.stray_bytes:
        notes.append(f"{found.stray_bytes} bytes between its segments belong to none")
    if found.frame.marker in _ARITHMETIC:
        notes.append("its arithmetic coding was replaced by Huffman's")
    made = []
    for segment in found.segments:
        told = found.data[segment.start + 1 : segment.start + 2] + found.body(segment)
        note = _left_out(told)
        notes += [note] if note else []
        if is_told(segment.marker) and note is None:
            made.append(_block(told))
    kept = trailers.kept_from(found.data, found.end)
    if kept < len(found.data):
        made.append(Block(Kind.OTHER, found.data[kept:], TRAILER))
    carried, behind = Carried(tuple(made)), found.data[found.end : kept]
    if behind and not behind.strip(b"\0"):
        notes.append(f"{len(behind)} zeros behind its end were not kept")
    if kept == len(found.data) or behind.strip(b"\0"):
        carried, removed = pillow.unannounced(carried)
        notes += removed
    return carried, list(dict.fromkeys(notes))


def _left_out(told: bytes) -> str | None:
    """Note on a segment that is not carried, "" where a loss tells of it; None for all others.

    Args:
        told: the marker's second byte and the payload.
    """
    if told.startswith(_GAIN_MAP_TOLD):
        return _GAIN_MAP_NOTE
    if told.startswith(b"\xebJP"):
        return CREDENTIALS if told[_JUMBF_TYPE] == b"jumb" else ""
    return None


def _losses(found: Parts) -> list[str]:
    """List the content that the output will not hold."""
    losses = []
    behind = found.data[found.end : trailers.kept_from(found.data, found.end)].strip(b"\0")
    if b"\xff\xd8\xff" in behind:
        losses.append(_IMAGES_LOST)
    elif behind:
        losses.append(f"{len(behind)} bytes of unknown data behind its image are not in the output")
    extensions = (found.body(each) for each in found.segments if each.marker == _APP11)
    if any(_left_out(bytes((_APP11,)) + body) == "" for body in extensions):
        losses.append(_EXTENSION_LOST)
    return losses


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
    own = {APP0, APP14 if any(block.where == ADOBE for block in carried) else APP0}
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
        if block.where != TRAILER
    )
    behind = b"".join(block.data for block in carried if block.where == TRAILER)
    return encoded[:2] + made + encoded[start:] + behind


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
        options["subsampling"] = _sampling(image) if _keeps_sampling(image) else 0
        options["keep_rgb"] = _is_rgb(image)
    return options


def _keeps_sampling(image: JpegImageFile) -> bool:
    """Return whether Pillow can write a JPEG's sampling again: not 4:4:0, 4:1:1, subsampled RGB."""
    return _sampling(image) in ({0} if _is_rgb(image) else {0, 1, 2})


def _sampling(image: JpegImageFile) -> int | None:
    """Pillow's number of a JPEG's sampling, whatever common factor its components have."""
    across = [component[1] for component in image.layer]
    down = [component[2] for component in image.layer]
    factors = zip(
        [factor // math.gcd(*across) for factor in across],
        [factor // math.gcd(*down) for factor in down],
        strict=True,
    )
    return _SAMPLINGS.get(tuple(factors))


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


CONTAINER = Container(probe, _read, _write, xmp_at=XMP, fitting=_fitting)
