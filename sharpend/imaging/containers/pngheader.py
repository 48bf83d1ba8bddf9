"""PNG header: size, depth and colour type, and the chunks without which there are no pixels.

Source: PNG specification, third edition (W3C, 2025), sections 5.6 and 11.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.containers.pngchunks import IHDR_BYTES
from sharpend.imaging.formats import Format
from sharpend.imaging.reading import Reader, damaged, unsupported
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from sharpend.imaging.containers.pngchunks import Parts

PALETTE = 3
"""Colour type."""
_COLOR_TYPE_AT, _METHODS_AT = 9, 27
"""Places of the colour type in IHDR, and of filter and interlacing in the file."""
_PRESET_DICTIONARY = 0x20
"""Flag in the second byte of a zlib stream (RFC 1950)."""
_ZLIB_DIVISOR = 31
"""Of the first two bytes of every zlib stream."""
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""By colour type."""


def probe(reader: Reader) -> Header:
    """Read the IHDR chunk.

    Raises:
        ImageRefusedError: `damaged`; `format_not_allowed` for Apple's own form.
    """
    length, kind, width, height, bits, color_type = struct.unpack(">I4sIIBB", reader.at(8, 18))
    if kind == b"CgBI":
        raise unsupported("it is a PNG in Apple's own form (CgBI)")
    if kind != b"IHDR" or length != IHDR_BYTES:
        raise damaged("a PNG must begin with its header", may_settle=False)
    if bits not in _DEPTHS.get(color_type, ()):
        what = f"{bits} bits and the colour type {color_type}"
        raise damaged(f"its header declares {what}, which PNG does not have", may_settle=False)
    if any(field > most for field, most in zip(reader.at(_METHODS_AT, 2), (0, 1), strict=True)):
        raise damaged("its header declares an unknown filter or interlacing", may_settle=False)
    return Header(Format.PNG, height, width, bits)


def check(found: Parts) -> None:
    """Refuse an image whose pixels lack a chunk, or whose chunks contradict each other.

    Raises:
        ImageRefusedError: `damaged`.
    """
    kinds = [kind for kind, _ in found.sound()]
    if b"IDAT" not in kinds:
        raise damaged("it has no compressed pixels (IDAT)")
    packed = b"".join(body for kind, body in found.sound() if kind == b"IDAT")[:2]
    is_zlib = len(packed) > 1 and not int.from_bytes(packed) % _ZLIB_DIVISOR
    if is_zlib and packed[1] & _PRESET_DICTIONARY:
        what = "its compressed pixels need a preset dictionary, which PNG does not have"
        raise damaged(what, may_settle=False)
    if kinds.count(b"IHDR") > 1:
        raise damaged("it has more than one header (IHDR)")
    if (
        found.chunks[0].body[_COLOR_TYPE_AT] == PALETTE
        and b"PLTE" not in kinds[: kinds.index(b"IDAT")]
    ):
        raise damaged("its palette (PLTE) does not come before its pixels")
