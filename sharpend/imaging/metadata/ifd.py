"""Image file directories (IFD) of TIFF and EXIF: layouts, value types, raw entries.

Owns how a directory is laid out, the types of values, and which tags are needed, tell a position,
or may tell one, because no standard explains them. `tifftags` reads those of a file, `tiffout`
writes them, and `exifblock` patches those of an EXIF block in place.

Source: TIFF 6.0 section 2; the 64-bit layout is BigTIFF's; type 129 is EXIF 3.0's; GeoTIFF 1.1;
tags of EXIF 2.32 and 3.0, TIFF/EP and DNG 1.4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from PIL import ExifTags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ORIENTATION, RESOLUTION, RESOLUTION_UNIT = 274, (282, 283), 296
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
"""Tags that point to directories."""
GLOBAL, KODAK = 400, 33424
"""Two more: parameters that all pages share (TIFF-FX), and Kodak's own."""
MAKER_NOTE = 37500
NEEDED = frozenset({ORIENTATION, *RESOLUTION, RESOLUTION_UNIT})
"""Without these an image would look different, or be printed at another size."""
_OF_MAPS = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112})
"""GeoTIFF's scale, tie points, transformation and keys; GDAL's metadata."""

_STANDARD = frozenset({EXIF, GPS, INTEROPERABILITY, GLOBAL})
_PRIVATE = 0x8000
"""The first tag that anybody may have registered for data of their own."""
_OF_ONE_MAKER = {MAKER_NOTE, 50740, 50828}
"""Tags of standards whose content is none: maker notes, DNG's private data, a whole raw file."""
_OF_EXIF_3 = range(0xA436, 0xA43D)
_NUMBERS = {*range(32995, 32999), 42113}
"""SGI's kinds of samples, and the value that stands for none (GDAL)."""
_UNDERSTOOD = {*map(int, ExifTags.Base), *_STANDARD, *_OF_EXIF_3, *_NUMBERS} - _OF_ONE_MAKER

CLASSIC_TYPES = dict(
    enumerate(("B", "s", "H", "I", "2I", "b", "s", "h", "i", "2i", "f", "d", "I"), start=1)
)
"""Types of values as `struct` reads them; rationals are pairs. 13 points to a directory."""
TYPES = CLASSIC_TYPES | {16: "Q", 17: "q", 18: "Q", 129: "s"}
"""With BigTIFF's, 18 the pointer, and EXIF 3.0's text in UTF-8."""
POINTER_TYPES = frozenset({13, 18})
LONG, LONG8 = 4, 16
_BIG = 43
"""BigTIFF's magic number; the classic one is 42."""


def is_understood(tag: int) -> bool:
    """Return whether a standard explains the content of a tag."""
    return tag < _PRIVATE or tag in _UNDERSTOOD


@dataclass(frozen=True, slots=True)
class IfdEntry:
    """One tag, as bytes."""

    kind: int
    """Its type, one of those above."""
    data: bytes
    """The values in little-endian order, whatever the file's was."""
    pinned_at: int = 0
    """Offset at which they must lie in every file, because they refer to each other by it; 0: any.
    True of maker notes, whose offsets count from the start of the file."""

    @property
    def number(self) -> str:
        """Decode one number of its type; a rational is two."""
        return TYPES[self.kind][-1]

    @property
    def values(self) -> tuple[int, ...]:
        """Decode the values of an integer tag; none for any other type."""
        if self.number not in "BHIQ":
            return ()
        return tuple(each for (each,) in struct.iter_unpack("<" + self.number, self.data))


@dataclass(frozen=True, slots=True)
class Ifd:
    """Entries of one directory, the directories behind its pointers, and the next page's offset."""

    entries: Mapping[int, IfdEntry]
    children: Mapping[int, Ifd]
    next_page: int = 0
    at: int = 0
    """Offset of the directory in the file it was read from."""
    unread: Mapping[int, Exception] = field(default_factory=dict)
    """Tags whose values could not be read, and why."""

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Decode the values of an integer tag; `default` if it is absent or no integer."""
        return (self.entries[tag].values if tag in self.entries else ()) or default

    def needed(self) -> Ifd:
        """Keep only the tags that are needed to show and print the image as it was."""
        return Ifd({tag: entry for tag, entry in self.entries.items() if tag in NEEDED}, {})

    def without_gps(self) -> Ifd:
        """Remove the GPS directory and the tags of maps (GeoTIFF)."""
        entries = {tag: entry for tag, entry in self.entries.items() if tag not in _OF_MAPS}
        children = {tag: child.without_gps() for tag, child in self.children.items() if tag != GPS}
        return Ifd(entries, children)

    def private(self) -> set[int]:
        """Return the tags, and those of directories, whose content no standard explains."""
        found = {tag for tag in self.entries if not is_understood(tag)} - _OF_MAPS
        found |= self.children.keys() - _STANDARD
        return found.union(*(child.private() for child in self.children.values()))

    def without_private(self) -> Ifd:
        """Remove these tags and directories."""
        entries = {tag: entry for tag, entry in self.entries.items() if is_understood(tag)}
        children = {
            tag: child.without_private() for tag, child in self.children.items() if tag in _STANDARD
        }
        return replace(self, entries=entries, children=children)

    def family(self) -> Iterator[Ifd]:
        """List this directory and all behind its pointers."""
        yield self
        for child in self.children.values():
            yield from child.family()


@dataclass(frozen=True, slots=True)
class IfdLayout:
    """Binary layout of directories: byte order, and formats of count, entry and offset."""

    order: str
    counts: struct.Struct
    entries: struct.Struct
    """Tag, type, number of values, and the values or where they lie."""
    places: struct.Struct

    @classmethod
    def of(cls, head: bytes | bytearray) -> IfdLayout:
        """Choose the layout by the first four bytes."""
        order = "<" if head[:2] == b"II" else ">"
        letters = ("Q", "HHQ8s", "Q") if _BIG in head[2:4] else ("H", "HHI4s", "I")
        return cls(order, *(struct.Struct(order + each) for each in letters))

    @property
    def first_link(self) -> int:
        """Position of the first directory's offset, right after the header."""
        return self.places.size

    @property
    def pointer_kind(self) -> int:
        """Type of a pointer to a directory."""
        return LONG8 if self.places.size > struct.calcsize("I") else LONG
