"""EXIF block layout: parse and patch directories, entries and values in place.

Owns the offsets: found, followed and patched in place, so that whatever is not touched stays valid
where it is. Knows pointers from values, but not what a tag means to a photographer. A block that
contradicts itself is a ValueError, never a guess.

Source: TIFF 6.0 section 2, EXIF 2.32 (CIPA DC-008) section 4.6.2; type 129 is EXIF 3.0's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.metadata.ifd import CLASSIC_TYPES, EXIF, INTEROPERABILITY, LONG, IfdLayout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    Span = tuple[int, int]

PREFIX = b"Exif\0\0"
"""Prefix of the block in JPEG; other formats have none."""
_SUB_IFDS = 0x014A
POINTERS = frozenset({_SUB_IFDS, EXIF, INTEROPERABILITY})
"""Tags of directories that are followed."""
POINTER = 13
"""The type of a pointer to a directory."""

HEADER_BYTES = 8
_ENTRY_BYTES, _INLINE_BYTES = 12, 4
_HEADS = (b"II*\0", b"MM\0*")
_WIDTHS = {kind: struct.calcsize("<" + letters) for kind, letters in CLASSIC_TYPES.items()} | {
    129: 1
}
"""Bytes of one value, by type."""
_SHORT = 3
"""The type of 16-bit integers."""
_MOST_DIRECTORIES = 32
"""Cameras write five or so; a block may not make us walk for ever."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory."""

    tag: int
    kind: int
    """Its type, which need not exist."""
    count: int
    at: int
    """Offset of its twelve bytes."""
    span: Span
    """Offset of its value, which may be outside of the block."""

    @property
    def has_type(self) -> bool:
        """True if its type exists."""
        return self.kind in _WIDTHS

    @property
    def is_inline(self) -> bool:
        """True if the value is stored within the entry."""
        return self.span[0] == self.at + _ENTRY_BYTES - _INLINE_BYTES


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: its entries, and the offset of the next one (0: none)."""

    at: int
    entries: tuple[Entry, ...]
    next: int

    @property
    def span(self) -> Span:
        """Byte range of its count and entries; the next one's offset follows."""
        return self.at, self.at + 2 + len(self.entries) * _ENTRY_BYTES

    def find(self, tag: int) -> Entry | None:
        """Return the first entry of a tag."""
        return next((entry for entry in self.entries if entry.tag == tag), None)


class ExifBlock:
    """An EXIF block that is parsed and patched in place."""

    def __init__(self, exif: bytes) -> None:
        """Parse the header.

        Args:
            exif: with or without its `PREFIX`, of either byte order.

        Raises:
            ValueError: it does not begin as EXIF does.
        """
        self.prefix = PREFIX if exif.startswith(PREFIX) else b""
        self.data = bytearray(exif[len(self.prefix) :])
        if self.data[:4] not in _HEADS or len(self.data) < HEADER_BYTES:
            raise ValueError("the EXIF has no header")
        self._layout = IfdLayout.of(self.data)
        self.order = self._layout.order
        (self.first,) = self._layout.places.unpack_from(self.data, self._layout.first_link)

    def __bytes__(self) -> bytes:
        return self.prefix + self.data

    def directory(self, at: int) -> Directory:
        """Parse the directory at an offset.

        Raises:
            ValueError: it does not lie within the block.
        """
        body = at + 2
        (count,) = self._layout.counts.unpack(self._slice((at, body)))
        end = body + count * _ENTRY_BYTES
        if end > len(self.data):
            raise ValueError("a directory of the EXIF reaches beyond its end")
        entries = tuple(self._entry(place) for place in range(body, end, _ENTRY_BYTES))
        after = bytes(self.data[end : end + 4]).ljust(4, b"\0")
        return Directory(at, entries, self._layout.places.unpack(after)[0])

    def _entry(self, at: int) -> Entry:
        tag, kind, count, field = self._layout.entries.unpack_from(self.data, at)
        size = _WIDTHS.get(kind, 0) * count
        start = at + _ENTRY_BYTES - _INLINE_BYTES
        if size > _INLINE_BYTES:
            (start,) = self._layout.places.unpack(field)
        return Entry(tag, kind, count, at, (start, start + size))

    def chain(self) -> Iterator[Directory]:
        """List the main directory, the thumbnail's, and any further ones.

        Raises:
            ValueError: one does not lie within the block.
        """
        visited: set[int] = set()
        place = self.first
        while not visited or self._is_new(place, visited):
            visited.add(place)
            directory = self.directory(place)
            yield directory
            place = directory.next

    def directories(self, pointers: Iterable[int] = ()) -> list[Directory]:
        """List the chain and all directories behind pointers: SubIFDs, EXIF, interoperability.

        Args:
            pointers: further tags to follow.

        Raises:
            ValueError: one does not lie within the block, or there are absurdly many.
        """
        followed = {*POINTERS, *pointers}
        found = list(self.chain())
        visited = {directory.at for directory in found}
        for directory in found:  # grows while it is walked
            entries = (entry for entry in directory.entries if entry.tag in followed)
            for place in chain.from_iterable(map(self.targets, entries)):
                if self._is_new(place, visited):
                    visited.add(place)
                    found.append(self.directory(place))
        return found

    def _is_new(self, place: int, visited: Collection[int]) -> bool:
        """Return whether a directory is still to be read: not yet seen, and inside the block."""
        if len(visited) > _MOST_DIRECTORIES:
            raise ValueError("the EXIF has absurdly many directories")
        return place not in visited and 0 < place <= len(self.data) - 2

    def targets(self, pointer: Entry) -> tuple[int, ...]:
        """Offsets of the directories that a pointer refers to.

        Raises:
            ValueError: it is no pointer.
        """
        places = self.integers(pointer)
        if not places:
            raise ValueError("a pointer of the EXIF has no place")
        return places

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """Read the values of an entry; none if they are no integers.

        Raises:
            ValueError: they do not lie within the block.
        """
        letter = CLASSIC_TYPES.get(entry.kind)
        if letter not in {"B", "H", "I"}:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{letter}", self.value(entry))

    def value(self, entry: Entry) -> bytes:
        """Return the bytes of an entry's value.

        Raises:
            ValueError: they do not lie within the block, or the type does not exist.
        """
        if entry.kind not in _WIDTHS:
            raise ValueError("a value of the EXIF is of an unknown type")
        return self._slice(entry.span)

    def _slice(self, span: Span) -> bytes:
        if span[1] > len(self.data):
            raise ValueError("a value of the EXIF reaches beyond its end")
        return bytes(self.data[slice(*span)])

    def spans(self, directories: Iterable[Directory]) -> list[Span]:
        """Byte ranges that these directories use: header, tables and values."""
        spans = [(0, HEADER_BYTES)]
        for directory in directories:
            start, end = directory.span
            spans.append((start, end + 4))
            spans += [entry.span for entry in directory.entries if not entry.is_inline]
        return spans

    def wipe(self, spans: Iterable[Span], kept: Iterable[Span] = ()) -> int:
        """Zero all bytes in `spans` except the header and what is `kept`.

        Returns:
            Where the last bytes that were not zeroed end.
        """
        doomed = np.zeros(len(self.data), bool)
        for span in spans:
            doomed[slice(*span)] = True
        for span in [(0, HEADER_BYTES), *kept]:
            doomed[slice(*span)] = False
        np.frombuffer(self.data, np.uint8)[doomed] = 0
        return int(np.flatnonzero(~doomed)[-1]) + 1

    def take_out(self, directory: Directory, entries: Collection[Entry]) -> None:
        """Remove entries from their directory; later entries move up, nothing else moves."""
        start, end = directory.span
        rest = [
            self.data[entry.at : entry.at + _ENTRY_BYTES]
            for entry in directory.entries
            if entry not in entries
        ]
        count = struct.pack(self.order + "H", len(rest))
        table = b"".join([count, *rest, self.data[end : end + 4]])
        room = min(end + 4, len(self.data)) - start
        self.data[start : start + room] = table.ljust(room, b"\0")

    def put_integer(self, entry: Entry, value: int) -> None:
        """Set an entry to one 32-bit integer."""
        struct.pack_into(self.order + "HII", self.data, entry.at + 2, LONG, 1, value)

    def put_short(self, entry: Entry, value: int) -> None:
        """Set an entry to one 16-bit integer."""
        struct.pack_into(self.order + "HIHH", self.data, entry.at + 2, _SHORT, 1, value, 0)

    def put_next(self, directory: Directory, place: int) -> None:
        """Set the offset of the next directory."""
        struct.pack_into(self.order + "I", self.data, directory.span[1], place)
