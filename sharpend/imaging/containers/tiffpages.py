"""TIFF pages: tell the pages of a document from copies, masks, raw data and other directories.

Owns the choice of what is sharpened, by the tags alone: pages that are no reduced copies of
another, no masks and no thumbnails. Everything that the output will not hold gets its sentence.

Source: TIFF 6.0, NewSubfileType and SubfileType; EXIF 2.32 section 4.5.2 for the thumbnail's
directory; DNG 1.7; Adobe Photoshop TIFF Technical Notes for the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers.tifftags import SUB_IFDS
from sharpend.imaging.reading import damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sharpend.imaging.containers.tifftags import Page
    from sharpend.imaging.metadata.ifd import Ifd

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC = 254, 255, 256, 257, 258, 262
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: a smaller copy of another page, a mask of its transparency."""
_OLD_REDUCED = 2
_SAMPLES, _PAGE_NUMBER, _JPEG_OFFSET = 277, 297, 513
_STRIPS, _TILES = 273, 324
_DATA = ((_STRIPS, 279), (_TILES, 325), (_JPEG_OFFSET, 514))
"""Tags with the offsets of data, each with that of its sizes."""
_RAW = frozenset({33421, 50706})
"""CFARepeatPatternDim and DNGVersion: sensor data."""
_RAW_COLORS = frozenset({32803, 34892})
"""Photometric interpretations: a colour filter array, linear raw."""
_LAYERS = (37724, 50784)
"""Photoshop's ImageSourceData, and Alias's layers."""
CODING = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 288, 289, 292, 293, 317, 320}
    | {322, 323, 324, 325, 326, 327, 328, 330, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521}
    | {529, 530, 531, 559, 32996, 32997, 32998, *_LAYERS}
)
"""Tags that say how the pixels lie in a file, which is written anew, or hold other images."""
DECISIVE = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339, 347}
)
"""Those of them without which the pixels cannot be read."""
SHAPE = frozenset(
    {SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, _PAGE_NUMBER, _JPEG_OFFSET, SUB_IFDS}
    | {_STRIPS, 279, _TILES, 325, 347, 339, *_RAW}
)
"""Tags that the choice depends on, and tables within which truncated files often end."""
_OF_A_COPY = CODING | {SUBFILE, OLD_SUBFILE, 282, 283, 296, 338, 339, 34675}
"""Tags of a copy in front that say nothing of the image behind it."""
_LARGEST_PREVIEW_PX, _SMALLEST_REDUCTION = 512, 2
_SAME_SHAPE = 0.03
"""By how much the sides of a preview may differ from the image's proportions, as a share."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pages of a document, and sentences on what else its file holds."""

    pages: tuple[Ifd, ...]
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def choose(chain: Sequence[Page]) -> Chosen:
    """Choose the pages to sharpen: of several that are no copies all, in the order of the file.

    Raises:
        ImageRefusedError: `format_not_allowed` for camera raw files, `damaged` without a size, or
            what made the size of the only page unreadable.
    """
    images = [page.tags for page in chain if _has_size(page.tags)]
    below = [sub for page in chain for sub in page.subs]
    subs = [sub for sub in below if _has_size(sub)]
    _check_raw([*(page.tags for page in chain), *below])
    if not images:
        for page in chain[:1]:
            check_tables(page.tags)
        raise damaged("its TIFF declares no size")
    full = [one for one in [*images, *subs] if not _is_set_aside(one)]
    for copy in (page.tags for page in chain if not full):
        if SUB_IFDS in copy.unread:  # the image that it is a copy of
            raise copy.unread[SUB_IFDS]
    largest = max(full or images, key=_pixels)
    places = {one.at for one in full if not _is_preview(one, largest)}
    pages = [page for page in images if page.at in places]
    chosen = Chosen(_with_tags_in_front(pages or [largest], chain[0].tags))
    kept = {page.at for page in chosen.pages}
    for other in [*(page.tags for page in chain), *below]:
        if other.at not in kept:
            _note_tree(chosen, other, largest)
    if any(tag in page.entries for page in chosen.pages for tag in _LAYERS):
        chosen.losses.append("its layers were not kept")
    return chosen


def size_of(page: Ifd) -> tuple[int, int]:
    """Height and width of a page."""
    return page.values(HEIGHT)[0], page.values(WIDTH)[0]


def data_of(chain: Sequence[Page], size: int, opened: Collection[int]) -> list[tuple[int, int]]:
    """List start and end of all strips, tiles and thumbnails.

    Args:
        chain: the pages, and the images below them.
        size: of the file; where sizes are missing, a part may reach to its end.
        opened: places of the directories whose pixels were read: their strips are left out.
    """
    found = []
    for directory in (one for page in chain for one in (page.tags, *page.subs)):
        for offsets, sizes in _DATA[-1:] if directory.at in opened else _DATA:
            places, counts = directory.values(offsets), directory.values(sizes)
            counts = (*counts, *[size] * (len(places) - len(counts)))
            found += [
                (at, min(size, at + count)) for at, count in zip(places, counts, strict=False)
            ]
    return found


def check_tables(page: Ifd) -> None:
    """Refuse a page whose size, depth, strips or tiles cannot be read.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    for tag in sorted(DECISIVE & page.unread.keys()):
        raise page.unread[tag]
    if not all(page.values(_SAMPLES, (1,))):
        raise damaged("it declares no samples (SamplesPerPixel)")


def _has_size(page: Ifd) -> bool:
    return bool(page.values(WIDTH) and page.values(HEIGHT))


def _pixels(page: Ifd) -> int:
    height, width = size_of(page)
    return height * width


def _check_raw(directories: Sequence[Ifd]) -> None:
    for one in directories:
        if _RAW & one.entries.keys() or _RAW_COLORS & set(one.values(PHOTOMETRIC)):
            raise ImageRefusedError(
                Reason.FORMAT_NOT_ALLOWED, "a camera raw file: it holds the data of a sensor"
            )


def _is_copy(page: Ifd) -> bool:
    return bool(
        page.values(SUBFILE, (0,))[0] & _REDUCED
        or page.values(OLD_SUBFILE, (0,))[0] == _OLD_REDUCED
    )


def _is_mask(page: Ifd) -> bool:
    return bool(page.values(SUBFILE, (0,))[0] & _MASK)


def _is_thumbnail(page: Ifd) -> bool:
    """Return whether a directory has a JPEG of its own instead of strips, as EXIF's second has."""
    return _JPEG_OFFSET in page.entries and not {_STRIPS, _TILES} & page.entries.keys()


def _is_set_aside(page: Ifd) -> bool:
    return _is_copy(page) or _is_mask(page) or _is_thumbnail(page)


def _is_preview(page: Ifd, largest: Ifd) -> bool:
    """Return whether a page without a declared kind is a small copy of the largest by size.

    Small pages of a document have a page number, other proportions, or more pixels.
    """
    (height, width), (most_high, most_wide) = size_of(page), size_of(largest)
    longest = max(height, width)
    return (
        not page.values(SUBFILE, (0,))[0]
        and _PAGE_NUMBER not in page.entries
        and longest <= min(_LARGEST_PREVIEW_PX, max(most_high, most_wide) / _SMALLEST_REDUCTION)
        and abs(height - width * most_high / most_wide) <= max(1, _SAME_SHAPE * longest)
    )


def _note_tree(chosen: Chosen, other: Ifd, largest: Ifd) -> None:
    """Add the sentence on a directory that the output will not hold."""
    if not _has_size(other) and not _is_thumbnail(other):
        chosen.losses.append("a directory that is no image was not kept")
    elif _is_mask(other):
        chosen.losses.append("its transparency mask was not kept")
    elif _is_copy(other) or _is_thumbnail(other):
        chosen.notes.append("its smaller copies were not kept")
    else:
        height, width = size_of(other)
        what = "preview" if _is_preview(other, largest) else "further image"
        chosen.losses.append(f"its {what} of {width} x {height} pixels was not kept")


def _with_tags_in_front(pages: Sequence[Ifd], first: Ifd) -> tuple[Ifd, ...]:
    """Give the first page the metadata, such as EXIF, that only a copy in front of it has."""
    if pages[0].at == first.at:
        return tuple(pages)
    own = pages[0]
    inherited = {tag: entry for tag, entry in first.entries.items() if tag not in _OF_A_COPY}
    page = replace(
        own,
        entries={**inherited, **own.entries},
        children={**first.children, **own.children},
        unread={**own.unread, **{tag: first.unread[tag] for tag in first.unread.keys() - CODING}},
    )
    return (page, *pages[1:])
