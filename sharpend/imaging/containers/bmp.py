"""BMP: read packed pixels, and write files with their colour space, profile and fourth byte.

Pixels with a palette are Pillow's to read. Output is uncompressed: gray with a palette of grays, 24
bits, or 32 bits where the input had 32. Headers are parsed in `bmpheader`.

Source: as there; section "Bitmap Header Types" for the profile behind the pixels.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging import color
from sharpend.imaging.containers import bmpheader, pillow, trailers
from sharpend.imaging.containers.bmpheader import (
    EMBEDDED,
    FILE_BYTES,
    INFO,
    PALETTE_BITS,
    V4,
    V5,
    BmpHeader,
)
from sharpend.imaging.containers.container import Container
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, truncated, unsupported
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.containers.pillow import Options
    from sharpend.imaging.source import Source

_RUNS = frozenset({bmpheader.RLE8, bmpheader.RLE4})
_END_OF_BITMAP, _DELTA = 1, 2
"""Escape codes of a run-length coding."""
_SRGB, _WINDOWS = b"BGRs", b" niW"
"""Colour space types (little-endian): sRGB, and whatever Windows takes for it."""
_SPACE, _PROFILE = b"space", b"profile"
"""Places of a V4 header's colour space and of a V5 header's profile."""
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
"""Bit masks of red, green, blue and alpha in 32 bits."""
_INCHES_PER_M = 39.3701
_DENSITY_AT = 38


def _probe(reader: Reader) -> Header:
    """Read size and bit depth; packed colours count as 8 bits."""
    found = bmpheader.header(reader)
    return Header(Format.BMP, abs(found.height), found.width, min(found.bits, PALETTE_BITS))


def _check_whole(data: bytes) -> None:
    """Refuse a truncated file; the padding of its last row may be missing."""
    found = bmpheader.header(Reader(BytesIO(data)))
    padding = found.row_bytes - -(-found.width * found.bits // 8)
    if found.compression not in _RUNS and found.end_of_rows - padding > len(data):
        raise truncated()


def _read(source: Source) -> Picture:
    """Read the image.

    Raises:
        ImageRefusedError: `hdr`, and as `pillow.Reading`.
    """
    data = source.data
    found = bmpheader.header(Reader(BytesIO(data)))
    carried, notes = _carried(found, data)
    if found.compression not in _RUNS and len(data) < found.end_of_rows:
        data = data.ljust(found.end_of_rows, b"\0")
        notes.append("the padding of its last row was missing")
    color.check_not_hdr(None, icc.profile_of(carried))
    options: Options = {"dpi": _density(found, data)}
    if found.bits <= PALETTE_BITS:
        reading = pillow.Reading(lambda *_: (carried, notes), lambda *_: options)
        try:
            picture = reading(replace(source, data=data))
        except ValueError:  # Pillow's for too few pixels
            if found.compression in _RUNS and _end_of_runs(found, data)[1]:
                raise unsupported("its run-length coding leaves pixels out") from None
            raise
        return picture.with_notes(((), _lost(found, data)))
    pixels, alpha, unused = _unpacked(found, data)
    if found.bits < 24:  # noqa: PLR2004 - 8 bits a channel
        notes.append(f"its colours of {found.bits} bits a pixel were written with 24 or 32")
    if unused is not None:
        options |= {"unused": unused}
    frame = Frame(pixels, alpha, carried, options)
    return Picture((frame,), Format.BMP).with_notes((notes, _lost(found, data)))


def _carried(found: BmpHeader, data: bytes) -> tuple[Carried, list[str]]:
    """List colour space and profile, and notes on what is not kept."""
    notes = ["its run-length coding was not kept"] * (found.compression in _RUNS)
    offset, size = found.profile
    profile, space = data[offset : offset + size], found.space
    if len(profile) < size:
        notes.append("its ICC profile ends early and was left out")
        profile, space = b"", _WINDOWS + space[4:]
    blocks = [Block(Kind.COLOR, space, _SPACE)] * bool(space)
    if profile:
        kind = Kind.ICC if space.startswith(EMBEDDED) else Kind.COLOR
        blocks.append(Block(kind, profile, _PROFILE))
    return Carried(tuple(blocks)), notes


def _lost(found: BmpHeader, data: bytes) -> list[str]:
    """List the loss of bytes that belong neither to headers nor to pixels nor to a profile."""
    rest = bytearray(data)
    coded = abs(found.height) * found.row_bytes
    if found.compression in _RUNS:
        coded = _end_of_runs(found, data)[0] - found.start
    offset, size = found.profile
    for start, end in (
        (0, found.end),
        (found.start, found.start + (coded or len(data))),
        (offset, offset + size),
    ):
        rest[start:end] = bytes(max(0, min(end, len(rest)) - start))
    return trailers.unknown(rest, "in its file")


def _end_of_runs(found: BmpHeader, data: bytes) -> tuple[int, bool]:
    """Offset behind run-length coded pixels, and whether a mark ends them or the file does."""
    at = found.start
    while at + 1 < len(data):
        count, value = data[at : at + 2]
        at += 2
        if count:
            continue
        if value == _END_OF_BITMAP:
            return at, True
        if value == _DELTA:
            at += 2
        elif value > _DELTA:  # so many pixels as they are, padded to 16 bits
            size = value if found.compression == bmpheader.RLE8 else -(-value // 2)
            at += size + size % 2
    return len(data), False


def _density(found: BmpHeader, data: bytes) -> tuple[float, float]:
    """Pixels per inch across and down; 0 where they are not declared."""
    if found.length < INFO:
        return 0, 0
    across, down = struct.unpack_from("<ii", data, _DENSITY_AT)
    return across / _INCHES_PER_M, down / _INCHES_PER_M


def _unpacked(
    found: BmpHeader, data: bytes
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """Pixels, alpha where it has a mask, and the fourth byte that has none unless it is zero."""
    height, width, size = abs(found.height), found.width, found.bits // 8
    rows = np.frombuffer(data, np.uint8, height * found.row_bytes, found.start)
    rows = rows.reshape(height, found.row_bytes)[:, : width * size].reshape(height, width, size)
    rows = rows if found.height < 0 else rows[::-1]
    values = rows[..., 0].astype(np.uint32)
    for index in range(1, size):
        values |= rows[..., index].astype(np.uint32) << np.uint32(8 * index)
    *colors, alpha_mask = found.masks
    pixels = np.dstack([_channel(values, mask) for mask in colors])
    alpha = _channel(values, alpha_mask) if alpha_mask else None
    free = 0xFFFFFFFF & ~(colors[0] | colors[1] | colors[2] | alpha_mask)
    unused = None
    if found.bits == 32 and not alpha_mask and free.bit_count() == 8:  # noqa: PLR2004 - a byte
        unused = _channel(values, free)
    return pixels, alpha, unused


def _channel(values: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Values of a channel, 0 to 255, cut off as Pillow does."""
    if not mask:
        return np.zeros(values.shape, np.uint8)
    lowest = mask & -mask
    most = mask // lowest
    found = (values & np.uint32(mask)) // np.uint32(lowest)
    return (found * 255 // most).astype(np.uint8)


def _write(picture: Picture) -> bytes:
    """Write the file, uncompressed, from the bottom row to the top."""
    frame = picture.frames[0]
    height, width, channels = frame.pixels.shape
    fourth = frame.encoding.get("unused") if frame.alpha is None else frame.alpha
    palette = b""
    if fourth is not None:
        colors = np.broadcast_to(frame.pixels, (height, width, 3))
        values = np.dstack([colors[..., ::-1], fourth])
    elif channels == 1:
        values = frame.pixels
        palette = b"".join(bytes((gray, gray, gray, 0)) for gray in range(256))
    else:
        values = frame.pixels[..., ::-1]
    row_bytes = -(-width * values.shape[2] // 4) * 4
    rows = np.zeros((height, row_bytes), np.uint8)
    rows[:, : width * values.shape[2]] = values[::-1].reshape(height, -1)
    return _file(frame, values.shape[2] * 8, palette, rows.tobytes())


def _file(frame: Frame, bits: int, palette: bytes, rows: bytes) -> bytes:
    """Join headers, palette, rows and profile."""
    height, width = frame.pixels.shape[:2]
    by_place = {block.where: block.data for block in frame.carried.blocks}
    profile, space = by_place.get(_PROFILE, b""), by_place.get(_SPACE, b"")
    if frame.alpha is not None and not space:
        space = _SRGB.ljust(56, b"\0")
    length = INFO if not space else V5 if profile or space[-4:].strip(b"\0") else V4
    masked = frame.alpha is not None
    start = FILE_BYTES + length + len(palette)
    per_m = [round(value * _INCHES_PER_M) for value in frame.encoding.get("dpi", (0, 0))]
    head = struct.pack("<2sIII", b"BM", start + len(rows) + len(profile), 0, start)
    compression = bmpheader.FIELDS if masked else bmpheader.RGB
    head += struct.pack(
        "<IiiHHIIii", length, width, height, 1, bits, compression, len(rows), *per_m
    )
    head += struct.pack("<II", len(palette) // 4, 0)
    if space:
        head += struct.pack("<4I", *(_MASKS if masked else (0, 0, 0, 0))) + space[:52]
    if length == V5:
        at = start + len(rows) - FILE_BYTES if profile else 0
        head += space[52:] + struct.pack("<III", at, len(profile), 0)
    return head + palette + rows + profile


CONTAINER = Container(_probe, _read, _write, _check_whole)
