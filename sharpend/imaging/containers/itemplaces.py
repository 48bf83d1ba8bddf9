"""Places of the items of AVIF and HEIF in their file.

Source: ISO/IEC 14496-12, 8.11.3 (iloc).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.containers.isobmff import Fields
from sharpend.imaging.reading import damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_FILE, IN_META = 0, 1
"""Methods: offsets count from the start of the file, or of idat."""
_VERSION_BYTES = 4
_WIDE_COUNTS = 2
"""The version of iloc from which on counts and numbers of items have 32 bits."""


class Place(NamedTuple):
    """Location of one item in the file."""

    method: int
    extents: tuple[tuple[int, int], ...]
    """Offset and length of each part."""


class PlaceEntry(NamedTuple):
    """Entry of one item in the box."""

    item: int
    place: Place
    start: int
    """Offsets in the box of its first byte and behind its last one."""
    end: int


def count_bytes(iloc: bytes) -> int:
    """Return the size of the count of entries, which stands behind the sizes of their fields."""
    return 4 if iloc[0] >= _WIDE_COUNTS else 2


def entries_of(iloc: bytes) -> Iterator[PlaceEntry]:
    """Iterate over the entries of a box; none where it is empty.

    Raises:
        ImageRefusedError: `damaged`.
    """
    if not iloc:
        return
    fields = Fields(iloc)
    version = fields.number(_VERSION_BYTES) >> 24
    sizes = fields.octets(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (
        half for size in sizes for half in (size >> 4, size & 15)
    )
    number_bytes = count_bytes(iloc)
    for _ in range(fields.number(number_bytes)):
        start = fields.at
        item = fields.number(number_bytes)
        method = fields.number(2) & 15 if version else IN_FILE
        fields.number(2)  # the file itself, where data may lie elsewhere
        base = fields.number(base_bytes)
        extents = []
        count = fields.number(2)
        if count > 1 and not offset_bytes + length_bytes:
            raise damaged("an item lies at the same offset many times")
        for _ in range(count):
            fields.number(index_bytes if version else 0)
            offset = base + fields.number(offset_bytes)
            extents.append((offset, fields.number(length_bytes)))
        yield PlaceEntry(item, Place(method, tuple(extents)), start, fields.at)
