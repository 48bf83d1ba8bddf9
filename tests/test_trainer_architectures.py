"""What a recipe's network table builds, and that branches fold away without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpend.errors import UnavailableError, UsageError
from sharpend.model.cues import CUES, MEASURED, cues_of
from sharpend.model.networks import StudentNet
from sharpend.model.weights import Card, save_network
from trainer.training.architectures import Branches, begin_with, build, folded
from trainer.training.checkpoint import start_tensors
from trainer.training.recipe import NetworkConfig, read_recipe


@pytest.mark.parametrize(
    ("recipe", "least", "most"),
    [
        ("report-student", 883, 883),
        ("report-teacher", 40_451, 40_451),
        ("lite-x4", 60_000, 70_000),
        ("base-x4", 200_000, 300_000),
        ("teacher-x4", 1_000_000, 2_500_000),
        ("lite-photo", 60_000, 70_000),
        ("base-photo", 200_000, 300_000),
        ("teacher-photo", 1_000_000, 2_500_000),
    ],
)
def test_sizes_are_those_that_were_promised(recipe: str, least: int, most: int) -> None:
    """The report's two to the parameter, ours within the range of their issue."""
    network = build(read_recipe(recipe).network)
    assert least <= sum(values.numel() for values in network.parameters()) <= most


def test_folding_changes_nothing_but_the_cost() -> None:
    """A network with trained branches and its folded copy give the same image."""
    torch.manual_seed(0)
    table = NetworkConfig("student", channels=8, blocks=1, bias_free=True, branches=5)
    network = build(table)
    for layer in network.modules():
        if isinstance(layer, Branches):
            torch.nn.init.normal_(layer.squeeze, std=0.1)
            torch.nn.init.normal_(layer.pointwise, std=0.1)
    plain = folded(network, table)
    picture = torch.rand(1, 3, 24, 28)
    assert torch.allclose(plain(picture), network(picture), atol=1e-6)
    assert not any(isinstance(layer, Branches) for layer in plain.modules())
    small = build(NetworkConfig("student", channels=8, blocks=1, bias_free=True))
    assert plain.state_dict().keys() == small.state_dict().keys()


def test_branches_begin_as_the_plain_network_and_learn() -> None:
    """They add nothing at first, and each path has a gradient once the first step is done."""
    table = NetworkConfig("student", channels=8, blocks=1, branches=5)
    torch.manual_seed(0)
    network = build(table)
    layer = network.get_submodule("head.parametrizations.weight.0")
    kernel = torch.rand(8, 48, 3, 3)
    assert torch.equal(layer(kernel), kernel)
    picture = torch.rand(1, 3, 16, 16)
    rule = torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(2):
        rule.zero_grad()
        (network(picture) - picture.roll(1, -1)).square().mean().backward()
        rule.step()
    for name, values in layer.named_parameters():
        assert values.grad is not None
        assert values.grad.abs().sum() > 0, name


def test_scales_of_blocks_can_be_held() -> None:
    """After a step the first and last scale have moved, and those of the blocks are at 1."""
    torch.manual_seed(0)
    network = build(NetworkConfig("student", 8, 2, cued=True, scaled_blocks=False))
    assert isinstance(network, StudentNet)
    picture, measured = torch.rand(2, 3, 16, 16), torch.rand(2, MEASURED)
    rule = torch.optim.Adam(network.parameters(), lr=0.01)
    (network(picture, measured) - picture.roll(1, -1)).square().mean().backward()
    rule.step()
    first, *blocks, last = network.scales(cues_of(measured))
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in blocks)
    assert all((scale != 1).any() for scale in (first, last))


def test_a_run_can_begin_with_other_weights(tmp_path: Path) -> None:
    """Tensors of the same name and shape are taken, also under branches; the rest begins fresh."""
    torch.manual_seed(0)
    given = StudentNet(8, 1)
    path = str(tmp_path / "given.safetensors")
    save_network(Path(path), given, Card("given", "student", 8, 1, given.halo_px))
    tensors = start_tensors(path)
    for table in (
        NetworkConfig("student", 8, 2),
        NetworkConfig("student", 8, 2, bias_free=True, branches=2),
    ):
        network = build(table)
        begin_with(network, tensors)
        taken, wanted = (one.get_submodule("body.0.first").weight for one in (network, given))
        assert isinstance(taken, torch.Tensor)
        assert isinstance(wanted, torch.Tensor)
        assert torch.equal(taken, wanted)
        begin_with(network, tensors, tail=0.5)
        for name, value in network.named_parameters():
            if name.startswith("tail.") and name.endswith(("weight", "original")):
                assert torch.equal(value, given.tail.weight * 0.5)
    with pytest.raises(UsageError, match=r"network\.start: none of its tensors fits"):
        begin_with(build(NetworkConfig("report-student", 4)), tensors)
    with pytest.raises(UnavailableError):
        start_tensors(str(tmp_path / "none.safetensors"))


def test_weights_of_fewer_cues_begin_a_network_of_more() -> None:
    """The weights of further cues begin at zero, so the network begins as the other one was."""
    torch.manual_seed(0)
    network = build(NetworkConfig("student", 8, 1, cued=True))
    given = {name: torch.rand_like(value) for name, value in network.state_dict().items()}
    fewer = {
        name: value[:, :-4] if value.shape[-1:] == (CUES,) else value
        for name, value in given.items()
    }
    assert sum(value.shape[-1:] == (CUES - 4,) for value in fewer.values()) == 2
    begin_with(network, fewer)
    for name, value in network.state_dict().items():
        assert torch.equal(value[..., : fewer[name].shape[-1]], fewer[name])
        assert not value[..., fewer[name].shape[-1] :].any()
