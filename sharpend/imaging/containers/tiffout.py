"""TIFF output: lay out the strips that tifffile wrote and the tags that are kept as one file.

Owns the places of everything in the file. No writer takes EXIF and GPS directories, and all guess
the types of others, so only the coded strips and tiles and the tags that describe them are taken
from tifffile's file. Values that must stay at their offset get it; all else is put around them.
Strips come first, one behind the other in the order of the pages, as ImageJ expects its stacks.

Source: TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.containers.tifftags import read_pages, swapped
from sharpend.imaging.metadata.ifd import LONG, LONG8, TYPES, Ifd, IfdEntry, IfdLayout
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import BytesIO

_TABLES = ((273, 279), (324, 325))
"""Offsets and sizes of strips, of tiles."""
_WRITERS_OWN = frozenset({254, 282, 283, 296, 305})
"""Tags that a writer adds by itself: NewSubfileType, resolution, Software."""
_OPEN_END = 1 << 63
_WORTH_SHARING = 1 << 10
"""Bytes of values that are stored once, however many pages have them."""


def assembled(file: BytesIO, pages: Sequence[Ifd]) -> bytes:
    """Make a file of what tifffile wrote and of the tags that each page keeps.

    Args:
        file: a TIFF of either byte order and size, whose pages have strips or tiles.
        pages: for each of its pages the tags to keep; they replace tags of the same number.
    """
    written = file.getbuffer()
    layout = IfdLayout.of(bytes(written[:4]))
    reader = Reader(file, largest=len(written))
    originals = [page.tags for page in read_pages(reader)]
    space = _Space(bytes(written[: layout.places.size]), _pinned(layout, pages))
    link = layout.first_link
    coded = [_coded(written, page, layout, space) for page in originals]
    for own, kept in zip(coded, pages, strict=True):
        entries = {**own, **kept.entries}
        place = _placed(space, layout, Ifd(entries, kept.children))
        space.data[link : link + layout.places.size] = layout.places.pack(place)
        count = len(entries) + len(kept.children)
        link = place + layout.counts.size + count * layout.entries.size
    return bytes(space.data)


def _coded(written: memoryview, page: Ifd, layout: IfdLayout, space: _Space) -> dict[int, IfdEntry]:
    """Place the strips of a page, and return the tags that describe them."""
    offsets, sizes = next(pair for pair in _TABLES if pair[0] in page.entries)
    strips = zip(page.values(offsets), page.values(sizes), strict=True)
    places = [space.place(written[at : at + size], align=False) for at, size in strips]
    kind = LONG8 if layout.pointer_kind == LONG8 else LONG
    entries = {tag: entry for tag, entry in page.entries.items() if tag not in _WRITERS_OWN}
    entries[offsets] = IfdEntry(kind, struct.pack(f"<{len(places)}{TYPES[kind]}", *places))
    return entries


def _pinned(layout: IfdLayout, pages: Iterable[Ifd]) -> dict[int, bytes]:
    """Values that have a place of their own, by their offsets."""
    return {
        entry.pinned_at: _stored(layout, entry)
        for page in pages
        for directory in page.family()
        for entry in directory.entries.values()
        if entry.pinned_at
    }


def _placed(space: _Space, layout: IfdLayout, directory: Ifd) -> int:
    """Place a directory with all below it, the link to the next one 0, and return its offset."""
    records = {
        tag: layout.entries.pack(
            tag, layout.pointer_kind, 1, layout.places.pack(_placed(space, layout, child))
        )
        for tag, child in directory.children.items()
    }
    for tag, entry in directory.entries.items():
        records[tag] = _record(space, layout, tag, entry)
    body = b"".join(record for _, record in sorted(records.items()))
    return space.place(layout.counts.pack(len(records)) + body + layout.places.pack(0))


def _record(space: _Space, layout: IfdLayout, tag: int, entry: IfdEntry) -> bytes:
    data = _stored(layout, entry)
    value = data.ljust(layout.places.size, b"\0")
    if len(value) > layout.places.size:
        value = layout.places.pack(space.share(data, entry.pinned_at))
    count = len(data) // struct.calcsize("<" + TYPES[entry.kind])
    return layout.entries.pack(tag, entry.kind, count, value)


def _stored(layout: IfdLayout, entry: IfdEntry) -> bytes:
    """Values in the byte order of the file."""
    return entry.data if layout.order == "<" else swapped(entry)


class _Space:
    """A file that is filled from its start, around what has a place already.

    Args:
        head: the first bytes, and as many zeros behind them for the first link.
        pinned: data by its offset; what would overlap another is placed like all else.
    """

    def __init__(self, head: bytes, pinned: dict[int, bytes]) -> None:
        self.data = bytearray(head) + bytes(len(head))
        self._pinned: set[int] = set()
        self._shared: dict[bytes, int] = {}
        """Offsets of large values: pages share profiles and the like."""
        self._gaps: list[list[int]] = []
        start = len(self.data)
        for at, value in sorted(pinned.items()):
            if at >= start:
                self._gaps.append([start, at])
                self._put(at, value)
                self._pinned.add(at)
                start = at + len(value)
        self._gaps.append([start, _OPEN_END])

    def share(self, data: bytes, pinned_at: int = 0) -> int:
        """Place data, unless it is large and there already, and return its offset."""
        if pinned_at in self._pinned:
            return pinned_at
        if len(data) < _WORTH_SHARING:
            return self.place(data)
        if data not in self._shared:
            self._shared[data] = self.place(data)
        return self._shared[data]

    def place(self, data: bytes | memoryview, *, align: bool = True) -> int:
        """Put data into the first gap that holds it, at an even offset if aligned."""
        odd = 1 if align else 0
        gap = next(gap for gap in self._gaps if gap[0] + (gap[0] & odd) + len(data) <= gap[1])
        place = gap[0] + (gap[0] & odd)
        self._put(place, data)
        gap[0] = place + len(data)
        return place

    def _put(self, at: int, data: bytes | memoryview) -> None:
        self.data += bytes(max(0, at - len(self.data)))
        self.data[at : at + len(data)] = data
