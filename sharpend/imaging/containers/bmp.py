"""BMP: read the header, check for truncation, and write 32-bit files with alpha.

Source: the BITMAPCOREHEADER, BITMAPINFOHEADER and BITMAPV4HEADER structures of the Windows GDI
documentation.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.containers import pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Carried
from sharpend.imaging.reading import Reader, damaged, truncated
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.depth import Sample
    from sharpend.imaging.picture import Picture
    from sharpend.imaging.source import Source

_CORE_BYTES = 12
_BYTE_BITS = 8
_UNCOMPRESSED = (0, 3)
"""BI_RGB and BI_BITFIELDS."""
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
"""Bit masks of red, green, blue and alpha in 32 bits."""
_FILE_BYTES, _V4_BYTES = 14, 108
_INCHES_PER_M = 39.3701
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})


def _probe(reader: Reader) -> Header:
    """Read size and bit depth; packed colours count as 8 bits."""
    height, width, bits, _ = _sizes(reader)
    return Header(Format.BMP, height, width, min(bits, _BYTE_BITS))


def _sizes(reader: Reader) -> tuple[int, int, int, bool]:
    """Height, width, bits per pixel, and whether rows have a fixed length."""
    length = int.from_bytes(reader.at(14, 4), "little")
    if length == _CORE_BYTES:
        width, height, _, bits = struct.unpack("<HHHH", reader.at(18, 8))
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack("<iiHHI", reader.at(18, 16))
    if bits not in _DEPTHS or width < 0:
        raise damaged(f"it declares {bits} bits per pixel and a width of {width}")
    return abs(height), width, bits, compression in _UNCOMPRESSED


def _check_whole(data: bytes) -> None:
    """Refuse a truncated file."""
    height, width, bits, fixed = _sizes(Reader(BytesIO(data)))
    row_bytes = (width * bits + 31) // 32 * 4
    start = int.from_bytes(data[10:14], "little")
    if fixed and start + height * row_bytes > len(data):
        raise truncated()


def _with_alpha(
    pixels: NDArray[Sample], alpha: NDArray[Sample], dpi: tuple[float, float] | None
) -> bytes:
    """Encode a BMP of 32 bits per pixel whose header declares an alpha mask."""
    height, width, _ = pixels.shape
    colors = np.broadcast_to(pixels, (height, width, 3))
    rows = np.dstack([colors[..., ::-1], alpha])[::-1].tobytes()
    start = _FILE_BYTES + _V4_BYTES
    per_m = [round(value * _INCHES_PER_M) for value in dpi or (0, 0)]
    head = struct.pack("<2sIII", b"BM", start + len(rows), 0, start)
    head += struct.pack("<IiiHHIIii", _V4_BYTES, width, height, 1, 32, 3, len(rows), *per_m)
    head += struct.pack("<II4I4s", 0, 0, *_MASKS, b"BGRs")
    return head.ljust(start, b"\0") + rows


def _carried(_source: Source, _image: Image.Image) -> Told:
    return Carried(), []


def _options(_source: Source, image: Image.Image, _count: int) -> Options:
    return {"dpi": image.info.get("dpi", (0, 0))}  # Pillow would make 96 up


def _write(picture: Picture) -> bytes:
    frame = picture.frames[0]
    if frame.alpha is None:
        return pillow.write(picture)
    return _with_alpha(frame.pixels, frame.alpha, frame.encoding.get("dpi"))


CONTAINER = Container(_probe, pillow.Reading(_carried, _options), _write, _check_whole)
