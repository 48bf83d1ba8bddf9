"""The loss of slopes: edges that an image lacks are to become steeper."""

from __future__ import annotations

import pytest
import torch

from trainer.training.losses import QUANTILE, LossWeights, slopes, training_loss


def ramp(width_px: float) -> torch.Tensor:
    """An image with one edge of this width, 1 x 3 x 32 x 32."""
    across = torch.arange(32) - 15.5
    return (across / width_px + 0.5).clamp(0, 1).expand(1, 3, 32, 32)


SHARP, SOFT = ramp(2), ramp(8)


def test_an_edge_that_stays_soft_costs_most() -> None:
    """The loss falls with every step towards the original, and is 0 there."""
    costs = [slopes(SOFT.lerp(SHARP, part), SHARP, SOFT).item() for part in (0, 0.5, 0.9, 1)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 1e-3 * costs[0]


def test_too_flat_costs_more_than_too_steep() -> None:
    """By the ratio of the quantile, for the same difference."""
    flat, steep = (slopes(SOFT.lerp(SHARP, part), SHARP, SOFT).item() for part in (0.9, 1.1))
    assert flat / steep == pytest.approx(QUANTILE / (1 - QUANTILE), rel=0.01)


def test_images_that_lack_nothing_do_not_count() -> None:
    """Whatever is made of a sharp image is the business of the other terms."""
    assert slopes(SOFT, SHARP, SHARP).item() < 1e-3 * slopes(SOFT, SHARP, SOFT).item()


def test_it_counts_as_weighted() -> None:
    """The term of a recipe is this, beside the others."""
    weights = LossWeights(target_slope=2.0, target_l1=3.0)
    loss = training_loss(SOFT, SHARP, None, weights, given=SOFT)
    expected = 2 * slopes(SOFT, SHARP, SOFT) + 3 * (SOFT - SHARP).abs().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_has_a_gradient_on_flat_images() -> None:
    """Black images have no edge, and give no infinite number."""
    output = torch.zeros(1, 3, 16, 16, requires_grad=True)
    black = torch.zeros(1, 3, 16, 16)
    slopes(output, black, black).backward()  # type: ignore[no-untyped-call]
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
