"""TIFF: read and write all pages at 8 and 16 bits through tifffile.

Owns what a page may hold and how it is written again: same compression, predictor, strips or tiles
and planes. Tags are carried by `tifftags`. Nothing is turned, inverted for good, or premultiplied.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color, transparency
from sharpend.imaging.containers import tiffpage
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.tifftags import graft, read_layout, read_pages
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.ifd import Ifd, IfdEntry
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, damaged
from sharpend.imaging.source import Header, color_mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.source import Source

_SUBFILE, _WIDTH, _HEIGHT, _BITS = 254, 256, 257, 258
_REDUCED = 1
"""NewSubfileType: a smaller copy of another page."""
_TABLES = frozenset({273, 279, 324, 325, 347})
"""Tags with offsets of strips, tiles and JPEG tables: truncated files often end within these."""
_RAW = frozenset({33421, 50706})
"""CFARepeatPatternDim and DNGVersion: sensor data."""
_ICC = 34675
_BLOCKS: Mapping[int, Kind] = {
    _ICC: Kind.ICC,
    700: Kind.XMP,
    33723: Kind.IPTC,
    34377: Kind.PHOTOSHOP,
}
_XMP_AT = (700).to_bytes(2) + b"\1"
"""Place of a page's XMP packet: tag and type, as a block remembers them."""
_LAYERS = (37724, 50784)
"""Photoshop's ImageSourceData, and Alias's layers."""
_OURS: Mapping[str, Any] = {"metadata": None, "software": False, "contiguous": False}
"""Nothing that tifffile would write by itself."""
_BYTE_BITS = 8

logging.getLogger("tifffile").disabled = True  # what it complains of is refused or harmless


def _probe(reader: Reader) -> Header:
    """Read size and depth of the first page."""
    page = read_layout(reader, {_SUBFILE, _WIDTH, _HEIGHT, _BITS, *_RAW, *_TABLES})
    if _RAW & page.entries.keys() or page.values(_SUBFILE, (0,))[0] & _REDUCED:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, "a camera raw file, whose TIFF image is only a preview"
        )
    height, width = page.values(_HEIGHT), page.values(_WIDTH)
    if not height or not width:
        raise damaged("its TIFF declares no size")
    return Header(Format.TIFF, height[0], width[0], max(page.values(_BITS, (1,))))


def _read(source: Source) -> Picture:
    """Read all wanted pages."""
    directories = read_pages(Reader(BytesIO(source.data), most=len(source.data)))
    with tifffile.TiffFile(BytesIO(source.data)) as file:
        pages = [
            (page, tags)
            for page, tags in zip(_pages(file), directories, strict=True)
            if not page.subfiletype & _REDUCED
        ]
        notes = ["its smaller copies were not kept"] * (
            len(pages) < len(directories) or any(page.subifds for page, _ in pages)
        )
        if any(tag in page.tags for page, _ in pages for tag in _LAYERS):
            notes.append("its layers were not kept")
        pages = pages[: source.wanted(len(pages), Reason.PAGES)]
        if any(tiffpage.is_bilevel(page) for page, _ in pages):
            if not all(tiffpage.is_bilevel(page) for page, _ in pages):
                raise color_mode("pure black and white on some pages")
            return source.bilevel()
        source.check_pixels(1, sum(page.imagelength * page.imagewidth for page, _ in pages))
        frames = [_frame(source, page, tags, notes) for page, tags in pages]
        container = {"byteorder": file.byteorder, "bigtiff": file.is_bigtiff}
    frames[0] = replace(frames[0], encoding={**frames[0].encoding, "container": container})
    return Picture(tuple(frames), Format.TIFF, tuple(dict.fromkeys(notes)))


def _pages(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    return [page for page in file.pages if isinstance(page, tifffile.TiffPage)]


def _frame(source: Source, page: tifffile.TiffPage, tags: Ifd, notes: list[str]) -> Frame:
    tiffpage.check(page, source)
    carried = _carried(tags)
    color.check_not_hdr(None, icc.profile_of(carried))
    encoding = tiffpage.encoding_of(page, notes)
    values = np.asarray(page.asarray(maxworkers=1))
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim > 2:  # noqa: PLR2004
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, -1)
    if page.photometric == tiffpage.SEPARATED:
        source.check_cmyk()
        fallback = source.policies.cmyk_profile
        return _converted(values, carried, encoding, notes, fallback)
    if page.photometric == tiffpage.PALETTE:
        notes.append("its palette was written as RGB")
        values = _apply_palette(values, page)
    elif page.bitspersample < _BYTE_BITS:
        notes.append(f"its gray of {page.bitspersample} bits was written with 8")
        values = values * np.uint8(255 // (2**page.bitspersample - 1))
    if page.photometric == tiffpage.WHITE_IS_ZERO:
        values = _inverted(values, bool(page.extrasamples))
    if not page.extrasamples:
        return Frame(np.ascontiguousarray(values), None, carried, encoding)
    pixels, alpha = np.ascontiguousarray(values[..., :-1]), np.ascontiguousarray(values[..., -1])
    premultiplied = _is_premultiplied(page, pixels, alpha, notes)
    return Frame(pixels, alpha, carried, encoding, premultiplied=premultiplied)


def _is_premultiplied(
    page: tifffile.TiffPage, pixels: NDArray[Sample], alpha: NDArray[Sample], notes: list[str]
) -> bool:
    """Return whether colours are multiplied by alpha, as declared; some programs declare it only.

    White-is-zero gray counts as straight: its ink is multiplied, not its light.
    """
    if tiffpage.ASSOCIATED not in page.extrasamples or page.photometric == tiffpage.WHITE_IS_ZERO:
        return False
    if not transparency.keeps_bound(pixels, alpha):
        notes.append("its alpha is declared associated, but colours exceed it: read as straight")
        return False
    return True


def _carried(tags: Ifd) -> Carried:
    """Metadata of a page; a block remembers its tag and type in `where`."""
    blocks = tuple(
        Block(kind, tags.entries[tag].data, _where(tag, tags.entries[tag]))
        for tag, kind in _BLOCKS.items()
        if tag in tags.entries
    )
    others = {tag: entry for tag, entry in tags.entries.items() if tag not in _BLOCKS}
    return Carried(blocks, Ifd(others, tags.children))


def _where(tag: int, entry: IfdEntry) -> bytes:
    return tag.to_bytes(2) + bytes((entry.kind,))


def _converted(
    values: NDArray[Any],
    carried: Carried,
    encoding: dict[str, Any],
    notes: list[str],
    fallback: str,
) -> Frame:
    cmyk = Image.fromarray(np.ascontiguousarray(values), "CMYK")
    pixels, profile, note = color.to_srgb(cmyk, icc.profile_of(carried), fallback)
    notes.append(note)
    where = _where(_ICC, IfdEntry(7, b""))
    blocks = (*carried.without(Kind.ICC).blocks, Block(Kind.ICC, profile, where))
    return Frame(pixels, None, Carried(blocks, carried.tags), encoding)


def _apply_palette(indices: NDArray[Any], page: tifffile.TiffPage) -> NDArray[np.uint8]:
    """Convert palette indices to colours; some writers store 8-bit colour tables."""
    table = np.asarray(page.colormap)
    if table.max() > 255:  # noqa: PLR2004 - 8 bits
        table = table >> 8
    return np.ascontiguousarray(
        table.astype(np.uint8)[:, indices[..., 0].astype(np.intp)].transpose(1, 2, 0)
    )


def _inverted(values: NDArray[Sample], has_alpha: bool) -> NDArray[Sample]:  # noqa: FBT001
    """Convert white-is-zero to black-is-zero and back."""
    gray = ~values[..., :1]
    return np.dstack([gray, values[..., 1:]]) if has_alpha else gray


def _write(picture: Picture) -> bytes:
    """Write the file: each page with its tags, in the source's byte order and layout."""
    buffer = BytesIO()
    container = picture.frames[0].encoding.get("container", {"byteorder": "<"})
    with tifffile.TiffWriter(buffer, **container) as writer:
        for frame in picture.frames:
            writer.write(_values(frame), **_OURS, **_options(frame))
    written = bytearray(buffer.getbuffer())
    graft(written, [_tags(frame.carried) for frame in picture.frames])
    return bytes(written)


def _options(frame: Frame) -> dict[str, Any]:
    defaults = {
        "photometric": tiffpage.RGB if frame.pixels.shape[2] > 1 else tiffpage.BLACK_IS_ZERO,
        "extrasamples": None if frame.alpha is None else (tiffpage.UNASSOCIATED,),
    }
    own = {key: value for key, value in frame.encoding.items() if key != "container"}
    return {**defaults, **own}


def _values(frame: Frame) -> NDArray[Sample]:
    values = frame.pixels
    encoding = frame.encoding
    if frame.alpha is not None:
        alpha = frame.alpha[..., np.newaxis]
        values = np.concatenate([values, alpha], axis=2)
    if encoding.get("photometric") == tiffpage.WHITE_IS_ZERO:
        values = _inverted(values, frame.alpha is not None)
    if values.shape[2] == 1:
        return np.ascontiguousarray(values[..., 0])
    if encoding.get("planarconfig") == tifffile.PLANARCONFIG.SEPARATE:
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return np.ascontiguousarray(values)


def _tags(carried: Carried) -> Ifd:
    """Collect the tags and blocks that `graft` adds."""
    tags = carried.tags or Ifd({}, {})
    blocks = {
        int.from_bytes(block.where[:2]): IfdEntry(block.where[2], block.data)
        for block in carried.blocks
    }
    return Ifd({**tags.entries, **blocks}, tags.children)


CONTAINER = Container(_probe, _read, _write, xmp_at=_XMP_AT)
