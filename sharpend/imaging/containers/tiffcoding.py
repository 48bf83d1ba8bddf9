"""TIFF coding: tifffile's options that encode a page as the source is encoded.

Owns compression, predictor, strips or tiles, planes and the quality of an inner JPEG. What the
writer cannot do is replaced without loss of pixels, and noted.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging.containers import jpeg, jpegquality
from sharpend.imaging.containers.tiffpage import (
    ASSOCIATED,
    JPEG,
    PALETTE,
    RGB,
    SEPARATED,
    UNASSOCIATED,
    UNKNOWN,
    YCBCR,
    extra_types,
    is_floating,
)
from sharpend.imaging.reading import Reader, damaged
from sharpend.policies import Compression

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile

_TABLES, _END, _SCAN = 0xDB, 0xD9, 0xDA
"""JPEG's markers."""
_UNCOMPRESSED, _DEFLATE = 1, 8
_DEFLATES = frozenset({_DEFLATE, 32946})
"""Adobe's number, and the older one."""
_HORIZONTAL, _FLOATING = 2, 3
"""Predictors: differences of numbers, of the bytes of floating point numbers."""
_BYTE_BITS = 8
_SEPARATE = 2
"""Planes: each sample in one of its own, which for JPEG is a gray image."""
_TILE_PX = 16
"""Sides of tiles are multiples of this (TIFF 6.0, section 15)."""
_SUBSAMPLED = (2, 2)
"""Default of a page without the tag."""
_FULL_COLOUR = (1, 1)
_SUBSAMPLINGS = frozenset({_FULL_COLOUR, (2, 1), (2, 2), (4, 1)})
"""Those that tifffile writes."""


def encoding_of(
    page: tifffile.TiffPage, notes: list[str], compression: Compression
) -> dict[str, Any]:
    """Choose the tifffile options that encode a page as the source is encoded."""
    known = {UNKNOWN, ASSOCIATED, UNASSOCIATED}
    types = tuple(each if each in known else UNKNOWN for each in extra_types(page))
    is_written_as_rgb = page.photometric in {PALETTE, SEPARATED, YCBCR}
    return {
        "photometric": RGB if is_written_as_rgb else page.photometric,
        "extrasamples": types or None,
        "planarconfig": page.planarconfig,
        **_division(page, notes),
        **_effort(_compression(page, notes), compression),
    }


def _effort(options: dict[str, Any], compression: Compression) -> dict[str, Any]:
    """Add the level of deflate; tifffile's own gives small files."""
    if options["compression"] in _DEFLATES and compression is Compression.FAST:
        return {**options, "compressionargs": {"level": 1}}
    return options


def _division(page: tifffile.TiffPage, notes: list[str]) -> dict[str, Any]:
    """Choose the options for strips or tiles; the writer's tiles are multiples of 16."""
    if not page.is_tiled:
        return {"rowsperstrip": page.rowsperstrip or None}
    tile = page.tilelength, page.tilewidth
    able = tuple(side + -side % _TILE_PX for side in tile)
    if able != tile:
        notes.append(f"its tiles of {tile[1]} x {tile[0]} pixels became {able[1]} x {able[0]}")
    return {"tile": able}


def _compression(page: tifffile.TiffPage, notes: list[str]) -> dict[str, Any]:
    if page.compression == JPEG and page.bitspersample == _BYTE_BITS and not extra_types(page):
        return {"compression": JPEG, **_jpeg_options(page, notes)}
    if page.compression == JPEG:  # with alpha, or of 12 bits
        notes.append("its TIFF compression JPEG was replaced by lossless deflate")
        return {"compression": _DEFLATE}
    if page.compression == _UNCOMPRESSED or page.predictor == 1:
        return {"compression": page.compression}
    predictor = _FLOATING if is_floating(page) else _HORIZONTAL
    if predictor != page.predictor:
        notes.append("its predictor was replaced by the one for its kind of numbers")
    return {"compression": page.compression, "predictor": predictor}


def _jpeg_options(page: tifffile.TiffPage, notes: list[str]) -> dict[str, Any]:
    """Choose tifffile's options for JPEG compression; a page of RGB components stays RGB."""
    first = page.dataoffsets[0], page.databytecounts[0]
    data = page.jpegtables or page.parent.filehandle.read_array(np.uint8, first[1], first[0])
    args: dict[str, Any] = {"level": _quality_of(_quantisation(bytes(data)))}
    if page.photometric == RGB and page.planarconfig == _SEPARATE:
        return {"compressionargs": args}
    if page.photometric == RGB:
        return {"compressionargs": {**args, "colorspace": "RGB", "outcolorspace": "RGB"}}
    subsampling = page.subsampling or _SUBSAMPLED
    if subsampling not in _SUBSAMPLINGS:
        notes.append("its chroma subsampling was replaced by full colour")
        subsampling = _FULL_COLOUR
    return {"compressionargs": args, "subsampling": subsampling}


def _quantisation(data: bytes) -> tuple[int, ...]:
    """Read the first quantisation table, in the file's order; refuse if there is none."""
    for marker, offset, _ in jpeg.segments(Reader(BytesIO(data))):
        if marker == _TABLES:
            wide = data[offset] >> 4
            numbers = data[offset + 1 : offset + 1 + 64 * (1 + wide)]
            return struct.unpack(">64H", numbers) if wide else tuple(numbers)
        if marker in {_END, _SCAN}:
            break
    raise damaged("a JPEG without quantisation tables")


def _quality_of(table: Sequence[int]) -> int:
    """Find the libjpeg quality whose first quantisation table is nearest."""
    total = sum(table)
    distances = [abs(sum(each) - total) for each in jpegquality.luminance_tables()]
    return 1 + distances.index(min(distances))
