"""Cost of each format: `python -m tests.format_costs` prints what its row of the table has.

Processor time of reading and writing a megapixel of photographs, all threads together, so that
other programs on the machine count little.
"""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image
from skimage import data

from sharpend.imaging import codec, extras
from sharpend.imaging.formats import TABLE, Format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_HEIGHT, _WIDTH = 300, 448
"""Of a tile; the smallest photograph decides."""
_ROWS, _COLUMNS = 4, 4
_OPTIONS: Mapping[Format, dict[str, Any]] = {
    Format.JPEG: {"quality": 90},
    Format.WEBP: {"quality": 90},
    Format.TIFF: {"compression": "tiff_lzw"},
    Format.AVIF: {"quality": 75},
    Format.HEIC: {"quality": 75},
}
_MOST = 10**9


def photograph() -> NDArray[np.uint8]:
    """Tile several photographs to two megapixels, H x W x 3."""
    names = ("astronaut", "coffee", "rocket", "chelsea")
    tiles = [np.asarray(getattr(data, name)())[:_HEIGHT, :_WIDTH] for name in names]
    rows = [[tiles[(row + at) % 4] for at in range(_COLUMNS)] for row in range(_ROWS)]
    return np.vstack([np.hstack(row) for row in rows])


def cost(found: Format, pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Processor seconds a megapixel of reading and of writing."""
    if found is Format.JXL:
        file = BytesIO(bytes(imagecodecs.jpegxl_encode(pixels, distance=1.0)))
    else:
        extras.load(found)
        file = BytesIO()
        Image.fromarray(pixels).save(file, found, **_OPTIONS.get(found, {}))
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    start = time.process_time()
    picture = codec.decode(file, max_pixels=_MOST, max_bytes=_MOST)
    middle = time.process_time()
    codec.encode(picture, BytesIO())
    return (middle - start) / megapixels, (time.process_time() - middle) / megapixels


def main() -> None:
    """Measure each format and print it beside what the table says."""
    pixels = photograph()
    print("format      read   write  both  table")  # noqa: T201 - its output
    for found, row in TABLE.items():
        read, write = cost(found, pixels)
        print(f"{row.title[:10]:10} {read:6.3f} {write:6.3f} {read + write:6.3f} {row.cost_s:6.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
