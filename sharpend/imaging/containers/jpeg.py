"""JPEG: read and write the first image, with its quantisation tables and subsampling.

Pillow reads a stream without metadata, its pixels are taken from `jpegpixels` where both are equal;
the segments that are carried are put around what is written, which no encoder's options can do.

Source: ITU-T T.81 (JPEG).
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from functools import cache, partial
from itertools import takewhile
from typing import TYPE_CHECKING

import imagecodecs
from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import (
    jpegdamage,
    jpegpixels,
    jpegquality,
    pillow,
    surplus,
    trailers,
)
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.jpeglayout import (
    AFTER_SCAN,
    ARITHMETIC,
    END,
    FRAMES,
    LINES,
    SCAN,
    Parts,
    parts,
)
from sharpend.imaging.containers.jpegmetadata import (
    XMP,
    blocks,
    edited,
    fitting,
    losses,
    spliced,
)
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, damaged, unsupported
from sharpend.imaging.source import Header, bit_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from PIL import Image

    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.source import Source

_MAX_SEGMENTS = 10_000
_MARKER = 0xFF
_JPEG_LS = 0xF7
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
_EXTENSIONS = frozenset({0xC8, 0xDE, 0xDF, *range(0xF0, 0xFE)})
"""JPG, DHP, EXP and JPG0 to JPG13 (table B.1); markers below SOF0 are reserved."""
_BITS = 8
_FRAME_BYTES = 8
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
"""Markers without a payload."""
_CMYK_QUALITY = 95
_BYTES_PER_PIXEL = 6
"""Room for libjpeg: noise needs more than Pillow's guess of 2 (4.2 measured at quality 100)."""
_SAMPLINGS: Mapping[tuple[tuple[int, int], ...], int] = {
    ((1, 1),) * 3: 0,
    ((2, 1), (1, 1), (1, 1)): 1,
    ((2, 2), (1, 1), (1, 1)): 2,
}
"""Pillow's numbers of 4:4:4, 4:2:2 and 4:2:0, by the components' factors."""
_NAMES = ("444", "422", "420")
"""Names of the same samplings in imagecodecs."""


def probe(reader: Reader) -> Header:
    """Read size, depth and coding process from the frame header.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, `bit_depth`; `format_not_allowed` for a process
            that no decoder here knows.
    """
    for marker, offset, length in segments(reader):
        if marker == _JPEG_LS:
            raise unsupported("it is a JPEG-LS (SOF55)")
        if marker in FRAMES:
            if length < _FRAME_BYTES:
                raise damaged("its JPEG frame header is too short", may_settle=False)
            bits, height, width = struct.unpack(">BHH", reader.at(offset, 5))
            _check_process(marker, bits)
            height = height or _height_behind(reader, offset - 4)
            return Header(Format.JPEG, height, width, bits)
        if marker in {END, SCAN}:
            break
    raise damaged("a JPEG without a frame header", may_settle=False)


def _height_behind(reader: Reader, frame: int) -> int:
    """Read the height that a DNL segment behind the first scan tells.

    Args:
        reader: of the file.
        frame: offset of the frame header, which has none.

    Raises:
        ImageRefusedError: `damaged` where nothing tells it.
    """
    scans = ((at, length) for marker, at, length in segments(reader, frame) if marker == SCAN)
    at, length = next(scans)
    behind = reader.up_to(at + length - 2, reader.size)
    found = AFTER_SCAN.search(behind)
    told = behind[found.end() - 1 :][:5] if found else b""
    if len(told) < 5 or told[0] != LINES or not any(told[3:]):  # noqa: PLR2004 - bytes of DNL
        raise damaged("neither its frame header nor a DNL segment tells the height of the JPEG")
    return int.from_bytes(told[3:])


def _check_process(marker: int, bits: int) -> None:
    """Refuse what no decoder here reads: the frame's marker names the process."""
    if marker not in _HUFFMAN | ARITHMETIC:
        kind = "lossless" if marker in {0xC3, 0xC7, 0xCB, 0xCF} else "hierarchical"
        raise unsupported(f"it is a {kind} JPEG (SOF{marker - min(FRAMES)})")
    if bits != _BITS:
        raise bit_depth(f"of {bits} bits")


def _read(source: Source) -> Picture:
    """Read the first image of a file.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, `too_many_scans`, and as `pillow.Reading`.
    """
    stop = trailers.video_or_samsung(source.data)
    found = parts(source.data, most_scans=source.max_scans, stop=stop).with_height()
    _check_markers(found)
    decoded = cache(partial(jpegpixels.decoded, found))  # when limits and policies let it through
    reading = pillow.Reading(
        partial(_carried, found),
        _options,
        count=pillow.one_frame,
        converted=_converted,
        ready=lambda: decoded().pixels,
    )
    colour = found.stream(lambda each: jpegpixels.defines_colours(each.marker, found.body(each)))
    picture = reading(replace(source, data=colour))
    checked = jpegdamage.check(found, decoded().warning)
    lost = surplus.named([surplus.Held(0, checked.surplus)])[1]
    return picture.with_notes((checked.notes, [*losses(found), *lost]))


def _check_markers(found: Parts) -> None:
    """Refuse extensions of the format, whose segments no decoder here skips.

    Raises:
        ImageRefusedError: `format_not_allowed`.
    """
    for segment in takewhile(lambda each: each.marker != SCAN, found.segments):
        if segment.marker < min(FRAMES) or segment.marker in _EXTENSIONS:
            raise unsupported(f"its JPEG is of an extended form (marker {segment.marker:#x})")


def _carried(found: Parts, _source: Source, image: Image.Image) -> CarriedAndNotes:
    """List the blocks of a whole file, and notes on those that are changed or left out."""
    carried, notes = blocks(found)
    if image.mode not in {"L", "CMYK"} and not _keeps_sampling(_checked(image)):
        notes.append("its chroma subsampling was replaced by full colour")
    return carried, notes


def segments(reader: Reader, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """Iterate over segments up to the first scan: marker, payload offset, length field."""
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
    image = _checked(image)
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


def _checked(image: Image.Image) -> JpegImageFile:
    """Return the image as what Pillow opens a JPEG as."""
    if not isinstance(image, JpegImageFile):
        raise TypeError(type(image))
    return image


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


def _converted(source: Source, image: Image.Image, metadata: CarriedAndNotes) -> Picture:
    """Convert a CMYK JPEG to sRGB."""
    source.check_cmyk()
    if "adobe" not in image.info:
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "its colours are CMYK without Adobe's marker, so whether 0 is no ink is unknown;"
            " open it in an image editor that shows it right, and save it as RGB",
        )
    carried, notes = metadata
    fallback = source.policies.cmyk_profile
    pixels, profile, note = color.to_srgb(image, icc.profile_of(carried), fallback)
    found = (*carried.without(Kind.ICC, Kind.COLOR).blocks, *icc.in_pieces(profile))
    frame = Frame(pixels, None, Carried(found), _options(source, image, 1))
    return Picture((frame,), Format.JPEG, (*notes, note))


def _write(picture: Picture) -> bytes:
    encoded = _by_quality(picture.frames[0]) or _by_tables(picture)
    return spliced(encoded, picture.carried.blocks)


def _by_quality(frame: Frame) -> bytes | None:
    """Encode as libjpeg does at some quality, byte for byte as Pillow; None for other tables."""
    options = frame.encoding
    quality = jpegquality.quality_of(options.get("qtables", ()))
    if quality is None or options["progressive"] or options.get("keep_rgb"):
        return None
    if frame.pixels.shape[2] == 1:
        return bytes(imagecodecs.jpeg8_encode(frame.pixels[..., 0], quality))
    sampling = _NAMES[options["subsampling"]]
    return bytes(imagecodecs.jpeg8_encode(frame.pixels, quality, subsampling=sampling))


def _by_tables(picture: Picture) -> bytes:
    height, width = picture.size
    before = ImageFile.MAXBLOCK
    # Progressive files are written in one piece.
    ImageFile.MAXBLOCK = max(before, _BYTES_PER_PIXEL * height * width)
    try:
        (encoded,) = pillow.stills(picture)
    finally:
        ImageFile.MAXBLOCK = before
    return encoded


CONTAINER = Container(probe, _read, _write, xmp_at=XMP, fitting=fitting, edited=edited)
