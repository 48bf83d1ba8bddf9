"""TIFF tags: read them raw, and add preserved ones to a file that tifffile wrote.

Owns the list of tags that are not carried. No writer takes EXIF and GPS directories, and all guess
the types of others, so the entries are copied as bytes: for each page a new directory with the
writer's entries and the kept ones is appended to the finished file. Says nothing about how pixels
lie in the file; that is `tiff`'s.

Source: TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.metadata import ifd
from sharpend.imaging.metadata.ifd import TYPES, Ifd, IfdEntry, IfdLayout
from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_LAYOUT = frozenset(
    {255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284}
    | {288, 289, 290, 291, 292, 293, 317, 320, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333}
    | {334, 336, 338, 339, 340, 341, 342, 346, 347, 351, 400, 529, 530, 531, 532, 559, 32997, 32998}
    | {*range(512, 522), 37724, 50784}
)
"""Tags that say how the pixels lie in the file, which is written anew, or hold smaller copies and
layers of them (SubIFDs, Photoshop's ImageSourceData). All others are carried."""
_POINTER_TYPES = frozenset({13, 18})
"""Valid in the old file only."""
_WRITERS_OWN = frozenset({254, 282, 283, 296, 305})
"""Tags that a writer adds by itself: NewSubfileType, resolution, Software."""
_POINTERS: Mapping[int, Collection[int]] = {
    0: (ifd.EXIF, ifd.GPS),
    ifd.EXIF: (ifd.INTEROPERABILITY,),
    ifd.GPS: (),
    ifd.INTEROPERABILITY: (),
}
"""Tags that point to a directory, by the directory they are in (0: the file's first)."""

_MOST_PAGES = 10_000


def read_layout(reader: Reader, tags: Collection[int]) -> Ifd:
    """Read only these `tags` of a file's first directory."""
    layout = IfdLayout.of(reader.at(0, 4))
    place = _integer(reader, layout.places, layout.first_link)
    return _directory(reader, layout, place, tags.__contains__)


def read_pages(reader: Reader) -> list[Ifd]:
    """Read the tags that an output keeps, page by page, with EXIF and GPS."""
    layout = IfdLayout.of(reader.at(0, 4))
    place = _integer(reader, layout.places, layout.first_link)
    pages: list[Ifd] = []
    while place:
        if len(pages) == _MOST_PAGES:
            raise damaged("it has too many pages, or they form a cycle")
        page = _directory(reader, layout, place, lambda tag: tag not in _LAYOUT)
        place = page.next_page
        pages.append(_with_children(reader, layout, page, 0))
    return pages


def _with_children(reader: Reader, layout: IfdLayout, parent: Ifd, name: int) -> Ifd:
    children = {}
    for pointer in _POINTERS[name]:
        for place in parent.values(pointer)[:1]:
            child = _directory(reader, layout, place, lambda _: True)
            children[pointer] = _with_children(reader, layout, child, pointer)
    entries = {
        tag: entry
        for tag, entry in parent.entries.items()
        if tag not in _POINTERS[name] and entry.kind not in _POINTER_TYPES
    }
    return Ifd(entries, children)


def _directory(reader: Reader, layout: IfdLayout, place: int, wanted: Callable[[int], bool]) -> Ifd:
    count = _integer(reader, layout.counts, place)
    at = place + layout.counts.size
    size = count * layout.entries.size
    found = {
        tag: _entry(reader, layout, kind, (length, inline))
        for tag, kind, length, inline in layout.entries.iter_unpack(reader.at(at, size))
        if wanted(tag) and length and kind in TYPES
    }
    return Ifd(found, {}, _integer(reader, layout.places, at + size))


def _entry(reader: Reader, layout: IfdLayout, kind: int, value: tuple[int, bytes]) -> IfdEntry:
    length, inline = value
    size = length * struct.calcsize("<" + TYPES[kind])
    data = inline[:size]
    if size > len(inline):
        data = reader.at(layout.places.unpack(inline)[0], size)
    entry = IfdEntry(kind, data)
    return entry if layout.order == "<" else IfdEntry(kind, _swapped(entry))


def _swapped(entry: IfdEntry) -> bytes:
    """Swap the byte order of the data."""
    data, width = entry.data, struct.calcsize("<" + entry.number)
    if width == 1:
        return data
    return b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))


def _integer(reader: Reader, layout: struct.Struct, at: int) -> int:
    return int(layout.unpack(reader.at(at, layout.size))[0])


def graft(written: bytearray, pages: Sequence[Ifd]) -> None:
    """Add to each page of a TIFF, of either byte order and size, the tags to keep, in place."""
    layout = IfdLayout.of(written)
    link = layout.first_link
    for kept in pages:
        (place,) = layout.places.unpack_from(written, link)
        (count,) = layout.counts.unpack_from(written, place)
        start = place + layout.counts.size
        end = start + count * layout.entries.size
        records = {
            entry[0]: layout.entries.pack(*entry)
            for entry in layout.entries.iter_unpack(bytes(written[start:end]))
            if entry[0] not in _WRITERS_OWN
        }
        (following,) = layout.places.unpack_from(written, end)
        place = _append(written, layout, kept, records, following)
        layout.places.pack_into(written, link, place)
        link = place + layout.counts.size + len(records) * layout.entries.size


def _append(
    written: bytearray,
    layout: IfdLayout,
    directory: Ifd,
    records: dict[int, bytes],
    following: int = 0,
) -> int:
    """Append `directory`, together with ready `records`, and return its offset."""
    for tag, child in directory.children.items():
        pointer = layout.places.pack(_append(written, layout, child, {}))
        records[tag] = layout.entries.pack(tag, layout.pointer_kind, 1, pointer)
    for tag, entry in directory.entries.items():
        records[tag] = _record(written, layout, tag, entry)
    body = b"".join(record for _, record in sorted(records.items()))
    count, end = layout.counts.pack(len(records)), layout.places.pack(following)
    return _place(written, count + body + end)


def _record(written: bytearray, layout: IfdLayout, tag: int, entry: IfdEntry) -> bytes:
    data = entry.data if layout.order == "<" else _swapped(entry)
    value = data.ljust(layout.places.size, b"\0")
    if len(value) > layout.places.size:
        value = layout.places.pack(_place(written, data))
    count = len(data) // struct.calcsize("<" + TYPES[entry.kind])
    return layout.entries.pack(tag, entry.kind, count, value)


def _place(written: bytearray, data: bytes) -> int:
    """Append `data` at an even offset and return that offset."""
    written += bytes(len(written) & 1)
    offset = len(written)
    written += data
    return offset
