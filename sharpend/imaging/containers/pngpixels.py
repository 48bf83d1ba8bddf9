"""PNG pixels: read whole bytes through libpng; choose filters and compress by libdeflate.

zlib, inside Pillow and libpng, takes several times as long to compress.

Source: PNG specification, third edition (W3C, 2025), sections 7.2 and 9 (filters).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from sharpend.imaging.containers.codecwarnings import listening
from sharpend.imaging.containers.pngchunks import SIGNATURE, chunk
from sharpend.policies import Compression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sharpend.imaging.containers.pngchunks import Parts
    from sharpend.imaging.depth import Sample
    from sharpend.imaging.picture import Frame

    Bytes = NDArray[np.uint8]
    """Rows of an image as their bytes, N x B."""

_HEADER = struct.Struct(">IIBBBBB")
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By channels, alpha among them: gray, gray with alpha, RGB, RGBA."""
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_FILTERS = {
    Compression.FAST: (_NONE, _SUB, _UP),
    Compression.SMALL: (_NONE, _SUB, _UP, _AVERAGE, _PAETH),
}
_LEVELS = {Compression.FAST: 1, Compression.SMALL: 6}
"""Of libdeflate."""
_STRIP_BYTES = 1 << 18
"""Filtered at once: what a processor's cache holds."""
_SAMPLES, _SAMPLE_ROWS = 8, 4
"""Rows that filters are tried on."""
_IDAT_BYTES = 1 << 20


def decoded(found: Parts) -> tuple[NDArray[Sample], bool]:
    """Decode a still image of 8 or 16 bits; also without the end of its compressed pixels.

    Returns:
        H x W x C, uint8 or uint16, alpha among the channels; and whether libpng read its compressed
        pixels to the end without a warning.

    Raises:
        imagecodecs.PngError: it is damaged.
    """
    heard: list[str] = []
    try:
        with listening(heard):
            values = np.asarray(imagecodecs.png_decode(found.still()))
    except imagecodecs.PngError:
        completed = found.completed()
        if completed is None:
            raise
        values, heard = np.asarray(imagecodecs.png_decode(completed)), ["completed"]
    return values.reshape(*values.shape[:2], -1), not heard


def is_plain(found: Parts) -> bool:
    """Return whether this is a still image of whole bytes: no palette, no transparent colour."""
    header = _HEADER.unpack(found.chunks[0].body)
    kinds = {kind for kind, _ in found.sound()}
    return header[2] >= 8 and header[3] in _COLOR_TYPES.values() and not kinds & {b"tRNS", b"fcTL"}  # noqa: PLR2004 - bits


def encoded(frame: Frame, compression: Compression) -> bytes:
    """Encode pixels and alpha, uint8 or uint16, as a PNG without metadata."""
    height, width, channels = frame.pixels.shape
    channels += frame.alpha is not None
    bits = 8 * frame.pixels.itemsize
    kind = min(_FILTERS[compression], key=lambda each: _size_of_samples(frame, each))
    row_bytes = width * channels * frame.pixels.itemsize
    filtered = np.empty((height, 1 + row_bytes), np.uint8)
    step = max(1, _STRIP_BYTES // row_bytes)
    for top in range(0, height, step):
        filtered[top : top + step] = _filtered(frame, kind, top, top + step)
    packed = _deflated(filtered, _LEVELS[compression])
    header = _HEADER.pack(width, height, bits, _COLOR_TYPES[channels], 0, 0, 0)
    made = [chunk(b"IHDR", header), *_pieces(packed), chunk(b"IEND", b"")]
    return b"".join([SIGNATURE, *made])


def _size_of_samples(frame: Frame, kind: int) -> int:
    """Compress some rows, evenly spread, through a filter."""
    height = len(frame.pixels)
    tops = range(0, height, max(_SAMPLE_ROWS, height // _SAMPLES))
    rows = np.vstack([_filtered(frame, kind, top, top + _SAMPLE_ROWS) for top in tops])
    return len(_deflated(rows, _LEVELS[Compression.FAST]))


def _deflated(rows: Bytes, level: int) -> bytes:
    return bytes(imagecodecs.deflate_encode(rows.data, level))  # type: ignore[arg-type]


def _filtered(frame: Frame, kind: int, top: int, bottom: int) -> Bytes:
    """Filter rows; each begins with its filter's number."""
    above, here = _rows(frame, top, bottom)
    filtered = np.empty((len(here), 1 + here.shape[1]), np.uint8)
    filtered[:, 0] = kind
    step = here.shape[1] // frame.pixels.shape[1]
    np.subtract(here, _predicted(kind, here, above, step), out=filtered[:, 1:])
    return filtered


def _rows(frame: Frame, top: int, bottom: int) -> tuple[Bytes, Bytes]:
    """Bytes of the rows above, and of rows; above the first are zeros."""
    rows = slice(max(0, top - 1), bottom)
    values = frame.pixels[rows]
    if frame.alpha is not None:
        values = np.concatenate([values, frame.alpha[rows, :, np.newaxis]], axis=2)
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(">"), copy=False))
    found = values.view(np.uint8).reshape(len(values), -1)
    if top == 0:
        found = np.vstack([np.zeros_like(found[:1]), found])
    return found[:-1], found[1:]


def _predicted(kind: int, here: Bytes, above: Bytes, step: int) -> Bytes:
    """Prediction of each byte by a filter, from the pixel on the left and the row above.

    Args:
        kind: the filter.
        here: the rows.
        above: the row above each.
        step: bytes of a pixel.
    """
    if kind == _NONE:
        return np.zeros((1, 1), np.uint8)
    if kind == _UP:
        return above
    left = _shifted(here, step)
    if kind == _SUB:
        return left
    if kind == _AVERAGE:
        return (left & above) + ((left ^ above) >> 1)
    return _paeth(left, above, _shifted(above, step))


def _shifted(rows: Bytes, step: int) -> Bytes:
    """Move each row to the right, by zeros."""
    moved = np.zeros_like(rows)
    moved[:, step:] = rows[:, :-step]
    return moved


def _paeth(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    """Choose the neighbour nearest to left + above - corner (Paeth, 1991)."""
    a, b, c = (each.astype(np.int16) for each in (left, above, corner))
    to_left, to_above, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    is_left = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(is_left, left, np.where(to_above <= to_corner, above, corner))


def _pieces(packed: bytes) -> Iterator[bytes]:
    """Split compressed pixels into chunks that a reader can hold."""
    for at in range(0, len(packed), _IDAT_BYTES):
        yield chunk(b"IDAT", packed[at : at + _IDAT_BYTES])
