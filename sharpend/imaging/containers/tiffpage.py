"""What a TIFF page may be: everything that is refused before its pixels are decoded.

Owns the limits. tifffile decodes what a page declares, so a tile or an inner JPEG that is larger
than its picture would cost any amount of memory, and a missing strip would be read as black.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers import jpeg
from sharpend.imaging.formats import TABLE, Format
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.source import bit_depth, color_mode

if TYPE_CHECKING:
    import tifffile

    from sharpend.imaging.source import Source

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
"""Photometric interpretations."""
UNKNOWN, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""Extra samples."""
JPEG = 7
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, JPEG, 8, 32773, 32946, 34925, 50000})
"""None, the three of fax, LZW, JPEG, deflate, PackBits, old deflate, LZMA, Zstandard: decoders that
stop where a strip is full. Fax holds black and white only."""
_UNSIGNED, _FLOATING = 1, 3
_DEEP_BITS = 16
_PLANES = frozenset({1, 2})
"""Samples side by side, or each in a plane of its own."""
_LARGEST_BLOCK_PX = 32
"""By how much an inner JPEG may exceed its strip or tile: whole blocks of subsampled colour."""


def is_bilevel(page: tifffile.TiffPage) -> bool:
    """Whether a page is pure black and white."""
    return page.bitspersample == 1 and page.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}


def check(page: tifffile.TiffPage, source: Source) -> None:
    """Refuse a page that could not be written again as it was, or that lies about itself.

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
        raise damaged("its TIFF does not say how its samples lie")
    if page.is_tiled:
        source.check_pixels(page.tilelength, page.tilewidth)
    _check_whole(page, len(source.data))
    if page.compression == JPEG:
        _check_inner_jpegs(page, source.data)


def _check_colors(page: tifffile.TiffPage) -> None:
    kinds = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED}
    is_jpegs_own = page.photometric == YCBCR and page.compression == JPEG
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
        raise damaged("parts of its picture are missing")
    if any(offset + count > size for offset, count in places):
        raise truncated()


def _check_inner_jpegs(page: tifffile.TiffPage, data: bytes) -> None:
    high, wide = page.imagelength, page.imagewidth
    if page.is_tiled:
        high, wide = page.tilelength, page.tilewidth
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        inner = jpeg.probe(Reader(BytesIO(data[offset : offset + count])))
        if inner.height > high + _LARGEST_BLOCK_PX or inner.width > wide + _LARGEST_BLOCK_PX:
            raise damaged("a JPEG within it is larger than its place")
