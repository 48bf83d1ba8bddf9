"""PNG chunks: parse with verified checksums, and build.

Source: PNG specification, third edition (W3C, 2025), section 5.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE_BYTES, IHDR_BYTES = 8, 13
HEADER_END = SIGNATURE_BYTES + 12 + IHDR_BYTES
"""Offset of the chunks after the header."""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the chunks up to IEND, type and content, checksums verified.

    Raises:
        ImageRefusedError: `truncated` without an end chunk, `damaged` on a wrong checksum.
    """
    at, kind = SIGNATURE_BYTES, b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise truncated()
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise truncated()
        body = data[at + 8 : end]
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[end : end + 4]):
            raise damaged(f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
        yield kind, body
        at = end + 4


def chunk(kind: bytes, body: bytes) -> bytes:
    """Build one chunk with its length and checksum."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4)
