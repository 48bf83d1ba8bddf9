"""How Pillow is to write a picture again at the quality that its file had.

Owns the choice of Pillow's save options for each format: what the source tells (JPEG's
quantisation tables and subsampling, WebP's quantisers) is kept; where it tells nothing, a measured
constant stands. Metadata is not its business.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import Kind
from sharpend.imaging.png import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sharpend.imaging.header import Header

Encoding = dict[str, object]
"""Pillow's save options, and what else `saving` has to know of the source."""
OPTIONS: Mapping[Kind, str] = {Kind.EXIF: "exif", Kind.ICC: "icc_profile", Kind.XMP: "xmp"}
"""Pillow's names of metadata, in its info and as save options."""

_WEBP_LOSSLESS: Encoding = {"lossless": True, "exact": True, "quality": 20, "method": 2}
"""Half the time of Pillow's default, 1 % more bytes; `exact` keeps colours under alpha 0."""
_AVIF: Encoding = {"quality": 85, "speed": 8}
"""A file written at quality 75 comes out 1.2 times as large, 43.5 dB from what was read; speed 8
takes half of 6's time for 5 % more bytes."""
_AVIF_EXACT_ALPHA: Encoding = {"codec": "aom", "advanced": {"alpha:lossless": "1"}}
_ORIENTATION = 0x0112
_HEIC_QUALITY = 90
_JXL_QUALITY = 95
_JPEG_QUALITY = 95


def encoding_of(image: Image.Image, header: Header) -> Encoding:
    """The save options for a picture like `image`.

    Args:
        image: as opened; its pixels need not be loaded.
        header: what the file's header said.
    """
    return _CHOICES[header.format](image, header)


@cache
def _first_tables() -> tuple[tuple[int, ...], ...]:
    """The first quantisation table of libjpeg's qualities 1 to 100."""
    tables = []
    for quality in range(1, 101):
        buffer = BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as image:
            assert isinstance(image, JpegImageFile)  # noqa: S101 - tells the type checker
            tables.append(tuple(image.quantization[0]))
    return tuple(tables)


def jpeg_quality(table: Sequence[int]) -> int:
    """The quality of libjpeg's whose first quantisation table is nearest.

    Args:
        table: 64 numbers in any order.
    """
    total = sum(table)
    distances = [abs(sum(each) - total) for each in _first_tables()]
    return 1 + distances.index(min(distances))


def _jpeg(image: Image.Image, _header: Header) -> Encoding:
    if not isinstance(image, JpegImageFile):
        raise TypeError(type(image))
    tables = [image.quantization[component[3]] for component in image.layer]
    encoding: Encoding = {"progressive": "progressive" in image.info}
    if image.mode == "CMYK":
        return encoding | {"quality": _JPEG_QUALITY, "subsampling": 0}
    encoding["qtables"] = tables[:2] if tables[1:2] == tables[2:] else tables
    if len(tables) > 1:
        # Of the samplings Pillow cannot write, full colour is the lossless choice.
        encoding["subsampling"] = get_sampling(image) if keeps_sampling(image) else 0
        encoding["keep_rgb"] = _is_rgb(image)
    return encoding


def keeps_sampling(image: Image.Image) -> bool:
    """Whether a JPEG's sampling can be written again: not 4:4:0, 4:1:1 and subsampled RGB."""
    return get_sampling(image) in ({0} if _is_rgb(image) else {0, 1, 2})


def _is_rgb(image: Image.Image) -> bool:
    """Whether a JPEG codes red, green and blue; with JFIF's marker it never does."""
    return image.info.get("adobe_transform") == 0 and "jfif" not in image.info


def _png(_image: Image.Image, _header: Header) -> Encoding:
    return {"compress_level": LEVEL}


def _webp(_image: Image.Image, header: Header) -> Encoding:
    if header.quality is None:
        return _WEBP_LOSSLESS
    return {"exact": True, "quality": header.quality}


def _avif(image: Image.Image, header: Header) -> Encoding:
    # Of the file's own properties; Pillow has written it into its copy of the EXIF.
    encoding = {**_AVIF, "orientation": image.getexif().get(_ORIENTATION, 1)}
    if header.lossless:
        encoding["quality"] = 100
    if header.primaries is not None:
        encoding["colour"] = (header.primaries, header.transfer)
    if not header.gray:
        encoding["subsampling"] = header.subsampling
    if "A" in image.mode:
        encoding |= _AVIF_EXACT_ALPHA
    return encoding


def _bmp(image: Image.Image, _header: Header) -> Encoding:
    return {"dpi": image.info.get("dpi", (0, 0))}  # Pillow would make 96 up


def _heic(image: Image.Image, header: Header) -> Encoding:
    encoding: Encoding = {"quality": _HEIC_QUALITY, "chroma": header.subsampling.replace(":", "")}
    if "A" in image.mode:  # only what is lossless as a whole has an exact alpha
        encoding = {"quality": -1, "chroma": "444", "matrix_coefficients": 0}
    if header.primaries is not None:
        encoding["colour"] = (header.primaries, header.transfer)
    return encoding


def _jxl(_image: Image.Image, header: Header) -> Encoding:
    return {"lossless": True} if header.lossless else {"quality": _JXL_QUALITY}


def _plain(_image: Image.Image, _header: Header) -> Encoding:
    return {}


_CHOICES: Mapping[Format, Callable[[Image.Image, Header], Encoding]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.AVIF: _avif,
    Format.GIF: _plain,
    Format.BMP: _bmp,
    Format.HEIC: _heic,
    Format.JXL: _jxl,
}
