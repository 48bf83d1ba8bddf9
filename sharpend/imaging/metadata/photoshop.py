"""Photoshop image resources (8BIM) of JPEG and TIFF: parse them, and remove GPS data.

Owns the layout of the block. Of its many resources only copies of EXIF and XMP are opened; IPTC,
which names places but has no coordinates, stays as it is. Those of plug-ins nobody else
understands.

Source: Adobe Photoshop file formats specification (2019), "Image resource blocks".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.imaging.metadata import exif, xmp
from sharpend.imaging.metadata.blocks import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.imaging.metadata.blocks import Carried

PREFIX = b"Photoshop 3.0\0"
"""Prefix of the block in JPEG's APP13 segment; TIFF's tag 34377 has none."""
IPTC = 0x0404

_SIGNATURES = frozenset({b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"})
_NAME_AT = 6
_DOCUMENTED = {*range(1000, 1100), *range(2000, 3000), *range(7000, 7006), 8000, 10000}
"""Numbers of resources that the specification explains."""
_WITH_POSITIONS: Mapping[int | None, Callable[[bytes], bytes]] = {
    0x0422: exif.without_gps,
    0x0423: exif.without_gps,
    0x0424: xmp.without_gps,
}


def without_gps(payload: bytes) -> bytes:
    """Remove GPS data from the block's copies of EXIF and XMP; all else that is known stays equal.

    A resource that no specification explains goes as a whole, and so does a copy that cannot be
    understood, or in which nothing is left.

    Args:
        payload: with or without its prefix. A block that JPEG spread over several segments must
            have been put together again.

    Raises:
        ValueError: it is no block of resources, so its content is unknown.
    """
    block = payload.removeprefix(PREFIX)
    prefix = payload[: len(payload) - len(block)]
    return prefix + b"".join(map(_cleaned, _resources(block)))


def unknown(payload: bytes) -> list[int]:
    """Return the numbers of resources that no specification explains; none of a damaged block."""
    try:
        every = [each.number for each in _resources(payload.removeprefix(PREFIX))]
    except ValueError:
        return []
    return [each for each in every if each is not None and each not in _DOCUMENTED]


def has(payload: bytes, number: int) -> bool:
    """Return whether the block holds a resource; False if it is damaged before that."""
    try:
        return any(each.number == number for each in _resources(payload.removeprefix(PREFIX)))
    except ValueError:
        return False


def joined(carried: Carried) -> Carried:
    """Join the resources of several JPEG segments into one block."""
    if carried.block(Kind.PHOTOSHOP) is None:
        return carried
    first, *further = (block for block in carried.blocks if block.kind is Kind.PHOTOSHOP)
    whole = replace(first, data=b"".join(part.data for part in (first, *further)))
    rest = [block for block in carried.blocks if block not in further]
    return replace(carried, blocks=tuple(whole if block is first else block for block in rest))


@dataclass(frozen=True, slots=True)
class _Resource:
    """One resource: its number (None: padding after the last), and its bytes in parts."""

    number: int | None
    head: bytes
    """Signature, number and name; the length of the content follows."""
    content: bytes
    tail: bytes = b""
    """A padding byte after content of odd length, which some writers leave out at the end."""

    def __bytes__(self) -> bytes:
        length = b"" if self.number is None else len(self.content).to_bytes(4)
        return self.head + length + self.content + self.tail


def _cleaned(resource: _Resource) -> bytes:
    if resource.number is not None and resource.number not in _DOCUMENTED:
        return b""
    clean = _WITH_POSITIONS.get(resource.number)
    if clean is None:
        return bytes(resource)
    try:
        content = clean(resource.content)
    except ValueError:
        return b""
    if content == resource.content:
        return bytes(resource)
    tail = bytes(len(content) & 1)
    return bytes(replace(resource, content=content, tail=tail)) if content else b""


def _resources(block: bytes) -> Iterator[_Resource]:
    """Parse the resources of a block, in order.

    Raises:
        ValueError: what comes next is no resource.
    """
    at = 0
    while block[at : at + 4] in _SIGNATURES:
        name = at + _NAME_AT
        head_end = name + _padded(1 + int.from_bytes(block[name : name + 1]))
        start = head_end + 4
        end = start + int.from_bytes(block[head_end:start])
        if start > len(block) or end > len(block):
            raise ValueError("a resource of Photoshop reaches beyond the block")
        head, number = block[at:head_end], int.from_bytes(block[at + 4 : name])
        at = start + _padded(end - start)
        yield _Resource(number, head, block[start:end], block[end:at])
    if block[at:].strip(b"\0"):
        raise ValueError("not a block of Photoshop's resources")
    yield _Resource(None, b"", block[at:])


def _padded(length: int) -> int:
    """Pad names and contents to an even number of bytes."""
    return length + (length & 1)
