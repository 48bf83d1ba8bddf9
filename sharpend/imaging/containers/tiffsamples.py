"""TIFF samples: numbers as a file stores them to pixels, alpha and further samples, and back.

Owns what is done to them: planes are joined, palettes applied, fewer than 8 bits and white-is-zero
converted, floating point numbers scaled. Whatever is converted for good has a note.

Source: TIFF 6.0, sections 8 and 18 (ExtraSamples), 19 (SampleFormat).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers.tiffpage import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    PALETTE,
    RGB,
    SEPARATED,
    UNASSOCIATED,
    WHITE_IS_ZERO,
    extra_types,
)
from sharpend.imaging.depth import eight_bits, widened
from sharpend.imaging.source import bit_depth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tifffile
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.picture import Frame

OURS = frozenset({"float", "white", "exact"})
"""Keys of a frame's encoding that are for this module and no options of tifffile."""
_BYTE_BITS = 8
_SEPARATE = 2
_WHITES = (1, 256, 65536)
"""Values that stand for white in floating point: powers of two, by which scaling is exact."""
_BRIGHT = 16
"""Bright values of a range of 256 exceed this; in high dynamic range few do."""
_LARGEST = float(np.finfo(np.float32).max)
_DOUBLE_BITS = 64
_WITHIN = 0.99
"""Share of the values that must lie between black and white."""


def samples_of(
    page: tifffile.TiffPage, values: NDArray[Any], notes: list[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tell the colours of a page from its extra samples, both H x W x N.

    Args:
        page: as tifffile parsed it.
        values: as tifffile decoded it.
        notes: gets a sentence on what was converted for good.

    Returns:
        Gray, RGB or CMYK of 8 or 16 bits or floating point, black 0; and the extra samples.
    """
    if page.planarconfig == _SEPARATE and values.ndim > 2:  # noqa: PLR2004
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, -1)
    count = page.samplesperpixel - len(extra_types(page))
    colors, extra = values[..., :count], values[..., count:]
    is_odd = bool(page.bitspersample % _BYTE_BITS)
    if is_odd:
        extra = _filled(extra, page.bitspersample)
    if page.photometric == PALETTE:
        notes.append("its palette was written as RGB")
        return _apply_palette(colors[..., 0], page), extra
    if is_odd:
        name = "RGB" if page.photometric == RGB else "gray"
        colors = _filled(colors, page.bitspersample)
        bits = 8 * colors.itemsize
        notes.append(f"its {name} of {page.bitspersample} bits was written with {bits}")
    return ~colors if page.photometric == WHITE_IS_ZERO else colors, extra


def _filled(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Scale samples of so many bits to whole bytes."""
    wide = widened(values, bits)
    return wide if bits > _BYTE_BITS else eight_bits(wide)


def keeps_samples(page: tifffile.TiffPage) -> bool:
    """Return whether the samples of a page are written as they were, so that its tags hold."""
    converted = page.photometric in {PALETTE, SEPARATED}
    return not converted and not page.bitspersample % _BYTE_BITS


def alpha_of(types: Sequence[int]) -> int | None:
    """Position of the alpha channel among extra samples of these types; None without one."""
    alphas = (at for at, kind in enumerate(types) if kind in {ASSOCIATED, UNASSOCIATED})
    return next(alphas, None)


def _apply_palette(indices: NDArray[Any], page: tifffile.TiffPage) -> NDArray[np.uint8]:
    """Convert palette indices to colours; some writers store 8-bit colour tables."""
    table = np.asarray(page.colormap)
    if table.max() > 255:  # noqa: PLR2004 - 8 bits
        table = table >> 8
    return np.ascontiguousarray(
        table.astype(np.uint8)[:, indices.astype(np.intp)].transpose(1, 2, 0)
    )


def white_of(colors: NDArray[Any], declared: float) -> int:
    """Choose the value that stands for white in floating point colours: 1, 256 or 65536.

    It is the least that 99 of 100 values do not exceed, and `declared` neither. Where nothing is
    declared, more than 1 needs most values above 1 and 1 of 100 above 16: else the image is one of
    high dynamic range. The few values outside of black and white are kept as they are.

    Args:
        colors: floating point numbers.
        declared: the largest SMaxSampleValue, 0 for none.

    Raises:
        ImageRefusedError: `bit_depth` or `hdr`, where no value is white.
    """
    if not np.isfinite(colors).all():
        raise bit_depth("floating point numbers, some of them infinite or no numbers")
    if np.mean(colors >= 0) < _WITHIN:
        raise bit_depth("floating point numbers, many of them below 0")
    for white in _WHITES:
        if np.mean(colors <= white) >= _WITHIN and declared <= white:
            break
    else:
        raise bit_depth(f"floating point numbers beyond {_WHITES[-1]}")
    most, some = np.mean(colors > 1), np.mean(colors > _BRIGHT)
    if white > 1 and not declared and (most < 1 / 2 or some < 1 - _WITHIN):
        raise ImageRefusedError(
            Reason.HDR,
            "it is of high dynamic range (floating point values above 1); "
            "standard range is sharpened",
        )
    return white


def scaled(values: NDArray[Any], white: int) -> NDArray[np.float32]:
    """Scale floating point numbers to 1 for white; exact, but for the very smallest numbers.

    Those of 64 bits are rounded; `float_options` keeps them.
    """
    if values.dtype == np.float64:
        values = values.clip(-_LARGEST, _LARGEST)
    if white == 1:
        return values.astype(np.float32, copy=False)
    return np.asarray(np.multiply(values, np.float32(1 / white), dtype=np.float32))


def stored(frame: Frame) -> NDArray[Any]:
    """Join pixels, alpha and further samples as tifffile writes them: H x W (x N), or by planes."""
    encoding: Mapping[str, Any] = frame.encoding
    values: NDArray[Any] = frame.pixels
    alpha = None if frame.alpha is None else frame.alpha[..., np.newaxis]
    types = encoding.get("extrasamples") or ()
    if encoding.get("photometric") == WHITE_IS_ZERO:
        values = ~values
    parts = [values, *_extra(frame.unsharpened, alpha, alpha_of(types) or 0)]
    values = np.concatenate(parts, axis=2) if len(parts) > 1 else values
    if "float" in encoding:
        values = _numbers(values, encoding)
    if values.shape[2] == 1:
        return np.ascontiguousarray(values[..., 0])
    if encoding.get("planarconfig") == _SEPARATE:
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return np.ascontiguousarray(values)


def _extra(
    others: NDArray[Sample] | None, alpha: NDArray[Sample] | None, at: int
) -> list[NDArray[Sample]]:
    """Extra samples in their order: alpha lies at `at` among the others."""
    if others is None:
        return [] if alpha is None else [alpha]
    if alpha is None:
        return [others]
    return [others[..., :at], alpha, others[..., at:]]


def _numbers(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    """Scale samples back to the source's white, and to its kind of floating point numbers."""
    white = encoding["white"]
    if "exact" in encoding:
        exact = np.concatenate(encoding["exact"], axis=2)
        for channel in range(exact.shape[2]):
            plane = exact[..., channel]
            plane += (values[..., channel].astype(np.float64) - scaled(plane, white)) * white
        return exact
    if white > 1:
        values = values * np.float32(white)
    return values.astype(encoding["float"], copy=False)


def float_options(
    page: tifffile.TiffPage, white: int, samples: Sequence[NDArray[Any]]
) -> Mapping[str, Any]:
    """Encoding of a frame whose numbers are written as floating point again.

    Args:
        page: of floating point numbers.
        white: the value that stands for white.
        samples: colours and extra samples as they are stored. Those of 64 bits are kept, and what
            changes is added to them: numbers that do not change come back exactly.
    """
    options: dict[str, Any] = {"float": f"f{page.bitspersample // 8}", "white": white}
    if page.bitspersample == _DOUBLE_BITS:
        options["exact"] = tuple(samples)
    return options


def default_options(frame: Frame) -> dict[str, Any]:
    """Choose tifffile's options for a frame that came from no TIFF."""
    return {
        "photometric": RGB if frame.pixels.shape[2] > 1 else BLACK_IS_ZERO,
        "extrasamples": None if frame.alpha is None else (UNASSOCIATED,),
    }
