"""How to write a picture again at the quality that its file had.

Owns the choice of Pillow's save options for each format: what the source tells (JPEG's
quantisation tables and subsampling, WebP's quantisers, TIFF's compression) is kept; where it tells
nothing, a measured constant stands. Metadata is not its business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.TiffImagePlugin import TiffImageFile

from sharpend.imaging.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from sharpend.imaging.headers import Header

Encoding = dict[str, object]
"""Pillow's save options."""

PNG: Encoding = {"compress_level": 3}
"""A 1080p photograph takes 265 ms at level 3 and 707 ms at 6, for a few per cent of size."""

_WEBP_LOSSLESS: Encoding = {"lossless": True, "exact": True, "quality": 20, "method": 2}
"""Half the time of Pillow's default, 1 % more bytes; `exact` keeps colours under alpha 0."""
_AVIF: Encoding = {"quality": 85, "speed": 8}
"""A file written at quality 75 comes out 1.2 times as large, 43.5 dB from what was read; speed 8
takes half of 6's time for 5 % more bytes."""
_AVIF_EXACT_ALPHA: Encoding = {"codec": "aom", "advanced": {"alpha:lossless": "1"}}

_TIFF_KEPT = frozenset({"raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"})
_TIFF_JPEG_QUALITY = 95
_TIFF_PREDICTOR, _DIFFERENCING = 317, 2


def encoding_of(image: Image.Image, header: Header) -> tuple[Encoding, tuple[str, ...]]:
    """The save options for a picture like `image`, and notes on what could not be kept.

    Args:
        image: as opened; its pixels need not be loaded.
        header: what the file's header said.
    """
    return _CHOICES[header.format](image, header)


def _jpeg(image: Image.Image, _header: Header) -> tuple[Encoding, tuple[str, ...]]:
    if not isinstance(image, JpegImageFile):
        raise TypeError(type(image))
    tables = [image.quantization[component[3]] for component in image.layer]
    colour = len(tables) > 1
    encoding: Encoding = {
        "qtables": tables[:2] if tables[1:2] == tables[2:] else tables,
        "progressive": "progressive" in image.info,
    }
    if colour:
        # Of the samplings Pillow cannot write (4:4:0, 4:1:1), full colour is the lossless choice.
        encoding["subsampling"] = max(get_sampling(image), 0)
        encoding["keep_rgb"] = image.info.get("adobe_transform") == 0
    notes = ("the further pictures in this phone's JPEG were not kept",)
    return encoding, notes if "mp" in image.info else ()


def _png(_image: Image.Image, _header: Header) -> tuple[Encoding, tuple[str, ...]]:
    return PNG, ()


def _webp(_image: Image.Image, header: Header) -> tuple[Encoding, tuple[str, ...]]:
    if header.quality is None:
        return _WEBP_LOSSLESS, ()
    return {"exact": True, "quality": header.quality}, ()


def _avif(image: Image.Image, header: Header) -> tuple[Encoding, tuple[str, ...]]:
    encoding = dict(_AVIF)
    if not header.gray:
        encoding["subsampling"] = header.subsampling
    if "A" in image.mode:
        encoding |= _AVIF_EXACT_ALPHA
    return encoding, ()


def _tiff(image: Image.Image, _header: Header) -> tuple[Encoding, tuple[str, ...]]:
    compression = str(image.info.get("compression"))
    compression = {"tiff_deflate": "tiff_adobe_deflate"}.get(compression, compression)
    if compression == "jpeg" and image.mode in {"L", "RGB"}:
        return {"compression": "jpeg", "quality": _TIFF_JPEG_QUALITY}, ()
    notes: tuple[str, ...] = ()
    if compression not in _TIFF_KEPT:
        notes = (f"its TIFF compression {compression} was replaced by lossless deflate",)
        compression = "tiff_adobe_deflate"
    encoding: Encoding = {"compression": compression}
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_TIFF_PREDICTOR) == _DIFFERENCING:
        encoding["tiffinfo"] = {_TIFF_PREDICTOR: _DIFFERENCING}
    return encoding, notes


_CHOICES: Mapping[Format, Callable[[Image.Image, Header], tuple[Encoding, tuple[str, ...]]]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.AVIF: _avif,
    Format.TIFF: _tiff,
}
