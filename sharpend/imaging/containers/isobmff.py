"""ISO base media file format: parse boxes, and check that a file has all of them.

Parses the layout; items are parsed by `items`, boxes of a codec by the module of its format.

Source: ISO/IEC 14496-12, 4.2 (boxes), 8.1.2 (free and skip) and 12.1.5 (nclx).
"""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.reading import Reader, damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BOXES = 10_000
_HEAD_BYTES = 8
_VERSION_BYTES = 4
"""A full box's version and flags."""
_PADDING = frozenset({b"free", b"skip"})
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"edts"})
"""Boxes that `leaves` opens."""
_KNOWN = _PADDING | {
    *(b"ftyp", b"styp", b"meta", b"mdat", b"idat", b"moov", b"moof", b"mpvd", b"uuid", b"wide"),
    *(b"sefd", b"JXL ", b"jxlc", b"jxlp", b"jxll", b"jxli", b"jbrd", b"brob", b"Exif", b"xml "),
    *(b"jumb", b"jhgm"),
}
"""Boxes at the top of a file: where the last one reaches beyond the end, the file is cut."""
_DATA = {b"mdat", b"jxlc", b"jxlp"}
"""Boxes at the top of a file that hold the data of images; `idat` in `meta` does, too."""
PADDING_CUT = "the padding at its end is cut short; it was complete otherwise"
"""Name for notes."""


class Fields:
    """Numbers of a box in their order, big-endian.

    Args:
        content: of the box.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def octets(self, count: int) -> bytes:
        """Read the next bytes.

        Raises:
            ImageRefusedError: `damaged`, where fewer are left.
        """
        found = self._content[self.at : self.at + count]
        if len(found) < count:
            raise damaged("one of its tables ends early")
        self.at += count
        return found

    def number(self, count: int) -> int:
        """Read an unsigned number of so many bytes; errors as `octets`."""
        return int.from_bytes(self.octets(count))

    def text(self) -> bytes:
        """Read up to the next zero, or all that is left."""
        found = self._content[self.at :].partition(b"\0")[0]
        self.at += len(found) + 1
        return found


def with_colour(data: bytes, primaries: int, transfer: int) -> bytes:
    """Set primaries and transfer of a file; its encoder can only write sRGB.

    The matrix stays: it is how the encoder has turned RGB into luma and colour differences.

    Args:
        data: as written by an encoder, with one nclx colour box at most.
        primaries: H.273's number.
        transfer: likewise.
    """
    at = data.find(b"colrnclx")
    if at < 0:
        return data
    at += len(b"colrnclx")
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


class Box(NamedTuple):
    """Type, offset and length of a box."""

    kind: bytes
    start: int
    """Of its content."""
    end: int
    size_field: int
    """Its size field of 32 bits: 0 to the end of all, 1 for one of 64 bits, 2 to 7 nonsense."""


def box_of(kind: bytes, *content: bytes) -> bytes:
    """Build one box."""
    body = b"".join(content)
    return (_HEAD_BYTES + len(body)).to_bytes(4) + kind + body


def boxes(reader: Reader) -> Iterator[Box]:
    """Iterate over consecutive boxes, until one has no length or less than a header is left.

    The last may reach beyond the end: then the file is cut.
    """
    at = 0
    while len(head := reader.up_to(at, 2 * _HEAD_BYTES)) >= _HEAD_BYTES:
        size_field = length = int.from_bytes(head[:4])
        start = at + _HEAD_BYTES
        if size_field == 1:
            length, start = int.from_bytes(head[8:]), at + 2 * _HEAD_BYTES
        end = at + length
        yield Box(head[4:8], start, end if start <= end else reader.size, size_field)
        if end < start:
            return
        at = end


def leaves(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Iterate over the boxes of a part of a file, and of its tracks, with offsets in the file."""
    for box in boxes(Reader(BytesIO(data[start:end]))):
        there = box._replace(start=start + box.start, end=min(start + box.end, len(data)))
        if box.kind in _NESTED:
            yield from leaves(data, there.start, there.end)
        else:
            yield there


def inside(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Parse the boxes within a box: type and content."""
    for box in boxes(Reader(BytesIO(content))):
        if 0 < box.size_field < _HEAD_BYTES:
            return
        yield box.kind, content[box.start : box.end]


def meta_of(reader: Reader) -> list[tuple[bytes, bytes]]:
    """Parse the boxes within a file's meta box: type and content.

    Raises:
        ImageRefusedError: `truncated` or `damaged`; `format_not_allowed` for a film without stills.
    """
    kinds = set()
    for box in islice(boxes(reader), _MAX_BOXES):
        if box.kind == b"meta":
            content = reader.at(box.start, max(0, box.size_field - _HEAD_BYTES))
            return list(inside(content[_VERSION_BYTES:]))
        if box.size_field < _HEAD_BYTES:  # only media data is so large, and comes behind
            raise damaged("it has no description of an image")
        kinds.add(box.kind)
    if b"moov" in kinds:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, "it is a sequence without a still image, like a film"
        )
    raise truncated()


def without_cut_padding(data: bytes) -> bytes:
    """Remove padding at the end that is shorter than its declared size; nothing else is removed."""
    *_, last = boxes(Reader(BytesIO(data)))
    if last.kind in _PADDING and last.end > len(data):
        return data[: last.start - _HEAD_BYTES * (2 if last.size_field == 1 else 1)]
    return data


def without_sequence(data: bytes) -> bytes:
    """Hide the image sequence of a file, so that decoders see its primary image alone."""
    found = list(islice(boxes(Reader(BytesIO(data))), _MAX_BOXES))
    if all(box.kind != b"moov" for box in found):
        return data
    hidden = bytearray(data)
    for box in found:
        if box.kind == b"moov":
            at = box.start - (_HEAD_BYTES + 4 if box.size_field == 1 else 4)
            hidden[at : at + 4] = b"free"
        elif box.kind == b"ftyp":
            brands = data[box.start : box.end]
            hidden[box.start : box.end] = brands.replace(b"avis", b"avif").replace(b"msf1", b"mif1")
    return bytes(hidden)


def divided(data: bytes) -> tuple[bytes, bytes]:
    """Divide a file into its boxes and what is behind them.

    That is less than the header of a box, or would be a box of no known kind beyond the end.
    """
    end = 0
    for box in boxes(Reader(BytesIO(data))):
        if box.end > len(data) and box.kind not in _KNOWN:
            break
        end = box.end
    return data[:end], data[end:]


def check_whole(data: bytes) -> None:
    """Refuse a file that ends inside a box, unless that is padding, or before the image's data."""
    rest = without_cut_padding(divided(data)[0])
    found = list(boxes(Reader(BytesIO(rest))))
    has_data = any(
        box.kind in _DATA or (box.kind == b"meta" and b"idat" in rest[box.start : box.end])
        for box in found
    )
    if not has_data or found[-1].end != len(rest):
        raise truncated()
