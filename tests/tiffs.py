"""TIFFs built tag by tag, and their tags read back: no library writes what some programs write."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIF, GPS, INTEROPERABILITY, NOTE, SUB_IFDS = 34665, 34853, 40965, 37500, 330
ASCII, SHORT, LONG, UNDEFINED, IFD, UTF8 = 2, 3, 4, 7, 13, 129
WIDTHS = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
    16: 8, 17: 8, 18: 8, 129: 1,
}  # fmt: skip
"""Bytes of a value, by its type."""
_TILE_OFFSETS = 324
POINTERS = (EXIF, GPS, INTEROPERABILITY, 33424)
Tags = dict[int, tuple[int, bytes]]
"""Number to type and values, in the file's byte order."""


@dataclass
class Tiff:
    """A TIFF that grows at its end."""

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


@dataclass(frozen=True)
class Form:
    """Byte order of a TIFF, and the widths of its numbers: those of BigTIFF are twice as wide."""

    order: str
    is_big: bool

    @classmethod
    def of(cls, data: bytes) -> Form:
        """Of a file."""
        order = "<" if data[:2] == b"II" else ">"
        return cls(order, struct.unpack_from(order + "H", data, 2) == (43,))

    def place(self, data: bytes, at: int) -> int:
        """An offset that is stored there."""
        (found,) = struct.unpack_from(self.order + ("Q" if self.is_big else "I"), data, at)
        return int(found)

    def rows(self, data: bytes, at: int) -> tuple[range, str]:
        """Offsets of the entries of a directory, and the layout of one; its link is at the end."""
        (count,) = struct.unpack_from(self.order + ("Q" if self.is_big else "H"), data, at)
        first, size = (at + 8, 20) if self.is_big else (at + 2, 12)
        layout = self.order + ("HHQ" if self.is_big else "HHI")
        return range(first, first + size * count + 1, size), layout


def tags_of(data: bytes) -> list[dict[tuple[int, ...], bytes]]:
    """All tags of each page of a TIFF, by the pointers that lead to them and their number.

    A value that is beyond the end of the file is an empty one.
    """
    form = Form.of(data)
    place = form.place(data, 8 if form.is_big else 4)
    pages = []
    while place:
        pages.append(dict(_entries(data, form, place, ())))
        place = form.place(data, form.rows(data, place)[0][-1])
    return pages


def _entries(
    data: bytes, form: Form, place: int, path: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    *rows, _ = form.rows(data, place)[0]
    layout = form.rows(data, place)[1]
    width = 8 if form.is_big else 4
    for at in rows:
        tag, kind, length = struct.unpack_from(layout, data, at)
        size, value = WIDTHS[kind] * length, at + struct.calcsize(layout)
        where = value if size <= width else form.place(data, value)
        if tag in POINTERS and length == 1 and 8 < form.place(data, value) < len(data):
            yield from _entries(data, form, form.place(data, value), (*path, tag))
        yield (*path, tag), bytes(data[where : where + size])
