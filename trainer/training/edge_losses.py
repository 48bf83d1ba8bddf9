"""Losses of gradients: steepness of strong edges, and noise of the calm parts between them.

A loss of differences makes an edge flatter than it was wherever the network cannot know how soft
an image is, because it pays for the mean of what is possible. A quantile loss pays for a higher
value. All gradients are central differences of the mean of the channels, per pixel.

Source: Koenker and Bassett 1978, "Regression Quantiles" (Econometrica 46).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

QUANTILE = 0.8
"""An output that is too flat weighs four times as much as one that is too steep."""
STRONG = 2.5
"""Strong edges are at least as many times as steep as the mean of the image: about a tenth of the
pixels."""
CALM = 0.7
"""Calm parts are at most as many times as steep: about two thirds."""
_FLAT = 1e-6
"""Squared gradient of a quarter of a level, as which less counts."""
_LEAST = 5e-7
"""Mean squared gradient below which an error does not weigh more, if the parts are a twentieth."""


class Edges:
    """Gradients of the originals, B x 3 x H x W in [0, 1].

    Attributes:
        steepness: B x H - 2 x W - 2, length of the gradient.
        strong: the same shape, 1 at strong edges and 0 elsewhere.
        calm: the same in calm parts.
    """

    def __init__(self, originals: Tensor) -> None:
        self._right, self._down = _gradients(originals)
        self.steepness = (self._right.square() + self._down.square() + _FLAT).sqrt()
        mean = self.steepness.mean((1, 2), keepdim=True)
        self.strong = (self.steepness >= STRONG * mean).float()
        self.calm = (self.steepness <= CALM * mean).float()

    def slopes_of(self, images: Tensor) -> Tensor:
        """Compute slopes of other images along these gradients, B x H - 2 x W - 2."""
        right, down = _gradients(images)
        return (right * self._right + down * self._down) / self.steepness


def slopes(output: Tensor, original: Tensor, given: Tensor | None) -> Tensor:
    """Quantile loss of the slopes of strong edges, relative to these; mean over the images.

    A pixel weighs as its slope in the original exceeds that in the input, so sharp images do not
    count.

    Args:
        output: the network's images, B x 3 x H x W.
        original: the same shape.
        given: its inputs, the same shape.

    Raises:
        ValueError: there are no inputs.
    """
    if given is None:
        raise ValueError("target_slope has a weight, but there are no inputs to compare with")
    edges = Edges(original)
    lack = (edges.steepness - edges.slopes_of(given)).clamp(min=0) * edges.strong
    flatter = edges.steepness - edges.slopes_of(output)
    error = torch.maximum(QUANTILE * flatter, (QUANTILE - 1) * flatter)
    return _relative((error * lack).sum((1, 2)), edges.steepness.square() * edges.strong)


def noise(output: Tensor, original: Tensor) -> Tensor:
    """Excess of the energy of gradients in calm parts, relative to it; mean over the images.

    Each image counts as a whole: single pixels may be steeper than the original's, as detail that
    is restored by halves is.

    Args:
        output: the network's images, B x 3 x H x W.
        original: the same shape, with the noise of the inputs.
    """
    edges = Edges(original)
    right, down = _gradients(output)
    energy = (right.square() + down.square()) * edges.calm
    wanted = edges.steepness.square() * edges.calm
    excess = (energy.sum((1, 2)) - wanted.sum((1, 2))).clamp(min=0)
    return _relative(excess, wanted)


def _relative(error: Tensor, scale: Tensor) -> Tensor:
    """Ratio of the errors of images to the sums of B x H x W values, mean of the images."""
    least = _LEAST * scale[0].numel()
    return (error / (scale.sum((1, 2)) + least)).mean()


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute gradients to the right and down, B x H - 2 x W - 2 each."""
    mean = images.mean(1)
    right = (mean[:, 1:-1, 2:] - mean[:, 1:-1, :-2]) / 2
    down = (mean[:, 2:, 1:-1] - mean[:, :-2, 1:-1]) / 2
    return right, down
