"""Compressed strips and tiles of a TIFF that hold more than their rows, or lack an end.

libtiff stops where a strip is full: many writers pad the last strip to the height of the others, or
leave bytes behind it. The fast decoders of imagecodecs refuse both, so what they refuse is decoded
again here. Refuses what holds fewer rows or is far larger, and a wrong checksum.

Source: TIFF 6.0 section 9 (PackBits); RFC 1950 (zlib); RFC 8878 (Zstandard).
"""

from __future__ import annotations

import lzma
import zlib
from collections import ChainMap
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import tifffile

from sharpend.imaging.containers import lzw, surplus
from sharpend.imaging.containers.surplus import Held
from sharpend.imaging.reading import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

_LZW = 5
_PACKBITS, _NO_OPERATION = 32773, 128
_LOWEST_FIRST = 2
"""FillOrder: the order of bits within a byte."""
_PLANES = 2
_DEFLATES = frozenset({8, 32946})
_TOLD = _DEFLATES | {_PACKBITS, 50000}
"""Compressions whose decoder tells of surplus, or whose streams end with a checksum of the rows."""
_doubtful: list[bytes] = []
"""Strips of the page that is decoded which may hold more than their rows."""
_RUN = 257
"""A count above 128 stands for this minus itself, the times that one byte is repeated."""


def _inflated(data: bytes, size: int) -> bytes:
    """Decompress `size` bytes of a zlib stream, whose end and checksum may be missing."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, size)
    padding = stream.decompress(stream.unconsumed_tail, LARGEST)  # raises for a wrong checksum
    return found if len(padding) < LARGEST else b""


def _zstandard(data: bytes, size: int) -> bytes:
    frame = data[: surplus.end_of_zstandard(data)]
    return bytes(imagecodecs.zstd_decode(frame, out=size + LARGEST))[:size]


def _unxz(data: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor().decompress(data, size)


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
    34925: _unxz,
    50000: _zstandard,
}


def prepare() -> None:
    """Let tifffile decompress by these where its own decoders refuse a strip."""
    own: Any = tifffile.TIFF.DECOMPRESSORS
    patient = {kind: _patient(kind, own[kind], again) for kind, again in _AGAIN.items()}
    tifffile.TIFF.DECOMPRESSORS = ChainMap({**patient, _LZW: _unlzw}, own)


def _unlzw(data: bytes, out: int) -> bytes:
    """Decompress LZW.

    imagecodecs reads memory that it has not set where the first code behind a clear code stands for
    nothing, and the process may die of it.
    """
    if lzw.has_flaw(data, out):
        raise ValueError("a code of its LZW stream stands for nothing")
    return bytes(imagecodecs.lzw_decode(data, out=out))


def _patient(
    kind: int, decode: Callable[..., Any], again: Callable[[bytes, int], bytes]
) -> Callable[..., Any]:
    """Join a fast decoder and one for what it refuses; an error is the fast one's."""

    def decompress(data: bytes, out: int) -> Any:  # noqa: ANN401 - as imagecodecs returns it
        try:
            rows = decode(data, out=out)
        except RuntimeError as error:  # of imagecodecs
            _doubtful.append(bytes(data))
            try:
                found = again(bytes(data), out)
            except (zlib.error, lzma.LZMAError, RuntimeError):
                raise error from None
            if len(found) < out:
                raise
            return found
        if kind in _DEFLATES and zlib.adler32(rows).to_bytes(4) != data[-4:]:
            _doubtful.append(bytes(data))
        return rows

    return decompress


def decoded(page: tifffile.TiffPage, data: bytes) -> tuple[NDArray[Any], list[Held]]:
    """Decode a page, and count what its compressed strips or tiles hold.

    Args:
        page: as tifffile parsed it.
        data: the file.

    Raises:
        NotImplementedError: tifffile decodes no such page.
    """
    _doubtful.clear()
    values = np.asarray(page.asarray(maxworkers=1))
    held = _held(page, data)
    _doubtful.clear()
    return values, held


def _held(page: tifffile.TiffPage, data: bytes) -> list[Held]:
    counting = _COUNTING.get(page.compression)
    is_told = page.compression in _TOLD
    if counting is None or (is_told and not _doubtful):
        return []
    found = []
    for (offset, size), (wanted, padded) in zip(
        zip(page.dataoffsets, page.databytecounts, strict=True), _sizes(page), strict=False
    ):
        packed = data[offset : offset + size]
        if page.fillorder == _LOWEST_FIRST:
            packed = bytes(imagecodecs.bitorder_decode(packed))
        if is_told and packed not in _doubtful:
            continue
        with suppress(zlib.error, lzma.LZMAError, RuntimeError):  # behind all rows
            found.append(counting(packed, wanted, padded))
    return found


def _sizes(page: tifffile.TiffPage) -> Iterator[tuple[int, int]]:
    """Bytes that the rows of each strip or tile take, and those of a full one."""
    width, rows = page.imagewidth, min(page.rowsperstrip or page.imagelength, page.imagelength)
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    samples = 1 if page.planarconfig == _PLANES else page.samplesperpixel
    row_bytes = -(-width * samples * page.bitspersample // 8)
    full = rows * row_bytes
    last = full if page.is_tiled else (page.imagelength - 1) % rows * row_bytes + row_bytes
    count = -(-page.imagelength // rows)
    for number in range(len(page.dataoffsets)):
        yield (last if (number + 1) % count == 0 else full), full


def _of_zstandard(packed: bytes, _wanted: int, padded: int) -> Held:
    end = surplus.end_of_zstandard(packed)
    rows = bytes(imagecodecs.zstd_decode(packed[:end], out=padded + LARGEST))
    return Held(len(rows), surplus.count(rows[padded:]) + surplus.count(packed[end:]))


_COUNTING: Mapping[int, Callable[[bytes, int, int], Held]] = {
    _LZW: lzw.held,
    8: lambda packed, _, padded: surplus.of_zlib([packed], padded),
    32946: lambda packed, _, padded: surplus.of_zlib([packed], padded),
    _PACKBITS: surplus.of_packbits,
    34925: lambda packed, _, padded: surplus.of_xz(packed, padded),
    50000: _of_zstandard,
}
"""By compression: the counting of a stream whose rows, and those of a full strip, take so much."""
