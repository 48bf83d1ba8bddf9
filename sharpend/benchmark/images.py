"""Test images of a benchmark: made from noise and shapes with the spectrum of photographs.

The content hardly affects a model's time, but a codec's: smooth parts, texture and edges are in
each image. Source of the 1/f spectrum: Field, "Relations between the statistics of natural images
and the response properties of cortical cells", JOSA A 4 (1987).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.codec import encode
from sharpend.imaging.filters import degrade
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HD_PX = (1080, 1920)
"""Height and width."""
SIZES_PX = {
    "0.3 MP": (480, 640),
    "2 MP": HD_PX,
    "6 MP": (2000, 3000),
    "24 MP": (4000, 6000),
    "100 MP": (8640, 11552),
}
"""The same of usual sizes."""
_SHAPES = 40
_LEVELS_OF_8_BITS = 257
_NOISE_LEVELS = 128
"""Of 65,535: what the low byte of a 16-bit image from a camera holds."""


def photograph(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make an image that is soft as the report's: reduced to a quarter and enlarged again.

    Args:
        height: pixels.
        width: pixels.
        seed: of the noise and the shapes.

    Returns:
        H x W x 3 uint8.
    """
    chance = np.random.default_rng(seed)
    values = np.stack([_noise(height, width, chance) for _ in range(3)], axis=2)
    values = 0.6 * values[:, :, :1] + 0.4 * values
    for _ in range(_SHAPES):
        top, left = int(chance.integers(height)), int(chance.integers(width))
        box = slice(top, top + height // 6), slice(left, left + width // 6)
        values[box] = 0.5 * values[box] + 0.5 * chance.random(3)
    return degrade((255 * np.clip(values, 0, 1)).astype(np.uint8))


def deep(pixels: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint16]:
    """Widen to 16 bits, with noise in the low byte."""
    noise = np.random.default_rng(seed).integers(0, _NOISE_LEVELS, pixels.shape, np.uint16)
    values = pixels.astype(np.uint32) * _LEVELS_OF_8_BITS + noise
    widened: NDArray[np.uint16] = np.minimum(values, 0xFFFF).astype(np.uint16)
    return widened


def write(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16], kind: Format) -> Path:
    """Write one image in a format, with its default quality.

    Args:
        path: the file, replaced where it exists.
        pixels: H x W x 3.
        kind: a format that holds this depth.
    """
    with path.open("wb") as file:
        encode(Picture.still(pixels, format=kind), file)
    return path


def fill(
    folder: Path, count: int, size: tuple[int, int], kind: Format = Format.JPEG, *, bits: int = 8
) -> Path:
    """Write `count` images of one size into a folder; a few differ, the others repeat them.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    different: list[bytes] = []
    suffix = {Format.JPEG: ".jpg"}.get(kind, f".{kind.value}")
    for number in range(count):
        path = folder / f"{number:06d}{suffix}"
        if number < _DIFFERENT:
            pixels = photograph(*size, seed=number)
            write(path, deep(pixels) if bits > 8 else pixels, kind)  # noqa: PLR2004 - bits of a byte
            different.append(path.read_bytes())
        else:
            path.write_bytes(different[number % _DIFFERENT])
    return folder


_DIFFERENT = 4


def _noise(height: int, width: int, chance: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose amplitude falls with the frequency, in [0, 1]."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    spectrum = np.fft.rfft2(chance.standard_normal((height, width)))
    spectrum /= np.maximum(np.hypot(down, across), 1 / max(height, width))
    values = np.fft.irfft2(spectrum, (height, width))
    lowest, highest = np.percentile(values, [1, 99])
    noise: NDArray[np.float32] = ((values - lowest) / (highest - lowest)).astype(np.float32)
    return noise


def kinds(folder: Path, *, large: bool) -> dict[str, tuple[Path, tuple[int, int]]]:
    """Write one file of each kind whose stages are measured.

    Args:
        folder: exists.
        large: an image of 24 megapixels, too.

    Returns:
        By title the file, and its height and width.
    """
    soft, small = photograph(*HD_PX), photograph(*SIZES_PX["0.3 MP"])
    files = {
        "JPEG 0.3 MP": (write(folder / "small.jpg", small, Format.JPEG), SIZES_PX["0.3 MP"]),
        "JPEG 1080p": (write(folder / "hd.jpg", soft, Format.JPEG), HD_PX),
        "PNG 1080p": (write(folder / "hd.png", soft, Format.PNG), HD_PX),
        "PNG 1080p, 16 bits": (write(folder / "deep.png", deep(soft), Format.PNG), HD_PX),
        "TIFF 1080p": (write(folder / "hd.tif", soft, Format.TIFF), HD_PX),
        "WebP 1080p": (write(folder / "hd.webp", soft, Format.WEBP), HD_PX),
    }
    if large:
        size = SIZES_PX["24 MP"]
        files["JPEG 24 MP"] = (write(folder / "24.jpg", photograph(*size), Format.JPEG), size)
    return files


def folders(base: Path, count: int) -> dict[str, Path]:
    """Make the input folders on which the whole daemon is measured.

    Args:
        base: for the folders.
        count: images of 1080p; the other kinds in proportion.
    """
    return {
        "JPEG 1080p": fill(base / "hd", count, HD_PX),
        "JPEG 0.3 MP": fill(base / "small", 2 * count, SIZES_PX["0.3 MP"]),
        "PNG 1080p": fill(base / "png", max(count // 2, 2), HD_PX, Format.PNG),
        "PNG 1080p, 16 bits": fill(base / "deep", max(count // 4, 2), HD_PX, Format.PNG, bits=16),
    }
