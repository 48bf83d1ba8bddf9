"""Units of coded images in AVIF and HEIC: count the bytes of those that no pixel is made of.

Decoders skip units of types that they do not know, messages and padding.

Source: AV1 bitstream specification 5.3 (OBU) and 6.2; ITU-T H.265 table 7-1 (NAL unit types);
ISO/IEC 14496-15 8.3.3 (lengths of NAL units).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.containers.surplus import Held, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
_MOST_SLICE, _NAL_HEAD_BYTES = 31, 2
"""Slices of an image have the same head, of type and layer."""
_ENCODER = b"x265"
"""In the message that an encoder leaves of itself."""


def held(items: Items, data: bytes, samples: Iterable[tuple[int, int]] = ()) -> list[Held]:
    """Count what the items of the primary image and of its alpha channel hold beside pixels.

    Args:
        items: of the file.
        data: the file.
        samples: places of further images in AV1, the frames of a sequence.
    """
    found = [Held(0, sum(_of_av1(data[start:end]))) for start, end in samples]
    for number in _numbers(items):
        kind, content = items.kind_of(number), items.content(number, data)
        if kind == b"av01":
            found.append(Held(0, sum(_of_av1(content))))
        elif kind == b"hvc1":
            found.append(Held(0, sum(_of_hevc(content, _length_bytes(items, number)))))
    return found


def without_tails(items: Items, data: bytes) -> bytes:
    """Replace what lies behind the last NAL unit of an item by zeros at the end of that unit.

    The decoder takes it for a unit that is cut, and refuses the file. What may be a cut slice
    stays; no length of the file changes.
    """
    changed = None
    for number in _numbers(items):
        if items.kind_of(number) == b"hvc1":
            content = items.content(number, data)
            whole = _without_tail(content, _length_bytes(items, number))
            if whole != content:
                changed = changed or bytearray(data)
                _put(changed, items, number, whole)
    return data if changed is None else bytes(changed)


def _numbers(items: Items) -> Iterator[int]:
    """Iterate over the items of the primary image and of its alpha channel."""
    shown = [items.primary, *items.alphas()]
    return iter(dict.fromkeys(part for number in shown for part in items.parts(number)))


def _length_bytes(items: Items, number: int) -> int:
    """Bytes of the length of each NAL unit of an item; 0 where it does not tell."""
    coding = dict(items.properties.get(number, ())).get(b"hvcC", b"")
    return (coding[_LENGTH_AT] & 3) + 1 if len(coding) > _LENGTH_AT else 0


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


def _of_hevc(content: bytes, length_bytes: int) -> Iterator[int]:
    end = 0
    for start, end in _units(content, length_bytes):
        unit = content[start:end]
        kind = unit[0] >> 1 & 63 if unit else 0
        is_encoders = kind in _MESSAGES and _ENCODER in unit
        if kind > _MOST_PIXEL_NAL and kind != _FILLER and not is_encoders:
            yield count(unit)
    yield count(content[end:]) if end else 0


def _units(content: bytes, length_bytes: int) -> Iterator[tuple[int, int]]:
    """Start and end of each whole NAL unit."""
    start = length_bytes
    while length_bytes and start <= len(content):
        end = start + int.from_bytes(content[start - length_bytes : start])
        if end > len(content):
            return
        yield start, end
        start = end + length_bytes


def _without_tail(content: bytes, length_bytes: int) -> bytes:
    units = [(start, end) for start, end in _units(content, length_bytes) if start < end]
    if not units:
        return content
    start, end = units[-1]
    tail_head = content[end + length_bytes : end + length_bytes + _NAL_HEAD_BYTES]
    heads = [content[at : at + _NAL_HEAD_BYTES] for at, _ in units]
    slices = [head for head in heads if head[0] >> 1 & 63 <= _MOST_SLICE]
    size = len(content) - start
    if (
        end == len(content)
        or size >> 8 * length_bytes
        or (tail_head and any(head.startswith(tail_head) for head in slices))
    ):
        return content
    length = size.to_bytes(length_bytes)
    return content[: start - length_bytes] + length + content[start:end] + bytes(len(content) - end)


def _put(data: bytearray, items: Items, number: int, content: bytes) -> None:
    """Write the content of an item, as long as it was, where it lies."""
    place = items.places[number]
    first, at = data.find(items.inner) if place.method else 0, 0
    for offset, length in place.extents:
        end = min(first + offset + length, len(data))
        size = max(0, end - first - offset)
        data[first + offset : first + offset + size] = content[at : at + size]
        at += size
