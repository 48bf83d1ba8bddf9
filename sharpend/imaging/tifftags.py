"""The tags of a TIFF file: read them raw, and graft kept ones onto a file that Pillow wrote.

Owns the list of kept tags. Pillow cannot write EXIF and GPS directories into a compressed TIFF
(libtiff takes no nested tags) and guesses the types of others, so the entries are copied as bytes:
a new first directory with Pillow's entries and the kept ones is appended to the finished file.
Says nothing about how pixels lie in the file; that is Pillow's.

Source: TIFF 6.0 section 2; the 64-bit layout is BigTIFF's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
_KEPT = frozenset(
    {269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377}
)
"""DocumentName, ImageDescription, Make, Model, Orientation, XResolution, YResolution, PageName,
ResolutionUnit, Software, DateTime, Artist, HostComputer, XMP, Copyright, IPTC, Photoshop. Nearly
all others describe how the pixels lie in the file, which is written anew."""
_POINTERS: Mapping[int, Collection[int]] = {
    0: (EXIF, GPS),
    EXIF: (INTEROPERABILITY,),
    GPS: (),
    INTEROPERABILITY: (),
}
"""Which tags of which directory point to a directory (0: the file's first)."""

_LETTERS = " BsHIIbshiifdI  QqQ"
"""Position is the TIFF type, letter the type in `struct`; rationals are pairs."""
_PAIRS = (5, 10)
_LONG = 4
_BIG = 43
"""BigTIFF's magic number; the classic one is 42."""
_INLINE_BYTES = 4
_ENTRY = struct.Struct("<HHI4s")


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag, as bytes."""

    kind: int
    data: bytes
    """The values in little-endian order, whatever the file's was."""

    @property
    def values(self) -> tuple[int, ...]:
        """The values of an integer tag; none of any other."""
        letter = _LETTERS[self.kind]
        if letter not in "BHIQ":
            return ()
        return struct.unpack(f"<{len(self.data) // _width(self.kind)}{letter}", self.data)


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of one directory, the directories behind its pointers, the next page's place."""

    entries: Mapping[int, Entry]
    children: Mapping[int, Directory]
    next_page: int = 0

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of an integer tag; `default` where it is absent or no integer."""
        return (self.entries[tag].values if tag in self.entries else ()) or default


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file writes its directories: byte order, and the letters of count, entry and place."""

    order: str
    count: str
    entry: str
    place: str

    @classmethod
    def of(cls, reader: Reader) -> tuple[_Layout, int]:
        """The layout, and the place of the first directory."""
        start = reader.at(0, 8)
        order = "<" if start[:2] == b"II" else ">"
        if _BIG in start[2:4]:
            return cls(order, "Q", "HHQ8s", "Q"), _integer(reader, order + "Q", 8)
        return cls(order, "H", "HHI4s", "I"), _integer(reader, order + "I", 4)


def read_layout(reader: Reader, wanted: Collection[int]) -> Directory:
    """Only the `wanted` tags of a file's first directory.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    layout, place = _Layout.of(reader)
    return _directory(reader, layout, place, wanted)


def read_kept(reader: Reader) -> Directory:
    """The tags that an output carries on, with EXIF and GPS.

    Raises:
        ImageRefusedError: `truncated` or `damaged`.
    """
    layout, place = _Layout.of(reader)
    main = _directory(reader, layout, place, {*_KEPT, EXIF, GPS})
    return _with_children(reader, layout, main, 0)


def _with_children(reader: Reader, layout: _Layout, parent: Directory, name: int) -> Directory:
    children = {}
    for pointer in _POINTERS[name]:
        for place in parent.values(pointer)[:1]:
            child = _directory(reader, layout, place, None)
            children[pointer] = _with_children(reader, layout, child, pointer)
    entries = {tag: entry for tag, entry in parent.entries.items() if tag not in _POINTERS[name]}
    return Directory(entries, children)


def _directory(
    reader: Reader, layout: _Layout, place: int, wanted: Collection[int] | None
) -> Directory:
    count = _integer(reader, layout.order + layout.count, place)
    at = place + struct.calcsize(layout.order + layout.count)
    size = count * struct.calcsize(layout.order + layout.entry)
    found = {
        tag: Entry(kind, _data(reader, layout, kind, (length, inline)))
        for tag, kind, length, inline in struct.iter_unpack(
            layout.order + layout.entry, reader.at(at, size)
        )
        if (wanted is None or tag in wanted) and _width(kind) and length
    }
    return Directory(found, {}, _integer(reader, layout.order + layout.place, at + size))


def _data(reader: Reader, layout: _Layout, kind: int, value: tuple[int, bytes]) -> bytes:
    length, inline = value
    size = length * _width(kind) * (2 if kind in _PAIRS else 1)
    data = inline[:size]
    if size > len(inline):
        data = reader.at(struct.unpack(layout.order + layout.place, inline)[0], size)
    return data if layout.order == "<" else _swapped(data, _width(kind))


def _swapped(data: bytes, width: int) -> bytes:
    if width == 1:
        return data
    return b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))


def _width(kind: int) -> int:
    """Bytes of one number of a TIFF type, 0 for a type that does not exist."""
    letter = _LETTERS[kind] if kind < len(_LETTERS) else " "
    return 0 if letter == " " else struct.calcsize("<" + letter)


def _integer(reader: Reader, layout: str, at: int) -> int:
    return int(struct.unpack(layout, reader.at(at, struct.calcsize(layout)))[0])


def graft(written: bytearray, kept: Directory) -> None:
    """Add the kept tags to a classic little-endian TIFF, as Pillow writes it, in place."""
    if written[:4] != b"II*\0":
        raise damaged("only a classic little-endian TIFF can take tags")
    (place,) = struct.unpack_from("<I", written, 4)
    (count,) = struct.unpack_from("<H", written, place)
    body = bytes(written[place + 2 : place + 2 + count * _ENTRY.size])
    records = {entry[0]: _ENTRY.pack(*entry) for entry in _ENTRY.iter_unpack(body)}
    struct.pack_into("<I", written, 4, _append(written, kept, records))


def _append(written: bytearray, directory: Directory, records: dict[int, bytes]) -> int:
    """Append `directory`, together with ready `records`, and tell where it lies."""
    for tag, child in directory.children.items():
        pointer = struct.pack("<I", _append(written, child, {}))
        records[tag] = _ENTRY.pack(tag, _LONG, 1, pointer)
    for tag, entry in directory.entries.items():
        records[tag] = _record(written, tag, entry)
    body = b"".join(record for _, record in sorted(records.items()))
    return _place(written, struct.pack("<H", len(records)) + body + bytes(4))


def _record(written: bytearray, tag: int, entry: Entry) -> bytes:
    value = entry.data.ljust(_INLINE_BYTES, b"\0")
    if len(value) > _INLINE_BYTES:
        value = struct.pack("<I", _place(written, entry.data))
    count = len(entry.data) // (_width(entry.kind) * (2 if entry.kind in _PAIRS else 1))
    return _ENTRY.pack(tag, entry.kind, count, value)


def _place(written: bytearray, data: bytes) -> int:
    """Append `data` at an even offset and tell which."""
    written += bytes(len(written) & 1)
    offset = len(written)
    written += data
    return offset
