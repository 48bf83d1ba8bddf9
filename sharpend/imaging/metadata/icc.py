"""ICC profiles: extract them from any container, and parse their tags.

Source: ICC.1:2022, section 7 (layout), 9.2.17 (cicp); ICC.1:2010, B.4 (pieces in JPEG); PNG
specification, 11.3.2.3 (iCCP).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from sharpend.imaging.metadata.blocks import Block, Kind
from sharpend.imaging.reading import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharpend.imaging.metadata.blocks import Carried

_IN_JPEG = b"\xe2ICC_PROFILE\0"
"""Marker and signature of a segment with a piece: its number, their number, bytes."""
_PIECE_BYTES = 65_519
"""Of a profile in one segment: 65,535 less its length field, signature and numbers."""
_MOST_TAGS = 100
_TAG = struct.Struct(">4sII")


def profile_of(carried: Carried) -> bytes:
    """Extract the ICC profile of an image; b"" if there is none."""
    block = carried.block(Kind.ICC)
    if block is None:
        return b""
    if block.where == b"iCCP":  # a name, its end, the method, the profile
        packed = block.data.partition(b"\0")[2][1:]
        return zlib.decompressobj().decompress(packed, LARGEST)
    if not block.where.startswith(_IN_JPEG[:1]):
        return block.data
    pieces = sorted(each.data for each in carried.blocks if each.kind is Kind.ICC)
    return b"".join(piece[2:] for piece in pieces)


def is_complete(blocks: Iterable[Block]) -> bool:
    """Return whether no piece of a JPEG's profile is missing; without a profile, none is."""
    pieces = [block.data[:2] for block in blocks if block.kind is Kind.ICC]
    numbers = {piece[0] for piece in pieces if len(piece) > 1}
    return all(len(piece) > 1 and numbers >= set(range(1, piece[1] + 1)) for piece in pieces)


def in_pieces(profile: bytes) -> tuple[Block, ...]:
    """Split a profile into the contents of JPEG segments."""
    pieces = [profile[at : at + _PIECE_BYTES] for at in range(0, len(profile), _PIECE_BYTES)]
    return tuple(
        Block(Kind.ICC, bytes((number, len(pieces))) + piece, _IN_JPEG)
        for number, piece in enumerate(pieces, start=1)
    )


def tags(profile: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the tags of a profile: name and content."""
    count = min(int.from_bytes(profile[128:132]), _MOST_TAGS, (len(profile) - 132) // _TAG.size)
    for name, offset, size in _TAG.iter_unpack(profile[132 : 132 + max(count, 0) * _TAG.size]):
        yield name, profile[offset : offset + size]
