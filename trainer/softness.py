"""The kinds of softness that an agreement is measured over, by name.

Owns the registry alone. A kind is a pure function from a sharp picture to what a user might drop
in; a new one needs nothing but a line here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import UsageError
from sharpend.imaging.filters import degrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trainer.degradation import Pixels

    Softening = Callable[[Pixels], Pixels]

_REACH = 4
"""Standard deviations to which a Gaussian is cut: what lies beyond is below a level of 8 bits."""


def gaussian(pixels: Pixels, *, sigma: float) -> Pixels:
    """Blur with a Gaussian of `sigma` pixels, in encoded values, mirrored at the borders.

    Args:
        pixels: H x W x C uint8.
        sigma: the standard deviation, in pixels.

    Returns:
        The same shape, uint8.
    """
    reach = max(1, round(_REACH * sigma))
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    blurred = pixels.astype(np.float64)
    for axis in (0, 1):
        width = [(reach, reach) if side == axis else (0, 0) for side in range(3)]
        padded, size = np.pad(blurred, width, mode="symmetric"), blurred.shape[axis]
        steps = (padded.take(range(at, at + size), axis) for at in range(2 * reach + 1))
        blurred = sum(weight * step for weight, step in zip(kernel, steps, strict=True))
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def sharp(pixels: Pixels) -> Pixels:
    """Leave the picture as it is."""
    return pixels


SOFTENINGS: Mapping[str, Softening] = {
    "x4": partial(degrade, factor=4),
    "x2": partial(degrade, factor=2),
    "gaussian-1": partial(gaussian, sigma=1.0),
    "gaussian-2": partial(gaussian, sigma=2.0),
    "sharp": sharp,
}
"""By the name that reports and cards use."""


def softenings(names: Iterable[str] = ()) -> dict[str, Softening]:
    """The kinds of these names, in this order; all of them where none is named.

    Raises:
        UsageError: there is no kind of a name.
    """
    wanted = list(names) or list(SOFTENINGS)
    for name in wanted:
        if name not in SOFTENINGS:
            raise UsageError(f"no kind is called {name}; there are {', '.join(SOFTENINGS)}")
    return {name: SOFTENINGS[name] for name in wanted}
