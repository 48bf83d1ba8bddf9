"""TIFFs built tag by tag, and their tags read back: no library writes what some programs write."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIF, GPS, INTEROPERABILITY, NOTE, SUB_IFDS = 34665, 34853, 40965, 37500, 330
ASCII, SHORT, LONG, UNDEFINED, IFD, UTF8 = 2, 3, 4, 7, 13, 129
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_TILE_OFFSETS = 324
POINTERS = (EXIF, GPS, INTEROPERABILITY, 33424)
Tags = dict[int, tuple[int, bytes]]
"""Number to type and values, in the file's byte order."""


@dataclass
class Tiff:
    """A TIFF that grows: what is put last lies last."""

    order: str = "<"
    data: bytearray = field(default_factory=bytearray)
    links: list[int] = field(default_factory=lambda: [4])

    def __post_init__(self) -> None:
        self.data += struct.pack(self.order + "2sHI", {"<": b"II", ">": b"MM"}[self.order], 42, 0)

    def put(self, value: bytes) -> int:
        """Append bytes at an even offset, and return it."""
        self.data += bytes(len(self.data) & 1)
        self.data += value
        return len(self.data) - len(value)

    def numbers(self, *values: int, kind: int = LONG) -> tuple[int, bytes]:
        """Values of a tag."""
        letter = {SHORT: "H", LONG: "I", IFD: "I"}[kind]
        return kind, struct.pack(f"{self.order}{len(values)}{letter}", *values)

    def directory(self, tags: Tags) -> int:
        """Append a directory behind its values, and return its offset."""
        rows = []
        for tag, (kind, value) in sorted(tags.items()):
            inline = value
            if len(value) > 4:
                inline = struct.pack(self.order + "I", self.put(value))
            count = len(value) // WIDTHS[kind]
            rows.append(struct.pack(self.order + "HHI", tag, kind, count) + inline.ljust(4, b"\0"))
        return self.put(struct.pack(self.order + "H", len(rows)) + b"".join(rows) + bytes(4))

    def page(self, pixels: bytes, tags: Tags, size: tuple[int, int]) -> int:
        """Append a page of one strip, and link it: gray of 8 bits if `tags` say nothing else."""
        place = self.image(pixels, tags, size)
        struct.pack_into(self.order + "I", self.data, self.links[-1], place)
        (count,) = struct.unpack_from(self.order + "H", self.data, place)
        self.links.append(place + 2 + 12 * count)
        return place

    def image(self, pixels: bytes, tags: Tags, size: tuple[int, int]) -> int:
        """Append an image (height and width in `size`) to which nothing leads yet."""
        height, width = size
        own = {
            256: self.numbers(width), 257: self.numbers(height),
            258: self.numbers(8, kind=SHORT), 259: self.numbers(1, kind=SHORT),
            262: self.numbers(1, kind=SHORT), 277: self.numbers(1, kind=SHORT),
        }  # fmt: skip
        if _TILE_OFFSETS not in tags:
            own[273], own[278] = self.numbers(self.put(pixels)), self.numbers(height)
            own[279] = self.numbers(len(pixels))
        return self.directory({**own, **tags})


def tags_of(data: bytes) -> list[dict[tuple[int, ...], bytes]]:
    """All tags of each page of a classic TIFF, by the pointers that lead to them and their number.

    A value that lies beyond the end of the file is an empty one.
    """
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "I", data, 4)
    pages = []
    while place:
        pages.append(dict(_entries(data, order, place, ())))
        (count,) = struct.unpack_from(order + "H", data, place)
        (place,) = struct.unpack_from(order + "I", data, place + 2 + 12 * count)
    return pages


def _entries(
    data: bytes, order: str, place: int, path: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    (count,) = struct.unpack_from(order + "H", data, place)
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, length, first = struct.unpack_from(order + "HHII", data, at)
        size = WIDTHS[kind] * length
        where = at + 8 if size <= 4 else first
        if tag in POINTERS and 8 < first < len(data):
            yield from _entries(data, order, first, (*path, tag))
        yield (*path, tag), bytes(data[where : where + size])
