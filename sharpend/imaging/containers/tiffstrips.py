"""Compressed strips and tiles of a TIFF that hold more than their rows, or lack an end.

libtiff stops where a strip is full: many writers pad the last strip to the height of the others, or
leave bytes behind it. The fast decoders of imagecodecs refuse both, so what they refuse is decoded
again here. Refuses what holds fewer rows or is far larger, and a wrong checksum.

Source: TIFF 6.0 section 9 (PackBits); RFC 1950 (zlib); RFC 8878 (Zstandard).
"""

from __future__ import annotations

import zlib
from collections import ChainMap
from typing import TYPE_CHECKING, Any

import imagecodecs
import tifffile

from sharpend.imaging.reading import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PACKBITS, _NO_OPERATION = 32773, 128
_RUN = 257
"""A count above 128 stands for this minus itself, the times that one byte is repeated."""


def _inflated(data: bytes, size: int) -> bytes:
    """Decompress `size` bytes of a zlib stream, whose end and checksum may be missing."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, size)
    padding = stream.decompress(stream.unconsumed_tail, LARGEST)  # raises for a wrong checksum
    return found if len(padding) < LARGEST else b""


def _zstandard(data: bytes, size: int) -> bytes:
    return bytes(imagecodecs.zstd_decode(data, out=size + LARGEST))[:size]


def _unpacked(data: bytes, size: int) -> bytes:
    """Decompress `size` bytes of PackBits."""
    found, at = bytearray(), 0
    while len(found) < size and at + 1 < len(data):
        count = data[at]
        if count < _NO_OPERATION:
            found += data[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            found += data[at + 1 : at + 2] * (_RUN - count) * (count > _NO_OPERATION)
            at += 1 + (count > _NO_OPERATION)
    return bytes(found[:size])


_AGAIN: Mapping[int, Callable[[bytes, int], bytes]] = {
    8: _inflated,
    32946: _inflated,
    _PACKBITS: _unpacked,
    50000: _zstandard,
}


def prepare() -> None:
    """Let tifffile decompress by these where its own decoders refuse a strip."""
    own: Any = tifffile.TIFF.DECOMPRESSORS
    patient = {kind: _patient(own[kind], again) for kind, again in _AGAIN.items()}
    tifffile.TIFF.DECOMPRESSORS = ChainMap(patient, own)


def _patient(
    decode: Callable[..., Any], again: Callable[[bytes, int], bytes]
) -> Callable[..., Any]:
    """Join a fast decoder and one for what it refuses; an error is the fast one's."""

    def decompress(data: bytes, out: int) -> Any:  # noqa: ANN401 - as imagecodecs returns it
        try:
            return decode(data, out=out)
        except RuntimeError as error:  # of imagecodecs
            try:
                found = again(bytes(data), out)
            except (zlib.error, RuntimeError):
                raise error from None
            if len(found) < out:
                raise
            return found

    return decompress
