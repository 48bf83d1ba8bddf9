"""Ranges for int8: what enters convolutions, measured on training images, on the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from sharpend.errors import UnavailableError, UsageError
from sharpend.model import weights
from sharpend.model.networks import ResidualBlock, StudentNet
from sharpend.model.weights import Card, save_network
from tests.conftest import photograph
from trainer import cli
from trainer.publishing.calibration import _least_loss, activation_ranges
from trainer.publishing.rewriting import rewrite
from trainer.training.dataset import write_image

if TYPE_CHECKING:
    from pathlib import Path

CARD = """---
license: ""
datasets:
- "own"
---

## Curve

| step | loss |
|---|---|
| 1 | 0.5 |
"""


def test_a_range_is_of_the_most_values_not_of_the_largest() -> None:
    """Where one value in many is far out, clipping it costs less than coarse steps for all."""
    even = torch.linspace(0, 1, 10_001)
    assert _least_loss(even) == pytest.approx(1, abs=0.01)
    few_are_larger = torch.cat([torch.linspace(-1, 1, 1_000_001), torch.tensor([3.0])])
    assert 0.9 < _least_loss(few_are_larger) < 1.6
    assert _least_loss(few_are_larger, power=2) >= _least_loss(few_are_larger)


def test_ranges_are_of_the_convolutions_in_their_order() -> None:
    """A convolution that is given ten times as much has a range ten times as wide."""
    torch.manual_seed(1)
    network = StudentNet(16, 2).eval().requires_grad_(requires_grad=False)
    images = [photograph(90, 110, seed=seed) for seed in range(2)]
    kinds = {"as it is": lambda pixels: pixels}
    before = activation_ranges(network, images, kinds)
    second = network.body[1]
    assert isinstance(second, ResidualBlock)
    second.first.weight.mul_(10)
    assert second.first.bias is not None
    second.first.bias.mul_(10)
    after = activation_ranges(network, images, kinds)
    assert len(after) == 6
    assert after[:4] == before[:4]
    assert after[4] == pytest.approx(10 * before[4], rel=0.05)
    with pytest.raises(UsageError, match="no images"):
        activation_ranges(network, [], kinds)


def test_calibrate_writes_ranges_into_the_card(tmp_path: Path) -> None:
    """The tensors stay, other parts of the card too; wrong ranges are refused at the next load."""
    network = StudentNet(16, 1)
    student = tmp_path / "small.safetensors"
    save_network(student, network, Card("small", "student", 16, 1, network.halo_px))
    student.with_suffix(".md").write_text(CARD)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(4):
        write_image(photograph(70, 80, seed=seed), pictures / f"{seed}.png")
    split = tmp_path / "split.json"
    prepare = ["prepare", pictures, "--data", split, "--validation", 0.5, "--smallest-px", 32]
    assert cli.main([str(one) for one in prepare]) == 0
    before = weights.load(str(student))
    assert not before.has_ranges
    command = ["calibrate", student, "--data", split, "--images", 2]
    assert cli.main([str(one) for one in command]) == 0
    after = weights.load(str(student))
    assert after.digest == before.digest
    assert after.has_ranges
    assert len(after.card.ranges) == 4
    save_network(student, network, Card("small", "student", 16, 1, network.halo_px, ranges=(1.0,)))
    with pytest.raises(UnavailableError, match="ranges"):
        weights.load(str(student))
    save_network(student, network, after.card)
    assert rewrite(student, before.card).card == before.card
