"""TIFF directories: read all tags of a file raw, as far as they can be read.

Owns what becomes of a tag that cannot be read: it stands in `Ifd.unread` with the reason, and the
others stay. A directory that is not there at all is an error of the page chain, and a mere unread
tag where a pointer leads to it. Says nothing about what a tag means for the pixels.

Source: TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.imaging.metadata import ifd
from sharpend.imaging.metadata.ifd import POINTER_TYPES, TYPES, Ifd, IfdEntry, IfdLayout
from sharpend.imaging.reading import Reader, damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SUB_IFDS = 330
"""Pointers to further images, which are pages of their own here."""
_POINTERS = frozenset({ifd.EXIF, ifd.GPS, ifd.INTEROPERABILITY, ifd.GLOBAL, ifd.KODAK})
"""Pointers to directories of tags, whatever their type; other pointers are known by their type."""
_MOST_PAGES, _MOST_SUB_IFDS, _DEEPEST = 10_000, 256, 4
_HEAD_BYTES, _HEADER_BYTES, _HEADER_WITHIN = 4, 8, 24
"""Byte order and version, with the place of the first directory; where one is looked for."""
_MOST_UNREAD = 100
"""Unreadable tags of a directory behind a pointer: beyond them it is no directory."""


@dataclass(frozen=True, slots=True)
class Page:
    """One directory of the chain of pages, and the images below it."""

    tags: Ifd
    subs: tuple[Ifd, ...] = ()


def read_pages(reader: Reader, wanted: Collection[int] | None = None) -> list[Page]:
    """Read the tags of all pages and of the images below them, with EXIF and GPS.

    Args:
        reader: of the whole file.
        wanted: the only tags to read, without what pointers lead to; None for all.

    Raises:
        ImageRefusedError: `truncated` or `damaged`, where the chain of pages breaks.
    """
    return _Directories(reader, wanted).pages()


def superseded(
    data: bytes, places: Iterable[int], present: Collection[Page]
) -> list[tuple[int, int]]:
    """List start and end of what was replaced: directories with their values, headers.

    Nothing leads to such a directory any more, and another one has all its tags. Pillow writes each
    page with the header of a file of its own.

    Args:
        data: the file.
        places: offsets at which one may begin.
        present: the pages.
    """
    reader = Reader(BytesIO(data), most=len(data), largest=len(data))
    directories = _Directories(reader, None)
    known = [page.tags.entries.keys() | page.tags.children.keys() for page in present]
    found: list[tuple[int, int]] = []
    for place in places:
        before = len(reader.read)
        tags = directories.at(place)
        if tags and any(tags <= each for each in known):
            found += reader.read[before:]
        header = data.find(data[:_HEAD_BYTES], place, place + _HEADER_WITHIN)
        found += [(header, header + _HEADER_BYTES)] if header >= 0 else []
    return found


class _Directories:
    """Reader of the directories of one file."""

    def __init__(self, reader: Reader, wanted: Collection[int] | None) -> None:
        self._reader, self._wanted = reader, wanted
        self._layout = IfdLayout.of(reader.at(0, 4))
        self._values: dict[tuple[int, int], bytes] = {}
        """Values by offset and size: pages may share them, and none is read twice."""
        self._visited: set[int] = set()

    def pages(self) -> list[Page]:
        """Read the chain of pages."""
        place = self._integer(self._layout.places, self._layout.first_link)
        found = [self._with_subs(self._image(place))] if place else []
        # A link to a former page, or into the header, ends the chain as 0 does.
        while found and (place := found[-1].tags.next_page) not in self._visited:
            if place < 2 * self._layout.places.size:
                break
            if len(found) == _MOST_PAGES:
                raise damaged("it has too many pages")
            found.append(self._with_subs(self._image(place)))
        return found

    def at(self, place: int) -> set[int]:
        """Return the tags of a directory that begins at an offset; none where none begins."""
        try:
            tags = self._directory(place)
        except ImageRefusedError:
            return set()
        return set() if tags.unread else set(tags.entries)

    def _image(self, place: int) -> Ifd:
        self._visited.add(place)
        page = self._directory(place)
        return page if self._wanted is not None else self._with_children(page, (place,))

    def _with_subs(self, page: Ifd) -> Page:
        """Read the images below a page, as many of them as are there."""
        found, unread = [], dict(page.unread)
        for place in page.values(SUB_IFDS)[:_MOST_SUB_IFDS]:
            try:
                found += [] if place in self._visited else [self._sub(place)]
            except ImageRefusedError as error:
                unread[SUB_IFDS] = error
        return Page(replace(page, unread=unread), tuple(found))

    def _sub(self, place: int) -> Ifd:
        image = self._image(place)
        if image.unread and not image.entries:
            raise damaged("a pointer leads to no directory")
        return image

    def _with_children(self, parent: Ifd, above: tuple[int, ...]) -> Ifd:
        """Replace pointers by the directories that they lead to.

        Args:
            parent: a directory.
            above: offsets of that directory and of those that led to it.
        """
        children, unread = {}, dict(parent.unread)
        for tag in [tag for tag, entry in parent.entries.items() if _is_pointer(tag, entry)]:
            try:
                children[tag] = self._child(parent.entries[tag], above)
            except ImageRefusedError as error:
                unread[tag] = error
        entries = {
            tag: entry
            for tag, entry in parent.entries.items()
            if tag not in children and tag not in unread
        }
        return replace(parent, entries=entries, children=children, unread=unread)

    def _child(self, pointer: IfdEntry, above: tuple[int, ...]) -> Ifd:
        places = pointer.values
        if len(places) != 1 or places[0] <= self._layout.first_link or places[0] in above:
            raise damaged("a pointer leads to no directory")
        if len(above) > _DEEPEST:
            raise damaged("its directories are nested too deep")
        child = self._directory(places[0])
        if len(child.unread) > _MOST_UNREAD or (child.unread and not child.entries):
            raise damaged("a pointer leads to no directory")
        return self._with_children(child, (*above, *places))

    def _directory(self, place: int) -> Ifd:
        layout = self._layout
        count = self._integer(layout.counts, place)
        at = place + layout.counts.size
        size = count * layout.entries.size
        found: dict[int, IfdEntry] = {}
        unread: dict[int, Exception] = {}
        for tag, kind, length, inline in layout.entries.iter_unpack(self._reader.at(at, size)):
            if tag in found or (self._wanted is not None and tag not in self._wanted):
                continue  # of a tag that is there twice the first counts, as in libtiff
            try:
                found[tag] = self._entry(tag, kind, length, inline)
            except ImageRefusedError as error:
                unread[tag] = error
        return Ifd(found, {}, self._integer(layout.places, at + size), place, unread)

    def _entry(self, tag: int, kind: int, length: int, inline: bytes) -> IfdEntry:
        if kind not in TYPES:
            raise damaged(f"a value of the unknown type {kind}")
        size = length * struct.calcsize("<" + TYPES[kind])
        if size <= len(inline):
            return self._little(IfdEntry(kind, inline[:size]))
        (place,) = self._layout.places.unpack(inline)
        if size > self._reader.size:
            raise damaged("it declares a table larger than the file")
        if place < self._layout.first_link or place + size > self._reader.size:
            raise truncated()
        if (place, size) not in self._values:
            self._values[place, size] = self._reader.at(place, size)
        pinned = place if tag == ifd.MAKER_NOTE else 0
        return self._little(IfdEntry(kind, self._values[place, size], pinned))

    def _little(self, entry: IfdEntry) -> IfdEntry:
        if self._layout.order == "<":
            return entry
        return replace(entry, data=swapped(entry))

    def _integer(self, layout: struct.Struct, at: int) -> int:
        return int(layout.unpack(self._reader.at(at, layout.size))[0])


def _is_pointer(tag: int, entry: IfdEntry) -> bool:
    return tag in _POINTERS or (entry.kind in POINTER_TYPES and tag != SUB_IFDS)


def swapped(entry: IfdEntry) -> bytes:
    """Swap the byte order of the values."""
    data, width = entry.data, struct.calcsize("<" + entry.number)
    if width == 1:
        return data
    return b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))
