"""Units of coded images in AVIF and HEIC: count the bytes of those that no pixel is made of.

Decoders skip units of types that they do not know, messages and padding.

Source: AV1 bitstream specification 5.3 (OBU) and 6.2; ITU-T H.265 table 7-1 (NAL unit types);
ISO/IEC 14496-15 8.3.3 (lengths of NAL units).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.containers.surplus import Held, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.containers.items import Items

_PIXEL_OBUS = frozenset({1, 2, 3, 4, 6, 7, 8})
"""Sequence header, temporal delimiter, frames with their headers and tiles."""
_HAS_EXTENSION, _HAS_SIZE = 4, 2
_MORE, _MOST_SIZE_BYTES = 0x80, 8
"""Of a number of variable length (leb128)."""
_LENGTH_AT = 21
"""Place in hvcC of the bytes of a length, less one."""
_MOST_PIXEL_NAL, _MESSAGES, _FILLER = 37, frozenset({39, 40}), 38
"""NAL units up to the first number are slices, parameters and delimiters."""
_ENCODER = b"x265"
"""In the message that an encoder leaves of itself."""


def held(items: Items, data: bytes) -> list[Held]:
    """Count what the items of the primary image and of its alpha channel hold beside pixels."""
    alpha = items.alpha()
    numbers = [*items.parts(items.primary), *([] if alpha is None else items.parts(alpha))]
    found = []
    for number in dict.fromkeys(numbers):
        kind, content = items.kind_of(number), items.content(number, data)
        if kind == b"av01":
            found.append(Held(0, sum(_of_av1(content))))
        elif kind == b"hvc1":
            coding = dict(items.properties.get(number, ())).get(b"hvcC", b"")
            found.append(Held(0, sum(_of_hevc(content, coding))))
    return found


def _of_av1(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        head, start = content[at], at
        at += 2 if head & _HAS_EXTENSION else 1
        size = len(content) - at
        if head & _HAS_SIZE:
            size, at = _number(content, at)
        if at + size > len(content):  # no unit, or one that decoders judge
            yield count(content[start:]) if start else 0
            return
        if head >> 3 & 15 not in _PIXEL_OBUS:
            yield count(content[at : at + size])
        at += size


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Read a number, and the offset behind it."""
    value = 0
    for index, byte in enumerate(content[at : at + _MOST_SIZE_BYTES]):
        value |= (byte & ~_MORE) << 7 * index
        if not byte & _MORE:
            return value, at + index + 1
    return value, len(content)


def _of_hevc(content: bytes, coding: bytes) -> Iterator[int]:
    if len(coding) <= _LENGTH_AT:
        return
    length_bytes = (coding[_LENGTH_AT] & 3) + 1
    at = 0
    while at + length_bytes < len(content):
        size = int.from_bytes(content[at : at + length_bytes])
        at += length_bytes
        unit = content[at : at + size]
        kind = unit[0] >> 1 & 63 if unit else 0
        is_encoders = kind in _MESSAGES and _ENCODER in unit
        if kind > _MOST_PIXEL_NAL and kind != _FILLER and not is_encoders:
            yield count(unit)
        at += size
