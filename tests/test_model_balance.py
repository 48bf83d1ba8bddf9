"""What is added has no mean of its own: not over the image, and hardly at any place."""

from __future__ import annotations

import pytest
import torch

from sharpend.model.balance import REACH_PX, balance

SIZES = [(4, 4), (8, 20), (4, 400), (128, 256), (36, 60)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_mean_of_the_whole_picture_stays(height: int, width: int) -> None:
    """Whatever is added, of each channel, up to the edges and in images of one cell."""
    torch.manual_seed(height)
    picture = torch.rand(1, 3, height, width)
    sharpened = (picture + torch.randn_like(picture) * 0.1 + 0.2).clamp_(0, 1)
    assert (sharpened - picture).mean() > 0.02
    balance(sharpened, picture)
    assert (sharpened - picture).mean(dim=(2, 3)).abs().max() < 1e-6


def test_a_shift_is_taken_out_wherever_it_is() -> None:
    """An image that only became brighter is the input again, within the rounding."""
    picture = torch.rand(1, 3, 40, 60) * 0.5
    sharpened = picture + 0.25
    balance(sharpened, picture)
    assert (sharpened - picture).abs().max() < 1e-6


def test_what_is_equal_stays_equal_to_the_bit() -> None:
    """Nothing added is nothing taken."""
    picture = torch.rand(1, 3, 40, 60)
    sharpened = picture.clone()
    balance(sharpened, picture)
    assert torch.equal(sharpened, picture)


def test_it_reaches_as_far_as_it_says() -> None:
    """A changed cell moves others up to the last cell within reach, and none beyond it."""
    picture = torch.full((1, 3, 120, 120), 0.5)
    sharpened = picture.clone()
    sharpened[..., 60:64, 60:64] = 1.0
    balance(sharpened, picture)
    rows = (sharpened != picture).any(dim=3)[0, 0].nonzero()
    assert 60 - REACH_PX <= rows.min() < 60 - REACH_PX + 4
    assert 63 + REACH_PX - 4 < rows.max() <= 63 + REACH_PX
