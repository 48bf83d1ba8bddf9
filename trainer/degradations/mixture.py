"""Mixtures: the interface of every degradation that training draws from, and the rule for targets.

A mixture turns an original into the input of a network and its target. The target is input +
(original - softened): the network learns to restore lost detail only, while noise and compression
stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """An image, H x W x 3, sRGB-encoded."""
    Sharpen = Callable[[Pixels], Pixels]
    Mixture = Callable[[Pixels, np.random.Generator, Sharpen | None], "Degraded"]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A mixture, with the sections of the model card that depend on it, as Markdown.

    Attributes:
        mixture: the function that draws one example.
        use: "Intended use"; `{softened_by}` and `{degradation}` are filled from the card.
        limits: "Limits".
    """

    mixture: Mixture
    use: str
    limits: str


UNTOUCHED = "none"
"""Kind of an example that was not softened."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """One example of a mixture, H x W x 3 uint8 each."""

    kind: str
    """Kind of softness, as the mixture names it."""
    input: Pixels
    target: Pixels


def chance(generator: np.random.Generator, share: float) -> bool:
    """Draw true in this share of the cases."""
    return bool(generator.random() < share)


def residual_target(given: Pixels, original: Pixels, softened: Pixels) -> Pixels:
    """The target: input + (original - softened), within 0..255."""
    target = given.astype(np.int16) + original - softened
    clipped: Pixels = np.clip(target, 0, 255).astype(np.uint8)
    return clipped
