"""The report's degradation: bicubic reduction and enlargement, in training and in tests.

Owns the pair (degraded, original) and the size of the reduced image. The resizer itself is
`sharpend.imaging.filters`; only the report's literal pair goes through torchvision, which resizes
PIL images with the same Pillow kernel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import UnavailableError
from sharpend.imaging.filters import degrade, resize
from trainer.degradations.mixture import Degradation, Degraded

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.degradations.mixture import Pixels, Sharpen

    Transform = Callable[[Pixels], tuple[Pixels, Pixels]]

SOFTENED_BY = 4
"""Factor of the reduction."""
LITERAL_SMALL = (270, 480)
LITERAL_LARGE = (1080, 1920)
"""(height, width) in pixels of the report's literal pair."""

_USE = """\
Photographs that were softened by about a factor of {softened_by}: enlarged from a smaller file,
slightly out of focus, or scaled by a sloppy tool. It was trained on images reduced bicubically to
1/{softened_by} of each side, with 8 bits in between, and enlarged again by the same kernel."""

_LIMITS = """\
- It restores what such a reduction takes away, and nothing else: not noise, not blocks of strong
  JPEG compression, not motion blur, not scratches.
- An image that is sharp already gains nothing and may get edges that are too hard; `strength`
  below 1 softens the effect.
- Detail that is lost is guessed. Do not use the output as evidence or for measurements.
- Trained on photographs: text, drawings and screenshots are outside of it."""


def get_transform(*, factor: int = SOFTENED_BY, literal: bool = False) -> Transform:
    """The report's transform, from original pixels to (degraded, original) pixels.

    Args:
        factor: of the bicubic reduction at the image's own size, aspect kept, 8 bits in between.
        literal: follow the report to the letter: down to 270 x 480, up to 1080 x 1920, and
            the original resized to 1080 x 1920 as well, whatever its shape; `factor` is not used.

    Returns:
        A picklable callable: H x W x 3 uint8 to two arrays of one shape, H x W x 3 uint8.
    """
    return _literal_pair if literal else partial(_pair, factor=factor)


def _pair(pixels: Pixels, *, factor: int) -> tuple[Pixels, Pixels]:
    return degrade(pixels, factor=factor), pixels


def _literal_pair(pixels: Pixels) -> tuple[Pixels, Pixels]:
    try:
        from torchvision.transforms import InterpolationMode, v2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnavailableError(
            "the literal degradation needs torchvision: pip install 'sharpend[train]'"
        ) from error
    small = v2.Resize(LITERAL_SMALL, InterpolationMode.BICUBIC, antialias=True)
    large = v2.Resize(LITERAL_LARGE, InterpolationMode.BICUBIC, antialias=True)
    original = v2.functional.to_pil_image(pixels)
    return np.array(large(small(original))), np.array(large(original))


def shrunk(pixels: Pixels, *, factor: int = SOFTENED_BY) -> Pixels:
    """Reduce an image to the input of a pretrained upscaler.

    Args:
        pixels: H x W x 3 uint8.
        factor: of the reduction.

    Returns:
        Each side divided by `factor` and rounded, at least one pixel; uint8.
    """
    height, width = (max(1, round(size / factor)) for size in pixels.shape[:2])
    return resize(pixels, height=height, width=width)


def softened(original: Pixels) -> tuple[Pixels, Pixels]:
    """Make both inputs of a method from a sharp image: reduced, and enlarged again.

    Args:
        original: H x W x 3 uint8.

    Returns:
        (small, degraded), uint8; the second is what `get_transform` makes too.
    """
    small = shrunk(original)
    height, width = original.shape[:2]
    return small, resize(small, height=height, width=width)


def bicubic(pixels: Pixels, _: np.random.Generator, __: Sharpen | None = None) -> Degraded:
    """The report's degradation as a mixture: always the same, nothing is drawn."""
    degraded, original = get_transform()(pixels)
    return Degraded("x4", degraded, original)


REPORT = Degradation(bicubic, _USE, _LIMITS)
