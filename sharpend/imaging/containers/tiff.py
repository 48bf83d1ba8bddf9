"""TIFF: read and write all pages at 8 and 16 bits and in floating point, through tifffile.

Owns the order: the directories are read and the pages chosen before anything is decoded, and the
file that tifffile writes is laid out anew with the tags that are carried. Nothing is turned,
inverted for good, or premultiplied.

Source: TIFF 6.0; tifffile's names for its tags.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color, transparency
from sharpend.imaging.containers import (
    surplus,
    tiffcarried,
    tiffpage,
    tiffpages,
    tiffsamples,
    tiffstack,
    tiffstrips,
    tifftags,
)
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.tiffcoding import encoding_of
from sharpend.imaging.containers.tiffout import assembled
from sharpend.imaging.containers.tifftags import read_pages
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader
from sharpend.imaging.source import Header, color_mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sharpend.imaging.containers.surplus import Held
    from sharpend.imaging.containers.tifftags import Page
    from sharpend.imaging.metadata.ifd import Ifd
    from sharpend.imaging.source import Source

_CANON = slice(8, 10), b"CR"
"""Mark of Canon's raw files, which are TIFFs by their first bytes (CR2)."""
_HEADER_BYTES, _MOST_REPLACED = 8, 8
_MOST_COPIES = 1000
"""Unknown parts that are looked for among the values of tags."""
_LARGEST_DECLARED = 341
"""SMaxSampleValue."""
_NO_VENDORS: dict[str, Any] = {"is_lsm": False, "is_scanimage": False, "is_ndpi": False}
"""Tags of makers that would let tifffile look for pages elsewhere, or fail where they are wrong."""
_OURS: dict[str, Any] = {"metadata": None, "software": False, "contiguous": False}
"""Nothing that tifffile would write by itself."""

logging.getLogger("tifffile").disabled = True  # what it complains of is refused or harmless
tiffstrips.prepare()


def _probe(reader: Reader) -> Header:
    """Read size and depth of the first page that is sharpened."""
    if reader.up_to(0, 10)[_CANON[0]] == _CANON[1]:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, "a camera raw file: it holds the data of a sensor"
        )
    page = tiffpages.choose(read_pages(reader, tiffpages.SHAPE)).pages[0]
    tiffpages.check_tables(page)
    height, width = tiffpages.size_of(page)
    return Header(Format.TIFF, height, width, max(page.values(tiffpages.BITS, (1,))))


def _read(source: Source) -> Picture:
    """Read all wanted pages."""
    size = len(source.data)
    reader = Reader(BytesIO(source.data), most=size, largest=size)
    chain = read_pages(reader)
    chosen = tiffpages.choose(chain)
    for page in chosen.pages:
        tiffpages.check_tables(page)
    with tifffile.TiffFile(BytesIO(source.data), **_NO_VENDORS) as file:
        pages, count = _wanted(source, file, chosen)
        if any(tiffpage.is_bilevel(page) for page, _ in pages):
            if not all(tiffpage.is_bilevel(page) for page, _ in pages):
                raise color_mode("pure black and white on some pages")
            return source.bilevel()
        source.check_pixels(1, sum(page.imagelength * page.imagewidth for page, _ in pages))
        frames = [_frame(source, page, tags, chosen) for page, tags in pages]
        container = {"byteorder": file.byteorder, "bigtiff": file.is_bigtiff}
    stack = tiffstack.data_of(pages[0][0], count) if count > len(chosen.pages) else []
    ranges = [(0, _HEADER_BYTES), *reader.read, *stack, *tiffpage.data_of(pages)]
    ranges += tiffpages.data_of(chain, size, {tags.at for _, tags in pages})
    chosen.losses.extend(_unclaimed(source.data, ranges, chain, reader.read))
    frames[0] = replace(frames[0], encoding={**frames[0].encoding, "container": container})
    notes, losses = (tuple(dict.fromkeys(each)) for each in (chosen.notes, chosen.losses))
    return Picture(tuple(frames), Format.TIFF, notes, losses)


def _wanted(
    source: Source, file: tifffile.TiffFile, chosen: tiffpages.Chosen
) -> tuple[list[tuple[tifffile.TiffPage, Ifd]], int]:
    """Pages that policy wants, with their tags, and the number of all pages.

    What policy leaves out is noted as a loss.
    """
    tags = list(chosen.pages)
    first = tiffpage.opened(file, tags[0])
    count = len(tags)
    if count == 1:
        count = tiffstack.count_of(first, tags[0], len(source.data))
    wanted = source.wanted(count, Reason.PAGES)
    if wanted < count:
        chosen.losses.append(f"its other {count - wanted} pages were not kept")
        if tiffstack.declared_images(tags[0]) > 1:
            tags[0] = tiffstack.without_counts(tags[0])
            chosen.notes.append("the number of images was removed from its description")
    if len(tags) == 1:
        images, every = tiffstack.images_of(first, wanted), tiffstack.tags_of(tags[0], wanted)
    else:
        every = tags[:wanted]
        images = [first, *(tiffpage.opened(file, each) for each in every[1:])]
    return list(zip(images, every, strict=True)), count


def _unclaimed(
    data: bytes,
    ranges: list[tuple[int, int]],
    chain: Sequence[Page],
    tables: Sequence[tuple[int, int]],
) -> list[str]:
    """List the loss of bytes that no image and no tag has.

    Args:
        data: the file.
        ranges: start and end of all that was read of it; gets those of replaced directories.
        chain: the pages.
        tables: those of the directories and their values: tifffile leaves copies of values.
    """
    end = max(last for _, last in ranges)
    for _ in range(_MOST_REPLACED):
        starts = [first for first, _ in surplus.gaps(ranges, 0, end)]
        replaced = tifftags.superseded(data, [first + first % 2 for first in starts], chain)
        ranges += replaced
        if not replaced:
            break
    pieces = [data[first:last] for first, last in surplus.gaps(ranges, 0, end)]
    told = b"".join(data[first:last] for first, last in tables)
    copies = {each for each in set(pieces[:_MOST_COPIES]) if each in told}
    between = sum(surplus.count(each) for each in pieces if each not in copies)
    losses = [f"{between} bytes between its images and tags were not kept"] * bool(between)
    tail = data[end:]
    if tail.strip(b"\0") and data.find(tail, 0, end) < 0:  # no copy, as tifffile leaves one
        losses.append(f"{len(tail)} bytes behind its last image and tag were not kept")
    return losses


def _frame(source: Source, page: tifffile.TiffPage, tags: Ifd, chosen: tiffpages.Chosen) -> Frame:
    """Read one page, and add notes and losses to those of the file."""
    notes = chosen.notes
    found, lost = tiffpage.check(page, source)
    notes += found
    chosen.losses.extend(lost)
    tags = tiffcarried.with_note_in_place(tags, page, notes)
    keeps = tiffsamples.keeps_samples(page)
    carried = tiffcarried.carried_of(tags, keeps_samples=keeps, notes=notes)
    color.check_not_hdr(None, icc.profile_of(carried))
    encoding = encoding_of(page, notes, source.policies.compression)
    values, held = _decoded(page, source.data)
    colors, extra = tiffsamples.samples_of(page, values, notes)
    flaws, lost = surplus.named(held)
    notes += flaws
    chosen.losses.extend(lost)
    if tiffpage.is_floating(page):
        white = tiffsamples.white_of(colors, _declared(tags))
        encoding |= tiffsamples.float_options(page, white, (colors, extra))
        colors, extra = (tiffsamples.scaled(each, white) for each in (colors, extra))
    if page.photometric == tiffpage.SEPARATED:
        source.check_cmyk()
        colors, carried = _converted(colors, carried, notes, source.policies.cmyk_profile)
    frame = _made(np.ascontiguousarray(colors), extra, carried, encoding)
    return replace(frame, premultiplied=_is_premultiplied(page, frame, notes))


def _is_premultiplied(page: tifffile.TiffPage, frame: Frame, notes: list[str]) -> bool:
    """Return whether colours are multiplied by alpha, as declared; some programs declare it only.

    White-is-zero gray counts as straight: its ink is multiplied, not its light.
    """
    types = tiffpage.extra_types(page)
    at = tiffsamples.alpha_of(types)
    if frame.alpha is None or at is None or types[at] != tiffpage.ASSOCIATED:
        return False
    if page.photometric == tiffpage.WHITE_IS_ZERO:
        return False
    if not transparency.keeps_bound(frame.pixels, frame.alpha):
        notes.append("its alpha is declared associated, but colours exceed it: read as straight")
        return False
    return True


def _decoded(page: tifffile.TiffPage, data: bytes) -> tuple[NDArray[Any], list[Held]]:
    try:
        return tiffstrips.decoded(page, data)
    except NotImplementedError as error:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            "its TIFF combines compression, predictor and depth in a way that is not read",
        ) from error


def _declared(tags: Ifd) -> float:
    """Largest SMaxSampleValue of a floating point page; 0 without one."""
    entry = tags.entries.get(_LARGEST_DECLARED)
    if entry is None or entry.number not in "fd":
        return 0
    return max((each for (each,) in struct.iter_unpack("<" + entry.number, entry.data)), default=0)


def _made(
    colors: NDArray[Any], extra: NDArray[Any], carried: Carried, encoding: dict[str, Any]
) -> Frame:
    """Frame of colours and extra samples, of which one may be alpha."""
    if not extra.shape[2]:
        return Frame(colors, None, carried, encoding)
    at = tiffsamples.alpha_of(encoding["extrasamples"])
    alpha = None if at is None else np.ascontiguousarray(extra[..., at])
    others = extra if at is None else np.delete(extra, at, axis=2)
    kept = np.ascontiguousarray(others) if others.shape[2] else None
    return Frame(colors, alpha, carried, encoding, unsharpened=kept)


def _converted(
    values: NDArray[Any], carried: Carried, notes: list[str], fallback: str
) -> tuple[NDArray[np.uint8], Carried]:
    cmyk = Image.fromarray(np.ascontiguousarray(values), "CMYK")
    pixels, profile, note = color.to_srgb(cmyk, icc.profile_of(carried), fallback)
    notes.append(note)
    own = Block(Kind.ICC, profile, tiffcarried.where(tiffcarried.ICC, 7))
    return pixels, Carried((*carried.without(Kind.ICC).blocks, own), carried.tags)


def _write(picture: Picture) -> bytes:
    """Write the file: each page with its tags, in the source's byte order and layout."""
    buffer = BytesIO()
    container = picture.frames[0].encoding.get("container", {"byteorder": "<"})
    with tifffile.TiffWriter(buffer, **container) as writer:
        for frame in picture.frames:
            writer.write(tiffsamples.stored(frame), **_OURS, **_options(frame))
    return assembled(buffer, [tiffcarried.tags_of(frame.carried) for frame in picture.frames])


def _options(frame: Frame) -> dict[str, Any]:
    not_tifffiles = {"container", *tiffsamples.OURS}
    own = {key: value for key, value in frame.encoding.items() if key not in not_tifffiles}
    return {**tiffsamples.default_options(frame), **own}


CONTAINER = Container(_probe, _read, _write, xmp_at=tiffcarried.XMP_AT)
