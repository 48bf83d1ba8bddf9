"""BMP headers of every version: sizes, bit masks, colour space and profile.

Owns which variants are read. Refuses those that nothing here decodes by their own name.

Source: the BITMAPCOREHEADER, BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER structures of the
Windows GDI documentation; OS/2 2.0 Presentation Manager, BITMAPINFOHEADER2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sharpend.imaging.reading import damaged, unsupported
from sharpend.imaging.source import bit_depth

if TYPE_CHECKING:
    from sharpend.imaging.reading import Reader

FILE_BYTES = 14
CORE, INFO, OS2, V4, V5 = 12, 40, 64, 108, 124
"""Lengths of the headers, which tell their versions."""
_WITH_ALPHA_MASK = 56
_MASKS_AT = FILE_BYTES + INFO
RGB, RLE8, RLE4, FIELDS, JPEG, PNG, ALPHA_FIELDS = range(7)
"""Compressions: BI_RGB, BI_RLE8, ..."""
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})
PALETTE_BITS = 8
_STANDARD = {16: (0x7C00, 0x03E0, 0x001F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0)}
_STANDARD[32] = _STANDARD[24]
"""Bit masks of red, green, blue and alpha without any in the file."""
_SPACE_AT, _SPACE_BYTES, _INTENT_AT = 70, 52, 122
EMBEDDED, LINKED = b"DEBM", b"KNIL"
"""Colour space types (little-endian) of a profile in the file, and in a file of its own."""


@dataclass(frozen=True, slots=True)
class BmpHeader:
    """Facts from the file header and the bitmap header."""

    length: int
    """Of the bitmap header."""
    height: int
    """Negative where the first row is the topmost."""
    width: int
    bits: int
    """Per pixel."""
    compression: int
    start: int
    """Offset of the pixels: behind all headers where the file has 0, as some writers do."""
    masks: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Red, green, blue, alpha; 0 where there is none."""
    space: bytes = b""
    """V4 and V5: colour space type, endpoints, gamma and intent, 56 bytes as stored."""
    profile: tuple[int, int] = (0, 0)
    """V5: offset and size of the profile."""
    size: int = 0
    """Bytes of compressed pixels, where declared."""
    colors: int = 0
    """Entries of the palette, where declared."""

    @property
    def row_bytes(self) -> int:
        """Length of a row of uncompressed pixels."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def end_of_rows(self) -> int:
        """Offset behind the last row of uncompressed pixels."""
        return self.start + abs(self.height) * self.row_bytes

    @property
    def end(self) -> int:
        """Offset behind the header, the masks and the palette."""
        masks = 0
        if self.length == INFO and self.compression in {FIELDS, ALPHA_FIELDS}:
            masks = 12 if self.compression == FIELDS else 16
        colors = self.colors or (1 << self.bits if self.bits <= PALETTE_BITS else 0)
        return FILE_BYTES + self.length + masks + colors * (3 if self.length == CORE else 4)


def header(reader: Reader) -> BmpHeader:
    """Parse the headers.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, `bit_depth`; `format_not_allowed` for a variant
            that is not read.
    """
    start, length = struct.unpack("<II", reader.at(10, 8))
    if length == CORE:
        width, height, _, bits = struct.unpack("<HHHH", reader.at(18, 8))
        found = BmpHeader(length, height, width, bits, RGB, start, _STANDARD.get(bits, (0,) * 4))
    elif length < INFO:
        raise unsupported(f"its BMP header of {length} bytes is of a rare version")
    else:
        width, height, _, bits, compression, size = struct.unpack("<iiHHII", reader.at(18, 20))
        colors = int.from_bytes(reader.at(46, 4), "little")
        if colors > 1 << PALETTE_BITS:
            colors = 0
        found = BmpHeader(
            length,
            height,
            width,
            bits,
            compression,
            start,
            size=size,
            colors=colors,
            masks=_masks(reader, length, bits, compression),
            **_space(reader, length),
        )
    _check(found)
    return found if start else replace(found, start=found.end)


def _masks(reader: Reader, length: int, bits: int, compression: int) -> tuple[int, int, int, int]:
    if compression not in {FIELDS, ALPHA_FIELDS} or length == OS2:
        return _STANDARD.get(bits, (0, 0, 0, 0))
    has_alpha = length >= _WITH_ALPHA_MASK or compression == ALPHA_FIELDS
    red, green, blue, *alpha = struct.unpack(
        "<4I" if has_alpha else "<3I", reader.at(_MASKS_AT, 16 if has_alpha else 12)
    )
    return red, green, blue, alpha[0] if alpha else 0


def _space(reader: Reader, length: int) -> dict[str, Any]:
    if length < V4:
        return {}
    space = reader.at(_SPACE_AT, _SPACE_BYTES)
    if length < V5:
        return {"space": space + bytes(4)}
    intent, offset, size = struct.unpack("<4sII", reader.at(_INTENT_AT, 12))
    has_profile = space[:4] in {EMBEDDED, LINKED}
    return {
        "space": space + intent,
        "profile": (FILE_BYTES + offset, size) if has_profile else (0, 0),
    }


def _check(found: BmpHeader) -> None:
    if found.width < 0:
        raise damaged(f"it declares a width of {found.width}", may_settle=False)
    if 0 < found.start < FILE_BYTES + found.length:
        raise damaged("its pixels begin inside its header", may_settle=False)
    if found.compression in {JPEG, PNG} and found.length != OS2:
        raise unsupported(f"it is a {'JPEG' if found.compression == JPEG else 'PNG'} inside a BMP")
    if found.compression > ALPHA_FIELDS or (found.length == OS2 and found.compression > RLE4):
        raise unsupported(f"it is a BMP of the rare compression {found.compression}")
    if found.bits not in _DEPTHS:
        raise bit_depth(f"of {found.bits} bits a pixel")
    if found.bits > PALETTE_BITS:
        for mask in found.masks:
            lowest = mask & -mask
            if mask and (mask // lowest) & (mask // lowest + 1):
                raise unsupported("it is a BMP whose bit masks have gaps")
            if mask and mask // lowest > 0xFF:  # noqa: PLR2004 - 8 bits
                raise bit_depth(f"of {(mask // lowest).bit_length()} bits")
