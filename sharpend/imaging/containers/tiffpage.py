"""TIFF pages: checks before decoding.

Owns the limits. tifffile decodes what a page declares, so a tile or an inner JPEG that is larger
than its image would cost any amount of memory, and a missing strip would be read as black.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import TYPE_CHECKING

import tifffile

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers import jpeg, jpegdamage, jpegpixels, surplus
from sharpend.imaging.containers.jpeglayout import END_MARK, is_metadata, parts
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.source import bit_depth, color_mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sharpend.imaging.containers.jpeglayout import Parts
    from sharpend.imaging.metadata.ifd import Ifd
    from sharpend.imaging.source import Source

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
"""Photometric interpretations."""
UNKNOWN, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""Extra samples."""
UNCOMPRESSED, _OLD_JPEG, JPEG = 1, 6, 7
_COMPRESSIONS = frozenset({UNCOMPRESSED, 2, 3, 4, 5, JPEG, 8, 32773, 32946, 34925, 50000})
"""None, the three of fax, LZW, JPEG, deflate, PackBits, old deflate, LZMA, Zstandard: decoders that
stop where a strip is full. Fax holds black and white only."""
_PREDICTORS = frozenset({1, 2, 3})
_PREDICTED = frozenset({5, 8, 32946, 34925, 50000})
"""Compressions that have a predictor; with others libtiff ignores the tag, tifffile does not."""
_PREDICTOR = 317
_NOT_PREDICTED = "its predictor (317), which its compression does not use, was not kept"
_FAX = frozenset({2, 3, 4})
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_UNSIGNED, _SIGNED, _FLOATING, _UNDEFINED = 1, 2, 3, 4
"""Sample formats. TIFF 6.0 (section 19) lets readers take undefined numbers for unsigned ones."""
_NUMBERS = {
    _SIGNED: "signed numbers", _FLOATING: "floating point numbers",
    5: "complex whole numbers", 6: "complex floating point numbers",
}  # fmt: skip
_FLOATS = frozenset({16, 32, 64})
"""Bits of floating point numbers that are sharpened, and written as they were."""
_BYTE_BITS, _DEEP_BITS = 8, 16
_NO_TABLES = b"\xff\xd8" + END_MARK
_PLANES = frozenset({1, 2})
"""Samples side by side, or each in a plane of its own."""
_LARGEST_BLOCK_PX = 32
"""By how much an inner JPEG may exceed its strip or tile: whole blocks of subsampled colour."""


def opened(file: tifffile.TiffFile, tags: Ifd) -> tifffile.TiffPage:
    """Parse the directory of a page with tifffile, and correct wrong sizes of its strips.

    Raises:
        ImageRefusedError: `bit_depth`, where its samples are of different kinds.
    """
    for tag in (_BITS, _SAMPLE_FORMAT):
        if len(set(tags.values(tag))) > 1:
            raise bit_depth("of different depths or kinds of numbers")
    file.filehandle.seek(tags.at)
    page = tifffile.TiffPage(file, 0)
    if _PHOTOMETRIC not in tags.entries:
        page.photometric = tifffile.PHOTOMETRIC(_untold_colors(page))
    if page.compression not in _PREDICTED:
        page.predictor = 1
    if page.is_tiled and not page.tilelength * page.tilewidth:
        raise damaged("its tiles have no size (TileWidth, TileLength)")
    if not page.rowsperstrip:  # libtiff takes 0 as no tag
        page.rowsperstrip = page.imagelength
    if page.compression == UNCOMPRESSED and isinstance(page.bitspersample, int):
        page.databytecounts = _corrected(page)
    return page


def data_of(pages: Iterable[tuple[tifffile.TiffPage, Ifd]]) -> list[tuple[int, int]]:
    """List start and end of the strips or tiles of pages, as far as their rows reach."""
    return [
        (offset, offset + count)
        for page, _ in pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]


def _untold_colors(page: tifffile.TiffPage) -> int:
    """Photometric interpretation of a page without the tag, as libtiff takes it."""
    if page.samplesperpixel >= 3:  # noqa: PLR2004
        return RGB
    return WHITE_IS_ZERO if page.compression in _FAX else BLACK_IS_ZERO


def is_bilevel(page: tifffile.TiffPage) -> bool:
    """Return whether a page is pure black and white."""
    return page.bitspersample == 1 and page.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}


def is_floating(page: tifffile.TiffPage) -> bool:
    """Return whether the samples of a page are floating point numbers."""
    return bool(page.sampleformat == _FLOATING)


def extra_types(page: tifffile.TiffPage) -> tuple[int, ...]:
    """Types of the samples behind the colours; those that the file does not tell are unknown."""
    count = page.samplesperpixel - _colors(page)
    declared = tuple(map(int, page.extrasamples))[: max(0, count)]
    return declared + (UNKNOWN,) * (count - len(declared))


def _colors(page: tifffile.TiffPage) -> int:
    return {RGB: 3, YCBCR: 3, SEPARATED: 4}.get(page.photometric, 1)


def check(page: tifffile.TiffPage, source: Source) -> tuple[list[str], list[str]]:
    """Refuse a page that could not be written again as it was, or whose tags contradict each other.

    Returns:
        Notes and losses of its compressed data and its predictor.

    Raises:
        ImageRefusedError: `color_mode`, `bit_depth`, `format_not_allowed`, `too_many_pixels`,
            `truncated` or `damaged`.
    """
    _check_colors(page)
    _check_samples(page)
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise _unread(f"compression {name}")
    if page.predictor not in _PREDICTORS:
        raise _unread(f"predictor {int(page.predictor)}")
    if page.predictor > 1 and page.bitspersample % _BYTE_BITS:
        raise _unread(f"predictor for {page.bitspersample} bits")
    if page.photometric == PALETTE and page.colormap is None:
        raise damaged("its palette (ColorMap) is missing")
    if page.imagedepth > 1:
        raise _unread("volume of several layers")
    if page.samplesperpixel < _colors(page):
        raise damaged("its colours have too few samples")
    if page.planarconfig not in _PLANES:
        raise damaged("its TIFF does not declare its sample layout")
    if page.is_tiled:
        source.check_pixels(page.tilelength, page.tilewidth)
    _check_whole(page, len(source.data))
    notes = [_NOT_PREDICTED] * (page.predictor == 1 and _has_predictor(page))
    found, losses = _check_inner_jpegs(page, source) if page.compression == JPEG else ([], [])
    return notes + found, losses


def _has_predictor(page: tifffile.TiffPage) -> bool:
    """Return whether the file declares one."""
    tag = page.tags.get(_PREDICTOR)
    return tag is not None and tag.value != 1


def _unread(what: str) -> ImageRefusedError:
    text = f"its TIFF {what} is not read; save it uncompressed, or with LZW or deflate"
    return ImageRefusedError(Reason.FORMAT_NOT_ALLOWED, text)


def _check_colors(page: tifffile.TiffPage) -> None:
    kinds = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED}
    is_jpegs_own = page.photometric == YCBCR and page.compression in {_OLD_JPEG, JPEG}
    if page.photometric not in kinds and not is_jpegs_own:
        raise color_mode(getattr(page.photometric, "name", str(page.photometric)))


def _check_samples(page: tifffile.TiffPage) -> None:
    if is_floating(page):
        if page.bitspersample not in _FLOATS or page.photometric not in {BLACK_IS_ZERO, RGB}:
            raise bit_depth(f"{page.bitspersample}-bit floating point numbers")
        return
    if page.sampleformat not in {_UNSIGNED, _UNDEFINED}:
        name = _NUMBERS.get(page.sampleformat, f"of the sample format {page.sampleformat}")
        raise bit_depth(f"{page.bitspersample}-bit {name}")
    if page.bitspersample > _DEEP_BITS:
        raise bit_depth(f"of {page.bitspersample} bits")
    if page.bitspersample > _BYTE_BITS and page.photometric in {PALETTE, SEPARATED}:
        raise bit_depth(f"of {page.bitspersample} bits in a palette or in CMYK")


def _check_whole(page: tifffile.TiffPage, size: int) -> None:
    if len(page.dataoffsets) != len(page.databytecounts):
        raise damaged("its strips and their sizes differ in number")
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(places) < math.prod(page.chunked) or not all(count for _, count in places):
        raise damaged("parts of its image are missing")
    if any(offset + count > size for offset, count in places):
        raise truncated()


def _corrected(page: tifffile.TiffPage) -> tuple[int, ...]:
    """Sizes of uncompressed strips or tiles: at most what their rows take.

    A single strip has exactly that, whatever the file tells: some writers count wrongly.
    """
    width, rows = page.imagewidth, page.rowsperstrip or page.imagelength
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    samples = 1 if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else page.samplesperpixel
    row_bytes = -(-width * samples * page.bitspersample // _BYTE_BITS)
    if len(page.databytecounts) == 1 and len(page.dataoffsets) == 1 and not page.is_tiled:
        return (page.imagelength * row_bytes,)
    return tuple(min(count, rows * row_bytes) for count in page.databytecounts)


def _check_inner_jpegs(page: tifffile.TiffPage, source: Source) -> tuple[list[str], list[str]]:
    """Refuse JPEGs that are larger than their strip or tile, or damaged; return notes and losses.

    A JPEG of 8 bits is decoded once more for it: tifffile's decoder is silent about damage.
    """
    high, wide = page.imagelength, page.imagewidth
    if page.is_tiled:
        high, wide = page.tilelength, page.tilewidth
    # What the tables begin, each JPEG goes on with.
    tables = (page.jpegtables or _NO_TABLES)[: -len(END_MARK)]
    notes: list[str] = []
    behind = metadata = 0
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        data = source.data[offset : offset + count]
        inner = jpeg.probe(Reader(BytesIO(data)))
        if inner.height > high + _LARGEST_BLOCK_PX or inner.width > wide + _LARGEST_BLOCK_PX:
            raise damaged("an embedded JPEG is larger than its tile")
        if inner.bits == _BYTE_BITS:
            whole = tables + data[len(_NO_TABLES[:2]) :]
            found = parts(whole, most_scans=source.max_scans)
            checked = jpegdamage.check(found, jpegpixels.decoded(found).warning)
            notes += checked.notes
            behind += checked.surplus + surplus.count(whole[found.end :])
            metadata += _metadata_bytes(found)
    losses = surplus.named([surplus.Held(0, behind)])[1]
    if metadata:
        losses.append(
            f"{metadata} bytes of metadata in its compressed pixels are not in the output"
        )
    return notes, losses


def _metadata_bytes(found: Parts) -> int:
    """Count the content of segments of a JPEG that are metadata and say nothing of its colours."""
    return sum(
        len(found.body(each))
        for each in found.segments
        if is_metadata(each.marker)
        and not jpegpixels.defines_colours(each.marker, found.body(each))
    )
