"""Items of AVIF and HEIF: extract and replace EXIF, and read references between items.

Pillow rebuilds EXIF that has an orientation, both when it reads and
when it writes: the thumbnail is lost, and offsets in maker notes break. So Pillow gets nothing
but the orientation, and the real block is extracted and inserted here.

Source: ISO/IEC 14496-12, 8.11.3 (iloc), 8.11.6 (iinf) and 8.11.12 (iref); 23008-12, A.2.1 (Exif).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.containers.isobmff import inside, meta_of
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OFFSET_BYTES = 4
"""An EXIF item begins with where, behind this number, its TIFF header lies."""
_IN_FILE, _IN_META = 0, 1
_WIDE_COUNTS = 2
"""The version of iloc from which on counts and numbers of items have 32 bits."""
_WIDE_IDS = 3
"""The version of infe, likewise."""
_EXTENT = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class _Place:
    """Location of one item in the file."""

    item: int
    method: int
    extents: tuple[tuple[int, int], ...]
    """Offset and length of each part."""


def exif_of(data: bytes) -> bytes:
    """Extract the EXIF block of a whole AVIF or HEIF, with its prefix if present; b"" if none."""
    told = meta_of(Reader(BytesIO(data)))
    place = _place_of_exif(told)
    if place is None:
        return b""
    if place.method not in {_IN_FILE, _IN_META}:
        raise damaged("its EXIF is at an impossible offset")
    source = told.get(b"idat", b"") if place.method == _IN_META else data
    item = b"".join(source[offset : offset + length] for offset, length in place.extents)
    block = item[_OFFSET_BYTES:]
    return block if block.startswith(PREFIX) else block[int.from_bytes(item[:_OFFSET_BYTES]) :]


def is_premultiplied(data: bytes) -> bool:
    """Return whether a whole AVIF stores its colours multiplied by alpha."""
    references = meta_of(Reader(BytesIO(data))).get(b"iref", b"")
    return any(kind == b"prem" for kind, _ in inside(references[4:]))


def with_exif(encoded: bytes, block: bytes) -> bytes:
    """Replace the EXIF that the encoder was given by this block.

    Args:
        encoded: as libavif writes it, with any EXIF; its own block stays behind as dead bytes.
        block: with or without its prefix.
    """
    place = _place_of_exif(meta_of(Reader(BytesIO(encoded))))
    assert place is not None  # noqa: S101 - the encoder was given one
    before = len(PREFIX) if block.startswith(PREFIX) else 0
    item = before.to_bytes(_OFFSET_BYTES) + block
    start, end = place.extents[0][0], encoded.index(b"mdat")
    # An animation tells of the item twice: for its first frame and for its track.
    told = encoded[:end].replace(
        _EXTENT.pack(*place.extents[0]), _EXTENT.pack(len(encoded) + 8, len(item))
    )
    assert start >= end  # noqa: S101 - the item lies in the media data, which follows
    return told + encoded[end:] + (8 + len(item)).to_bytes(4) + b"mdat" + item


def _place_of_exif(meta: Mapping[bytes, bytes]) -> _Place | None:
    wanted = [item for item, kind in _kinds(meta.get(b"iinf", b"")) if kind == b"Exif"][:1]
    return next((each for each in _places(meta.get(b"iloc", b"")) if [each.item] == wanted), None)


def _kinds(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and type of each item."""
    if not iinf:
        return
    for _, body in inside(iinf[8 if iinf[0] else 6 :]):
        wide = body[0] >= _WIDE_IDS
        end = 8 if wide else 6
        yield int.from_bytes(body[4:end]), body[end + 2 : end + 6]


def _places(iloc: bytes) -> Iterator[_Place]:
    """Location of each item."""
    if not iloc:
        return
    version, sizes = iloc[0], iloc[4:6].hex()
    offset_bytes, length_bytes, base_bytes, index_bytes = map(int, sizes)
    number_bytes = 4 if version >= _WIDE_COUNTS else 2
    file = BytesIO(iloc[6:])

    def number(count: int) -> int:
        found = file.read(count)
        if len(found) < count:
            raise damaged("its list of items ends early")
        return int.from_bytes(found)

    for _ in range(number(number_bytes)):
        item = number(number_bytes)
        method = number(2) & 15 if version else _IN_FILE
        number(2)  # the file itself, where data may lie elsewhere
        base = number(base_bytes)
        extents = []
        for _ in range(number(2)):
            number(index_bytes if version else 0)
            offset = base + number(offset_bytes)
            extents.append((offset, number(length_bytes)))
        yield _Place(item, method, tuple(extents))
