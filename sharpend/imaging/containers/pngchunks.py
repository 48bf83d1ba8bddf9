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
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.imaging.containers.pngrows import has_all_rows, pixel_bytes
from sharpend.imaging.containers.surplus import Held, of_zlib
from sharpend.imaging.inflating import inflated_bytes
from sharpend.imaging.metadata.exifblock import PREFIX
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
_PALETTE = 3
_KEY_LENGTHS = {0: {2}, 2: {6}, 3: range(1, 257)}
"""Lengths of tRNS, by colour type; the others must not have one."""
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
_BITS_AT, _COLOR_TYPE_AT, _FRAME_SIZE = 8, 9, slice(4, 12)
"""Places of depth and colour type in IHDR, and of width and height in fcTL."""
_TIFF_STARTS = (b"II*\0", b"MM\0*")
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
    end_body: bytes = b""
    """Content of IEND, which has none by the specification."""

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

        An animation that is there to its end is told to have the frames that it has; without any
        frame it is a still image.
        """
        frames = sum(kind == b"fcTL" for kind, _ in self.sound())
        counted = {b"acTL": frames.to_bytes(4)} if self.has_end and frames else {}
        wanted = PIXELS if frames else PIXELS - _ANIMATION
        return _joined(
            (kind, counted.get(kind, body[:4]) + body[4:])
            for kind, body in self.sound()
            if kind in wanted
        )

    def still(self) -> bytes:
        """Join the chunks of a still image, with all compressed pixels in one.

        So libpng tells of any surplus: it skips further chunks without a word.
        """
        kept = PIXELS - _ANIMATION - {b"IDAT"}
        head = [(kind, body) for kind, body in self.sound() if kind in kept]
        packed = b"".join(body for kind, body in self.sound() if kind == b"IDAT")
        return _joined([*head, (b"IDAT", packed)])

    def held(self, *, first_only: bool) -> list[Held]:
        """Count what the compressed pixels of each image hold beyond its rows.

        Refuses those that end before the last row: Pillow takes them, and shows the rest as black.

        Raises:
            ImageRefusedError: `truncated`.
            zlib.error: the compressed pixels are damaged.
        """
        found = []
        for header, packed in islice(self._packed_images(), 1 if first_only else None):
            wanted = pixel_bytes(header)
            found.append(of_zlib(packed, wanted))
            if found[-1].decoded < wanted:
                raise truncated()
        return found

    def _packed_images(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Header, with the size of the frame, and compressed pixels of each image."""
        header, packed = self.chunks[0].body, list[bytes]()
        for kind, body in self.sound():
            if kind == b"fcTL":
                if packed:
                    yield header, packed
                header, packed = body[_FRAME_SIZE] + header[8:], []
            elif kind in {b"IDAT", b"fdAT"}:
                packed.append(body if kind == b"IDAT" else body[4:])
        if packed:
            yield header, packed

    def completed(self) -> bytes | None:
        """Join them with an end of the compressed pixels: a last block and its checksum.

        libpng insists on them, though all pixels lie before. None where they are there, or wrong.
        """
        most = 2 * pixel_bytes(self.chunks[0].body)
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
        at += 12 + length
        if kind == b"IEND" and (is_right or _has_all_pixels(found)):
            return Parts(tuple(_judged(found)), at, has_end=is_right, end_body=body)
        if not is_right and (kind in PIXELS - {b"tRNS", b"acTL"} or not is_ancillary(kind)):
            raise damaged(f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
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
    try:
        return has_all_rows(found[0].body, (each.body for each in found if each.kind == b"IDAT"))
    except zlib.error:
        return False


def _joined(made: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Build a PNG of chunks, types and contents."""
    return b"".join([SIGNATURE, *(chunk(*each) for each in made), chunk(b"IEND", b"")])


def _judged(found: list[Chunk]) -> Iterator[Chunk]:
    """Mark chunks whose content cannot be what their type says; at most 16 MiB are inflated."""
    remaining, has_pixels = LARGEST, False
    color_type = found[0].body[_COLOR_TYPE_AT] if found else 0
    colours = -1  # of the palette; as in libpng, tRNS counts behind it and before the pixels
    for each in found:
        colours = len(each.body) // 3 if each.kind == b"PLTE" else colours
        has_pixels = has_pixels or each.kind == b"IDAT"
        inflated = _inflated(each, remaining)
        remaining -= inflated or 0
        is_valid = inflated is not None
        is_valid &= each.kind != b"iCCP" or inflated != LARGEST  # no profile is so large
        if each.kind == b"tRNS":
            is_valid = len(each.body) in _KEY_LENGTHS.get(color_type, ()) and not has_pixels
            is_valid &= color_type != _PALETTE or len(each.body) <= colours
        if is_valid and each.kind == b"tRNS" and color_type != _PALETTE:
            yield replace(each, body=_masked(each.body, found[0].body[_BITS_AT]))
            continue
        is_worse = each.is_sound and not is_valid  # a copy of each would double the memory
        yield replace(each, is_sound=False) if is_worse else each


def _masked(key: bytes, bits: int) -> bytes:
    """Clear the bits of a transparent colour that no sample has (section 11.3.1.1)."""
    values = (value & (1 << bits) - 1 for (value,) in struct.iter_unpack(">H", key))
    return b"".join(value.to_bytes(2) for value in values)


def _inflated(each: Chunk, most: int) -> int | None:
    """Count what an ancillary chunk inflates to; None if it is not what its type says."""
    packed = _packed(each.kind, each.body)
    if not packed or not most:
        return None if packed is None else 0
    try:
        count, has_ended = inflated_bytes([packed], most)
    except zlib.error:
        return None
    return count if has_ended else None


def _packed(kind: bytes, body: bytes) -> bytes | None:
    """Return the compressed part of an ancillary chunk; None if it is not what its type says."""
    if kind in _LENGTHS:
        return b"" if len(body) in _LENGTHS[kind] else None
    if kind == b"eXIf":
        # Some writers put before it what JPEG does.
        return b"" if body.removeprefix(PREFIX).startswith(_TIFF_STARTS) else None
    if kind == b"iCCP":
        name = _PROFILE.match(body)
        return body[name.end() :] if name else None
    return packed_part(kind, body)


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
