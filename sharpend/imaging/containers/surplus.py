"""Compressed streams that hold more than their image: count what no decoder reads.

Decoders stop where an image is full. What its stream goes on with, and what lies behind the end of
the stream, is unknown data that no output has. Zeros are padding.

Source: RFC 1950 (zlib); RFC 8878 section 3.1.1 (Zstandard); TIFF 6.0 section 9 (PackBits).
"""

from __future__ import annotations

import lzma
import zlib
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.reading import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PIECE_BYTES = 1 << 18
"""Decompressed at once where bytes are only counted."""
_ZSTANDARD, _CHECKSUM, _REPEATED = b"\x28\xb5\x2f\xfd", 4, 1
_NO_OPERATION, _RUN = 128, 257
"""Of PackBits: a count that stands for nothing, and what counts beyond it are subtracted from."""
_FLAW = "the end of its compressed pixels is damaged: they may be, too"


class Held(NamedTuple):
    """Content of a stream, apart from the bytes of its image."""

    decoded: int
    """Bytes that it holds in all, as far as they were counted."""
    surplus: int
    """Bytes beyond those of the image and behind the end of the stream, without padding."""
    has_flaw: bool = False
    """A wrong checksum, or damage behind the last byte of the image."""


def count(data: bytes) -> int:
    """Count bytes without the zeros around them."""
    return len(data.strip(b"\0"))


def gaps(claimed: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """List start and end of the parts between `start` and `end` that lie in no range."""
    found, at = [], start
    for first, last in sorted(claimed):
        found.append((at, min(first, end)))
        at = max(at, last)
    return [(first, last) for first, last in (*found, (at, end)) if first < last]


def unclaimed(data: bytes, claimed: Iterable[tuple[int, int]], start: int, end: int) -> int:
    """Count the bytes of a part of a file that lie in no range, without padding.

    Args:
        data: the file.
        claimed: start and end of each range.
        start: of the part.
        end: likewise.
    """
    return sum(count(data[first:last]) for first, last in gaps(claimed, start, end))


def of_zlib(packed: Iterable[bytes], wanted: int) -> Held:
    """Count what a zlib stream holds.

    Args:
        packed: the stream and what follows, in pieces.
        wanted: bytes of the image, with those that pad its last strip.

    Raises:
        zlib.error: it is damaged before its last wanted byte.
    """
    stream, decoded, surplus = zlib.decompressobj(), 0, 0
    for part in packed:
        rest = part
        while not stream.eof and decoded < wanted + LARGEST:
            try:
                piece = stream.decompress(rest, _PIECE_BYTES)
            except zlib.error:
                if decoded >= wanted:
                    return Held(decoded, surplus, has_flaw=True)
                raise
            surplus += count(piece[max(0, wanted - decoded) :])
            decoded += len(piece)
            rest = stream.unused_data or stream.unconsumed_tail
            if not piece:
                break
        surplus += count(rest)
    return Held(decoded, surplus)


def of_xz(packed: bytes, wanted: int) -> Held:
    """Count what an LZMA stream holds; arguments as of `of_zlib`.

    Raises:
        lzma.LZMAError: it is damaged.
    """
    stream = lzma.LZMADecompressor()
    found = stream.decompress(packed, wanted + LARGEST)
    return Held(len(found), count(found[wanted:]) + count(stream.unused_data))


def end_of_zstandard(packed: bytes) -> int:
    """Return the offset at which the first frame ends; all, where it is no frame."""
    if not packed.startswith(_ZSTANDARD) or len(packed) < 6:  # noqa: PLR2004 - a header
        return len(packed)
    descriptor = packed[4]
    is_single = bool(descriptor & 32)
    size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    at = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
    is_last = False
    while not is_last and at + 3 <= len(packed):
        block = int.from_bytes(packed[at : at + 3], "little")
        is_last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        at += 3 + (1 if kind == _REPEATED else size)
    return min(at + _CHECKSUM * bool(descriptor & 4), len(packed))


def of_packbits(packed: bytes, wanted: int, padded: int) -> Held:
    """Count what PackBits hold, which have no end of their own.

    Args:
        packed: they and what follows.
        wanted: bytes of the image.
        padded: bytes of the image with those that pad its last strip.
    """
    at = decoded = end = 0
    while at < len(packed):
        number = packed[at]
        if number < _NO_OPERATION:
            decoded += number + 1
            at += number + 2
        else:
            decoded += (_RUN - number) * (number > _NO_OPERATION)
            at += 1 + (number > _NO_OPERATION)
        end = end or at * (decoded >= wanted)
    return Held(decoded, 0 if decoded in {wanted, padded} else count(packed[end:]))


def by_trial(body: bytes, suffices: Callable[[int], bool], *, spare: int = 0) -> Held:
    """Count what lies behind the end of compressed pixels that only a decoder finds.

    Args:
        body: they and what follows.
        suffices: returns whether so many of its first bytes can be decoded; called at least once.
        spare: bytes that encoders may write behind the end.
    """
    needed = len(body)
    if suffices(max(0, needed - spare - 1)):
        needed = bisect_left(range(needed), True, key=suffices)
    further = count(body[needed:])
    return Held(needed, further if further > spare else 0)


def named(streams: Iterable[Held]) -> tuple[list[str], list[str]]:
    """Name what the streams of an image hold beyond it: notes and losses."""
    found = list(streams)
    surplus = sum(each.surplus for each in found)
    loss = f"{surplus} bytes of unknown data in its compressed pixels are not in the output"
    return [_FLAW] * any(each.has_flaw for each in found), [loss] * bool(surplus)
