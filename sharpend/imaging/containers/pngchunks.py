"""PNG chunks: parse with verified checksums, build, and judge which chunks are sound.

Owns what decides whether a PNG is whole: the chunks that pixels are made of. Any other chunk that
is damaged is named, so that the image can be read without it.

Source: PNG specification, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.imaging.metadata.pngtext import packed_part
from sharpend.imaging.reading import LARGEST, damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIGNATURE_BYTES, IHDR_BYTES = 8, 13
HEADER_END = SIGNATURE_BYTES + 12 + IHDR_BYTES
"""Offset of the chunks after the header."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LOWER_CASE = 0x20
"""The bit that says ancillary in a chunk type's first letter, safe to copy in its last."""
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}) | _ANIMATION
"""Chunks that decoders make the pixels from."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel as it is stored, by colour type."""
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""Of an interlaced image (section 8.1): first column and row, and steps between them."""
_LENGTHS = {
    b"cHRM": {32},
    b"cICP": {4},
    b"cLLI": {8},
    b"gAMA": {4},
    b"mDCV": {24},
    b"oFFs": {9},
    b"pHYs": {9},
    b"sBIT": {1, 2, 3, 4},
    b"sRGB": {1},
    b"sTER": {1},
    b"tIME": {7},
}
"""Lengths of chunks that have a fixed one."""
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_PIECE_BYTES = 1 << 18
"""Inflated at once where bytes are only counted."""
_PROFILE = re.compile(rb"[^\0]{1,79}\0\0", re.DOTALL)
"""Name of an iCCP chunk's profile, and the method of its compression."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a file."""

    kind: bytes
    body: bytes
    is_sound: bool
    """Checksum and content are right."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All chunks of a PNG."""

    chunks: tuple[Chunk, ...]
    """Without IEND."""
    end: int
    """Offset behind IEND, or behind the last chunk of a file without it."""
    has_end: bool

    @property
    def unsound(self) -> list[str]:
        """Names of the damaged chunks, each once."""
        kinds = (each.kind.decode("latin-1") for each in self.chunks if not each.is_sound)
        return list(dict.fromkeys(kinds))

    def sound(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the other chunks, type and content."""
        return ((each.kind, each.body) for each in self.chunks if each.is_sound)

    def stream(self) -> bytes:
        """Join the chunks that decode the image to a PNG of their own.

        An animation that is there to its end is told to have the frames that it has.
        """
        frames = sum(kind == b"fcTL" for kind, _ in self.sound())
        counted = {b"acTL": frames.to_bytes(4)} if self.has_end and frames else {}
        return _joined(
            (kind, counted.get(kind, body[:4]) + body[4:])
            for kind, body in self.sound()
            if kind in PIXELS
        )

    def completed(self) -> bytes | None:
        """Join them with an end of the compressed pixels: a last block and its checksum.

        libpng insists on them, though all pixels lie before. None where they are there, or wrong.
        """
        most = 2 * _pixel_bytes(self.chunks[0].body)
        body = b"".join(body for kind, body in self.sound() if kind == b"IDAT")
        stream = zlib.decompressobj()
        try:
            rows = stream.decompress(body, most)
        except zlib.error:
            return None
        if stream.eof:
            return None
        made = [(kind, body) for kind, body in self.sound() if kind in PIXELS - {b"IDAT"}]
        return _joined([*made, (b"IDAT", zlib.compress(rows, 0))])


def parts(data: bytes) -> Parts:
    """Parse the chunks up to IEND.

    Raises:
        ImageRefusedError: `truncated` where a chunk or pixels are missing at the end; `damaged` for
            a wrong checksum of a chunk that pixels are made of.
    """
    found: list[Chunk] = []
    at = SIGNATURE_BYTES
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:  # noqa: PLR2004 - bytes of a checksum
            raise truncated()
        is_right = zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(checksum)
        if not is_right and (kind in PIXELS - {b"tRNS"} or not is_ancillary(kind)):
            raise damaged(f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
        at += 12 + length
        if kind == b"IEND":
            return Parts(tuple(_judged(found)), at, has_end=True)
        found.append(Chunk(kind, body, is_right))
    if at != len(data) or not _has_all_pixels(found):
        raise truncated()
    return Parts(tuple(_judged(found)), at, has_end=False)


def frame_controls(data: bytes) -> int:
    """Count the fcTL chunks of a PNG that reaches its IEND; 0 for one that does not.

    Nothing is kept and no checksum is verified, so it costs no memory.
    """
    at, count = SIGNATURE_BYTES, 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        count += int(kind == b"fcTL")
        if kind == b"IEND":
            return count
    return 0


def _has_all_pixels(found: list[Chunk]) -> bool:
    """Return whether the compressed pixels hold every row."""
    if not found:
        return False
    most = _pixel_bytes(found[0].body)
    try:
        return _inflated_bytes((one.body for one in found if one.kind == b"IDAT"), most)[0] == most
    except zlib.error:
        return False


def _pixel_bytes(header: bytes) -> int:
    """Compute the bytes of all rows before compression, each with its filter (section 7)."""
    width, height, bits, color_type, *_, interlaced = struct.unpack(">IIBBBBB", header)
    row_bits = bits * _SAMPLES.get(color_type, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = (
        (-(-(width - left) // across), -(-(height - top) // down))
        for left, top, across, down in passes
        if width > left and height > top
    )
    return int(sum(rows * (1 + -(-columns * row_bits // 8)) for columns, rows in sizes))


def _joined(made: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Build a PNG of chunks, types and contents."""
    return b"".join([SIGNATURE, *(chunk(*each) for each in made), chunk(b"IEND", b"")])


def _judged(found: list[Chunk]) -> Iterator[Chunk]:
    """Mark chunks whose content cannot be what their type says; at most 16 MiB are inflated."""
    remaining = LARGEST
    for each in found:
        inflated = _inflated(each, remaining)
        remaining -= inflated or 0
        is_valid = inflated is not None
        is_valid &= each.kind != b"iCCP" or inflated != LARGEST  # no profile is so large
        is_worse = each.is_sound and not is_valid  # a copy of each would double the memory
        yield replace(each, is_sound=False) if is_worse else each


def _inflated(each: Chunk, most: int) -> int | None:
    """Count what an ancillary chunk inflates to; None if it is not what its type says."""
    packed = _packed(each.kind, each.body)
    if not packed or not most:
        return None if packed is None else 0
    try:
        count, has_ended = _inflated_bytes([packed], most)
    except zlib.error:
        return None
    return count if has_ended else None


def _packed(kind: bytes, body: bytes) -> bytes | None:
    """Return the compressed part of an ancillary chunk; None if it is not what its type says."""
    if kind in _LENGTHS:
        return b"" if len(body) in _LENGTHS[kind] else None
    if kind == b"eXIf":
        return b"" if body.startswith(_TIFF_STARTS) else None
    if kind == b"iCCP":
        name = _PROFILE.match(body)
        return body[name.end() :] if name else None
    return packed_part(kind, body)


def _inflated_bytes(parts: Iterable[bytes], most: int) -> tuple[int, bool]:
    """Count the bytes of a zlib stream, up to `most`, and keep none of them.

    Returns:
        The count, and whether the end of the stream or `most` was reached.

    Raises:
        zlib.error: the stream is damaged.
    """
    stream, inflated = zlib.decompressobj(), 0
    for rest in parts:
        while inflated < most and not stream.eof:
            piece = stream.decompress(rest, min(_PIECE_BYTES, most - inflated))
            if not piece:
                break
            inflated += len(piece)
            rest = stream.unconsumed_tail  # noqa: PLW2901 - the rest of this part
    return inflated, stream.eof or inflated == most


def is_ancillary(kind: bytes) -> bool:
    """Return whether an image can be shown without a chunk."""
    return bool(kind[0] & _LOWER_CASE)


def is_safe_to_copy(kind: bytes) -> bool:
    """Return whether a chunk stays valid when pixels change."""
    return bool(kind[3] & _LOWER_CASE)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the sound chunks up to IEND, type and content; errors are those of `parts`."""
    return parts(data).sound()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Build one chunk with its length and checksum."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4)
