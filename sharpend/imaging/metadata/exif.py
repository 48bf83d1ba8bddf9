"""EXIF blocks: remove GPS data, remove or replace the thumbnail.

Owns what in an EXIF block tells, or may tell, where an image was taken. Bytes are patched where
they lie and nothing moves: maker notes hold offsets that only the camera maker could fix. When it
is done, and in XMP, IPTC and PNG text too, is up to `imaging.metadata_policy`.

Source: EXIF 2.32 (CIPA DC-008) sections 4.5.4 (thumbnails) and 4.6.
"""

from __future__ import annotations

import re
import struct
from itertools import chain, islice
from typing import TYPE_CHECKING

from sharpend.imaging.metadata import xmp
from sharpend.imaging.metadata.exifblock import HEADER_BYTES, POINTER, POINTERS, ExifBlock
from sharpend.imaging.metadata.ifd import GPS, NEEDED, ORIENTATION, is_understood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharpend.imaging.metadata.exifblock import Directory, Entry, Span

_XMP, _PHOTOSHOP = 0x02BC, 0x8649
_MOST_INNER = 4
"""Blocks within a block: each is read through."""
_ENTRY = struct.Struct("<HHI4s")
_INLINE_BYTES = 4
_TURNED = range(2, 9)
_STRIPS = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Tags of a thumbnail's offset and length: as a JPEG, or uncompressed."""
_POSITION_RESOURCES = (b"8BIM\x04\x22", b"8BIM\x04\x23", b"8BIM\x04\x24")
"""Prefixes of Photoshop's resources with EXIF and XMP."""
_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_METADATA = re.compile(rb"\xff(?:[\xe1\xe3-\xed\xef]|\xe2(?!..ICC_PROFILE))", re.DOTALL)
"""Segments of a thumbnail that may hold metadata: neither JFIF nor a profile nor Adobe's."""


def without_gps(exif: bytes) -> bytes:
    """Remove the GPS directory, and anything else that may tell the position.

    Maker notes and private tags go, whose content nobody else understands, and so do an XMP packet
    or Photoshop resources within the block if they may hold a position, a thumbnail with metadata
    of its own, and bytes that no entry has. What goes becomes zeros; all other bytes stay equal
    and where they are. A block in which nothing is left becomes empty.

    Args:
        exif: with or without its prefix, of either byte order; empty is allowed.

    Raises:
        ValueError: the block contradicts itself, so positions in it cannot be located.
    """
    if not exif:
        return exif
    block = ExifBlock(exif)
    directories, positions = _positions(block)
    wiped = list(chain.from_iterable(_reachable_spans(block, entry) for entry in positions))
    tables = [(0, HEADER_BYTES), *(directory.span for directory in directories)]
    if any(_overlap(span, table) for span in wiped for table in tables):
        raise ValueError("the EXIF's GPS directory overlaps another")
    unknown = set(_unknown(directories))
    for directory in directories:
        block.take_out(directory, positions | unknown)
    rest = ExifBlock(_without_telling_thumbnail(_claimed(bytes(block))))
    if _positions(rest)[1]:
        raise ValueError("the EXIF's directories overlap")
    return b"" if _is_empty(rest) else bytes(rest)


def holds_gps(exif: bytes) -> bool:
    """Return whether a block holds a position that is understood, or cannot be read."""
    try:
        return bool(exif) and (
            bool(_positions(ExifBlock(exif))[1]) or _without_telling_thumbnail(exif) != exif
        )
    except ValueError:
        return True


def unknown_tags(exif: bytes) -> set[int]:
    """Return the tags of a block that no standard explains; none of one that cannot be read."""
    try:
        return {entry.tag for entry in _unknown(ExifBlock(exif).directories())}
    except ValueError:
        return set()


def _unknown(directories: Iterable[Directory]) -> Iterator[Entry]:
    """Iterate over the entries whose content no standard explains."""
    for entry in chain.from_iterable(directory.entries for directory in directories):
        is_pointer = entry.kind == POINTER and entry.tag not in POINTERS | {GPS}
        if is_pointer or not entry.has_type or not is_understood(entry.tag):
            yield entry


def _claimed(exif: bytes) -> bytes:
    """Set all bytes to zero that no entry has, and no thumbnail."""
    block = ExifBlock(exif)
    directories = block.directories()
    kept = block.spans(directories)
    for directory in directories:
        for tags in _STRIPS:
            kept += _strips(block, directory, tags)
    block.wipe([(0, len(block.data))], kept)
    return bytes(block)


def _positions(block: ExifBlock) -> tuple[list[Directory], set[Entry]]:
    """All directories but GPS, and the entries in them that hold or may hold a position."""
    directories = block.directories()
    entries = list(chain.from_iterable(directory.entries for directory in directories))
    if sum(entry.tag in {_XMP, _PHOTOSHOP} for entry in entries) > _MOST_INNER:
        raise ValueError("the EXIF holds XMP or Photoshop's resources many times")
    return directories, {entry for entry in entries if _has_position(block, entry)}


def _has_position(block: ExifBlock, entry: Entry) -> bool:
    try:
        if entry.tag == _XMP:
            packet = block.value(entry)
            return xmp.without_gps(packet) != packet
        if entry.tag == _PHOTOSHOP:
            return any(start in block.value(entry) for start in _POSITION_RESOURCES)
    except ValueError:
        return True  # for all that can be told
    return entry.tag == GPS


def _reachable_spans(block: ExifBlock, entry: Entry) -> list[Span]:
    """Byte ranges that are reachable through one entry only."""
    if entry.tag != GPS:
        return [] if entry.is_inline else [entry.span]
    spans = []
    for place in block.targets(entry):
        if place > len(block.data) - 2:
            continue  # outside of the block: unreadable
        directory = block.directory(place)
        _check_values(block, directory)
        spans += [directory.span, *(each.span for each in directory.entries)]
    return spans


def _without_telling_thumbnail(exif: bytes) -> bytes:
    head = thumbnail_of(exif).partition(_JPEG_SCAN)[0]
    return without_thumbnail(exif) if _JPEG_METADATA.search(head) else exif


def _is_empty(block: ExifBlock) -> bool:
    main = block.directory(block.first)
    return not main.entries and not main.next


def orientation_of(exif: bytes) -> int:
    """Read the orientation, 1 (upright) to 8; 1 if it is missing or unreadable."""
    try:
        block = ExifBlock(exif)
        entry = block.directory(block.first).find(ORIENTATION)
        values = block.integers(entry) if entry else ()
    except ValueError:
        return 1
    return values[0] if len(values) == 1 and values[0] in _TURNED else 1


def upright(exif: bytes) -> bytes:
    """Set the orientation to 1 in place; a block without one stays unchanged.

    Raises:
        ValueError: the block contradicts itself.
    """
    if orientation_of(exif) == 1:
        return exif
    block = ExifBlock(exif)
    entry = block.directory(block.first).find(ORIENTATION)
    assert entry is not None  # noqa: S101 - it was read
    block.put_short(entry, 1)
    return bytes(block)


def only_needed(exif: bytes) -> bytes:
    """Build a block, with the same prefix and byte order, of only orientation and resolution.

    Returns:
        Empty where neither is told, as far as can be read.
    """
    try:
        block = ExifBlock(exif)
        entries = [e for e in block.directory(block.first).entries if e.tag in NEEDED]
        values = [block.value(entry) for entry in entries]
    except ValueError:
        return b""
    if not entries:
        return b""
    header = bytes(block.data[:4]) + struct.pack(block.order + "I", HEADER_BYTES)
    behind = HEADER_BYTES + 2 + len(entries) * _ENTRY.size + 4
    main, tail = struct.pack(block.order + "H", len(entries)), b""
    for entry, value in zip(entries, values, strict=True):
        main += struct.pack(block.order + "HHI", entry.tag, entry.kind, entry.count)
        if len(value) > _INLINE_BYTES:
            main += struct.pack(block.order + "I", behind + len(tail))
            tail += value + bytes(len(value) & 1)
        else:
            main += value.ljust(_INLINE_BYTES, b"\0")
    return block.prefix + header + main + bytes(4) + tail


def thumbnail_of(exif: bytes) -> bytes:
    """Extract the embedded JPEG; empty if there is none or it cannot be found."""
    try:
        block = ExifBlock(exif)
        thumbnails = _find_thumbnail(block)
    except ValueError:
        return b""
    return b"".join(bytes(block.data[slice(*span)]) for _, span in thumbnails)


def with_thumbnail(exif: bytes, jpeg: bytes) -> bytes:
    """Replace the JPEG thumbnail; the block stays unchanged if it has none.

    A JPEG that fits takes the old one's place, a larger one comes last. Bytes that do not belong
    to the thumbnail stay equal and where they are.

    Raises:
        ValueError: the block contradicts itself.
    """
    if not thumbnail_of(exif):
        return exif
    block = ExifBlock(exif)
    for (place, length), (start, end) in _find_thumbnail(block):
        kept = block.spans(block.directories([GPS]))
        tail = block.wipe([(start, end)], kept)
        at = start
        if len(jpeg) > end - start or any(_overlap((start, end), span) for span in kept):
            at = tail + (tail & 1)
            block.data[tail:] = bytes(at - tail)
        block.data[at : at + len(jpeg)] = jpeg
        block.put_integer(place, at)
        block.put_integer(length, len(jpeg))
    return bytes(block)


def without_thumbnail(exif: bytes) -> bytes:
    """Remove the thumbnail and its directory; the block stays unchanged if it has none.

    Their bytes are zeroed, and cut off where they were the last.

    Raises:
        ValueError: the block contradicts itself.
    """
    if not exif:
        return exif
    block = ExifBlock(exif)
    main, *further = block.chain()
    if not further:
        return exif
    wiped = block.spans(further)
    for directory in further:
        _check_values(block, directory)
        for tags in _STRIPS:
            wiped += _strips(block, directory, tags)
    others = [each for each in block.directories([GPS]) if each not in further]
    block.put_next(main, 0)
    del block.data[block.wipe(wiped, block.spans(others)) :]
    return bytes(block)


def _find_thumbnail(block: ExifBlock) -> list[tuple[tuple[Entry, Entry], Span]]:
    """Find the one JPEG thumbnail, if any: its entries, offset and length, and its bytes."""
    for directory in islice(block.chain(), 1, 2):
        place, length = (directory.find(tag) for tag in _STRIPS[0])
        if place and length:
            return [
                ((place, length), span)
                for span in _strips(block, directory, _STRIPS[0])[:1]
                if block.data.startswith(_JPEG_START, *span) and span[1] <= len(block.data)
            ]
    return []


def _strips(block: ExifBlock, directory: Directory, tags: tuple[int, int]) -> list[Span]:
    """Byte ranges of a thumbnail's data, as its offset and length tags give them."""
    places, lengths = (directory.find(tag) for tag in tags)
    if not places or not lengths:
        return []
    pairs = zip(block.integers(places), block.integers(lengths), strict=False)
    return [(place, place + length) for place, length in pairs]


def _check_values(block: ExifBlock, directory: Directory) -> None:
    """Refuse values outside of the block, which cannot be zeroed."""
    for entry in directory.entries:
        block.value(entry)


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
