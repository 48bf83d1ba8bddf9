"""Least gain: slightly soft photographs with little noise always get some detail added.

A model is trained for fidelity to an original, so it adds little where it cannot tell softness from
content. Lenses, sensors and the processing in cameras soften photographs in other ways than the
training images were softened, and a model may add almost nothing to them. Where the measured cues
say that an image is slightly soft and clean, the finest band of the adaptive mask gets a least
gain: in inference alone, because a model in training would learn to undo it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.model.conditioning import FLOOR_TIMES
from sharpend.model.cues import FAINT
from sharpend.model.softness import SHARP_ABOVE, SOFT_BELOW

if TYPE_CHECKING:
    from sharpend.model.cues import Cues
    from sharpend.model.packing import Added

LEAST_GAIN = 1.5
"""Of the finest band; an edge of a slightly soft photograph becomes steeper by about a tenth."""
SHARP, SLIGHTLY_SOFT = SHARP_ABOVE - 0.02, SHARP_ABOVE - 0.1
SOFT, LESS_SOFT = SOFT_BELOW, SOFT_BELOW + 0.05
"""Sharpness at which the gain is nothing, and at which it is whole, at both ends. An image that a
model sharpened twice is near the sharp end and should not change again."""
CLEAN, NOISY = 0.5 / 255, 0.75 / 255
"""Deviation of the finest band at the noise floor up to which the gain is whole, and from which on
it is nothing."""
UNSHARPENED, SHARPENED = -0.7, -0.6
"""Logarithm of the middle band's energy over the coarsest one's up to which the gain is whole, and
from which on it is nothing: sharpening raises it, and what was sharpened once needs no more."""
MOST_TIMES = 3.0
"""Bound of the raise as the gate sees it: the local energy at which it is half open grows with the
square, so that noise is amplified less than by the model alone, or by a twenty-fifth at most."""
OVERSHOOT = 3
"""Levels of 8 bit by which a channel may leave its values around a pixel at the most."""


def with_least_gain(added: Added, cues: Cues) -> Added:
    """Raise the gain of the finest band to the least of this image, if it is below.

    Args:
        added: by a model to a window.
        cues: of the whole image.

    Returns:
        The same if the model has no adaptive mask, or adds as much by itself.
    """
    share = _share(cues)
    if not added.gains or not share or added.gains[0] >= LEAST_GAIN:
        return added
    given, *others = added.gains
    finest = given + share * (LEAST_GAIN - given)
    gains = (finest, *others)
    noise = sum(gain**2 * energy for gain, energy in zip(gains, cues.floor, strict=True))
    times = finest / given if given > finest / MOST_TIMES else MOST_TIMES
    floor = max(added.floor, FLOOR_TIMES * times**2 * noise)
    return replace(added, gains=gains, floor=floor, overshoot=OVERSHOOT)


def _share(cues: Cues) -> float:
    """Share of the least gain that an image gets, 0..1: the least by any of the measures."""
    _, middle, coarse = (energy + FAINT * 1e-3 for energy in cues.whole)
    return min(
        _rise(cues.sharpness, SHARP, SLIGHTLY_SOFT),
        _rise(cues.sharpness, SOFT, LESS_SOFT),
        _rise(math.log(middle / coarse), SHARPENED, UNSHARPENED),
        _rise(math.sqrt(cues.floor[0]), NOISY, CLEAN),
    )


def _rise(value: float, nothing: float, whole: float) -> float:
    """Interpolate from 0 at `nothing` to 1 at `whole`; 0 and 1 beyond."""
    return max(0.0, min(1.0, (value - nothing) / (whole - nothing)))
