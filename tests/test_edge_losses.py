"""Losses of gradients: steep edges are wanted, noise is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from trainer.training.edge_losses import QUANTILE, Edges, noise, slopes
from trainer.training.losses import LossWeights, training_loss

if TYPE_CHECKING:
    from torch import Tensor


def ramp(width_px: float) -> Tensor:
    """An image with one edge of this width, 1 x 3 x 32 x 32."""
    across = torch.arange(32) - 15.5
    return (across / width_px + 0.5).clamp(0, 1).expand(1, 3, 32, 32)


def grainy(image: Tensor, sigma: float) -> Tensor:
    """The image with noise, the same at each call but for its strength."""
    generator = torch.Generator().manual_seed(0)
    return image + sigma * torch.randn(1, 1, 32, 32, generator=generator)


SHARP, SOFT = ramp(2), ramp(8)


def test_an_edge_that_stays_soft_costs_most() -> None:
    """The loss falls with every step towards the original, and is 0 there."""
    costs = [slopes(SOFT.lerp(SHARP, part), SHARP, SOFT).item() for part in (0, 0.5, 0.9, 1)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-5)


def test_too_flat_costs_more_than_too_steep() -> None:
    """By the ratio of the quantile, for the same difference."""
    flat, steep = (slopes(SOFT.lerp(SHARP, part), SHARP, SOFT).item() for part in (0.9, 1.1))
    assert flat / steep == pytest.approx(QUANTILE / (1 - QUANTILE), rel=0.01)


def test_sharp_images_do_not_count() -> None:
    """Where the input lacks no steepness, there is none to be wanted."""
    assert slopes(SOFT, SHARP, SHARP).item() < 1e-4 * slopes(SOFT, SHARP, SOFT).item()


def test_more_noise_in_calm_parts_costs_and_less_does_not() -> None:
    """Relative to the noise that is there; an edge is no calm part."""
    original = grainy(SHARP, 0.01)
    assert noise(original, original).item() == pytest.approx(0, abs=1e-6)
    assert noise(grainy(SHARP, 0.005), original).item() == 0
    louder = [noise(grainy(SHARP, sigma), original).item() for sigma in (0.011, 0.02)]
    assert 0 < louder[0] < louder[1]
    assert louder[1] == pytest.approx(3, rel=0.1)  # twice the noise has four times the energy
    assert noise(grainy(ramp(1.5), 0.01), original).item() < 0.01


def test_strong_edges_and_calm_parts_are_apart() -> None:
    """No pixel is both, and there are some of either."""
    edges = Edges(grainy(SHARP, 0.01))
    assert (edges.strong * edges.calm).sum() == 0
    assert edges.strong.sum() > 0
    assert edges.calm.mean() > 0.5


def test_both_count_as_weighted() -> None:
    """The terms of a recipe are these."""
    weights = LossWeights(target_slope=2.0, target_noise=3.0)
    output, original = grainy(SOFT, 0.02), grainy(SHARP, 0.01)
    loss = training_loss(output, original, None, weights, given=SOFT)
    expected = 2 * slopes(output, original, SOFT) + 3 * noise(output, original)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_both_have_gradients_on_flat_images() -> None:
    """Black images have no edge, and give no infinite number."""
    output = torch.zeros(1, 3, 16, 16, requires_grad=True)
    black = torch.zeros(1, 3, 16, 16)
    loss = slopes(output, black, black) + noise(output, black)
    loss.backward()  # type: ignore[no-untyped-call]
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
