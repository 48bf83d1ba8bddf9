"""TIFF pages: checks before decoding, and encoding options that match the source.

Owns the limits. tifffile decodes what a page declares, so a tile or an inner JPEG that is larger
than its image would cost any amount of memory, and a missing strip would be read as black.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import math
import struct
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers import jpeg
from sharpend.imaging.formats import TABLE, Format
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.source import bit_depth, color_mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.imaging.source import Source

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
"""Photometric interpretations."""
UNKNOWN, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""Extra samples."""
_TABLES, _END, _SCAN = 0xDB, 0xD9, 0xDA
"""JPEG's markers."""
_UNCOMPRESSED, _JPEG, _DEFLATE = 1, 7, 8
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 34925, 50000})
"""None, the three of fax, LZW, JPEG, deflate, PackBits, old deflate, LZMA, Zstandard: decoders that
stop where a strip is full. Fax holds black and white only."""
_UNSIGNED, _FLOATING = 1, 3
_BYTE_BITS, _DEEP_BITS = 8, 16
_PLANES = frozenset({1, 2})
"""Samples side by side, or each in a plane of its own."""
_SUBSAMPLED = (2, 2)
"""Default of a page without the tag."""
_LARGEST_BLOCK_PX = 32
"""By how much an inner JPEG may exceed its strip or tile: whole blocks of subsampled colour."""


def is_bilevel(page: tifffile.TiffPage) -> bool:
    """Return whether a page is pure black and white."""
    return page.bitspersample == 1 and page.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}


def check(page: tifffile.TiffPage, source: Source) -> None:
    """Refuse a page that could not be written again as it was, or whose tags contradict each other.

    Raises:
        ImageRefusedError: `color_mode`, `bit_depth`, `format_not_allowed`, `too_many_pixels`,
            `truncated` or `damaged`.
    """
    _check_colors(page)
    _check_samples(page)
    _check_channels(page)
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, f"its TIFF compression {name} is not read"
        )
    if page.planarconfig not in _PLANES:
        raise damaged("its TIFF does not declare its sample layout")
    if page.is_tiled:
        source.check_pixels(page.tilelength, page.tilewidth)
    _check_whole(page, len(source.data))
    if page.compression == _JPEG:
        _check_inner_jpegs(page, source.data)


def _check_colors(page: tifffile.TiffPage) -> None:
    kinds = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED}
    is_jpegs_own = page.photometric == YCBCR and page.compression == _JPEG
    if page.photometric not in kinds and not is_jpegs_own:
        raise color_mode(getattr(page.photometric, "name", str(page.photometric)))


def _check_samples(page: tifffile.TiffPage) -> None:
    if page.sampleformat != _UNSIGNED:
        floating = page.sampleformat == _FLOATING
        name = "floating point numbers" if floating else "signed numbers"
        raise bit_depth(f"{page.bitspersample}-bit {name}")
    if page.bitspersample not in TABLE[Format.TIFF].bits:
        raise bit_depth(f"of {page.bitspersample} bits")
    if page.bitspersample == _DEEP_BITS and page.photometric in {PALETTE, SEPARATED}:
        raise bit_depth("of 16 bits in a palette or in CMYK")


def _check_channels(page: tifffile.TiffPage) -> None:
    colors = {RGB: 3, YCBCR: 3, SEPARATED: 4}.get(page.photometric, 1)
    most_extra = page.photometric not in {PALETTE, SEPARATED}
    if (
        UNKNOWN in page.extrasamples
        or len(page.extrasamples) > most_extra
        or page.samplesperpixel != colors + len(page.extrasamples)
        or page.imagedepth > 1
    ):
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "its TIFF has extra channels of unknown meaning, which would be lost",
        )


def _check_whole(page: tifffile.TiffPage, size: int) -> None:
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(places) < math.prod(page.chunked) or not all(count for _, count in places):
        raise damaged("parts of its image are missing")
    if any(offset + count > size for offset, count in places):
        raise truncated()


def _check_inner_jpegs(page: tifffile.TiffPage, data: bytes) -> None:
    high, wide = page.imagelength, page.imagewidth
    if page.is_tiled:
        high, wide = page.tilelength, page.tilewidth
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        inner = jpeg.probe(Reader(BytesIO(data[offset : offset + count])))
        if inner.height > high + _LARGEST_BLOCK_PX or inner.width > wide + _LARGEST_BLOCK_PX:
            raise damaged("an embedded JPEG is larger than its tile")


def encoding_of(page: tifffile.TiffPage, notes: list[str]) -> dict[str, Any]:
    """Choose the tifffile options that encode a page as the source is encoded."""
    encoding: dict[str, Any] = {
        "photometric": page.photometric,
        "extrasamples": page.extrasamples or None,
        "planarconfig": page.planarconfig,
        "rowsperstrip": page.rowsperstrip or None,
        "tile": (page.tilelength, page.tilewidth) if page.is_tiled else None,
        **_compression(page, notes),
    }
    if page.photometric in {PALETTE, SEPARATED, YCBCR}:
        encoding["photometric"] = RGB
    if encoding["tile"]:
        del encoding["rowsperstrip"]
    return encoding


def _compression(page: tifffile.TiffPage, notes: list[str]) -> dict[str, Any]:
    if page.compression == _JPEG and page.bitspersample == _BYTE_BITS and not page.extrasamples:
        return {"compression": _JPEG, **_jpeg_options(page)}
    if page.compression == _JPEG:  # with alpha, or of 12 bits
        notes.append("its TIFF compression JPEG was replaced by lossless deflate")
        return {"compression": _DEFLATE}
    plain = page.compression == _UNCOMPRESSED
    predictor = page.predictor == tifffile.PREDICTOR.HORIZONTAL and not plain
    return {"compression": page.compression, "predictor": predictor}


def _jpeg_options(page: tifffile.TiffPage) -> dict[str, Any]:
    """Choose tifffile's options for JPEG compression; a page of RGB components stays RGB."""
    first = page.dataoffsets[0], page.databytecounts[0]
    data = page.jpegtables or page.parent.filehandle.read_array(np.uint8, first[1], first[0])
    args: dict[str, Any] = {"level": _quality_of(_quantisation(bytes(data)))}
    if page.photometric == RGB:
        return {"compressionargs": {**args, "colorspace": "RGB", "outcolorspace": "RGB"}}
    return {"compressionargs": args, "subsampling": page.subsampling or _SUBSAMPLED}


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


@cache
def _first_tables() -> tuple[tuple[int, ...], ...]:
    """First quantisation tables of libjpeg's qualities 1 to 100."""
    tables = []
    for quality in range(1, 101):
        buffer = BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as image:
            assert isinstance(image, JpegImageFile)  # noqa: S101 - tells the type checker
            tables.append(tuple(image.quantization[0]))
    return tuple(tables)


def _quality_of(table: Sequence[int]) -> int:
    """Find the libjpeg quality whose first quantisation table is nearest."""
    total = sum(table)
    distances = [abs(sum(each) - total) for each in _first_tables()]
    return 1 + distances.index(min(distances))
