"""The networks: what they reach, where they start, and that they train."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpend.model.conditioning import calm_gate, calm_range
from sharpend.model.cues import CUES, FAINT, MEASURED
from sharpend.model.measuring import measure
from sharpend.model.networks import GRID_PX, NETWORKS, SharpeningNetwork, StudentNet, TeacherNet

SMALL: list[tuple[str, int, int, bool, bool]] = [
    ("student", 4, 1, False, False),
    ("student", 8, 2, False, False),
    ("teacher", 6, 3, False, False),
    ("student", 4, 1, True, False),
    ("teacher", 6, 2, True, False),
    ("student", 4, 0, False, True),
    ("student", 4, 1, True, True),
    ("teacher", 6, 2, True, True),
]


def open_network(
    kind: str, channels: int, blocks: int, *, bias_free: bool, cued: bool
) -> SharpeningNetwork:
    """A network in float64 whose ReLUs all pass, so that no gradient is lost by chance.

    Random weights of one sign: with equal ones the local mean would cancel exactly.
    """
    torch.manual_seed(0)
    network = NETWORKS[kind](channels, blocks, bias_free=bias_free, cued=cued).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01)
    return network


@pytest.mark.parametrize(("kind", "channels", "blocks", "bias_free", "cued"), SMALL)
def test_halo_is_the_radius_of_the_receptive_field(
    kind: str, channels: int, blocks: int, *, bias_free: bool, cued: bool
) -> None:
    """No pixel of a cell depends on one further than the halo, and some depend on one just there.

    So the halo is enough, and one grid cell less is not.
    """
    network = open_network(kind, channels, blocks, bias_free=bias_free, cued=cued)
    halo = network.halo_px
    side = 2 * halo + 5 * GRID_PX
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    start = side // 2 // GRID_PX * GRID_PX
    cell = slice(start, start + GRID_PX)
    measured = torch.full((1, MEASURED), 1e-3, dtype=torch.float64)
    network.detail(picture, measured)[..., cell, cell].sum().backward()  # type: ignore[no-untyped-call]
    assert picture.grad is not None
    touched = picture.grad.abs().sum(dim=(0, 1)) > 0
    for axis in (0, 1):
        reached = touched.any(dim=axis).nonzero().flatten()
        assert (int(reached.min()), int(reached.max())) == (
            start - halo,
            start + GRID_PX + halo - 1,
        )


def test_halo_follows_the_architecture() -> None:
    """Two convolutions for each block, one before and one after, a grid cell each."""
    assert StudentNet(32, 2).halo_px == 6 * GRID_PX
    assert TeacherNet(96, 6).halo_px == 14 * GRID_PX


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_bias_free_network_leaves_flat_pictures_flat(kind: str) -> None:
    """Every level of gray comes out as it went in, up to the image's edges, before rounding."""
    torch.manual_seed(0)
    network = NETWORKS[kind](16, 2, bias_free=True)
    levels = torch.arange(256).div(255).view(256, 1, 1, 1).expand(256, 3, 16, 20)
    assert network.detail(levels).abs().max() < 1e-6


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_bias_free_network_adds_the_same_to_a_brighter_picture(kind: str) -> None:
    """Brightness moves through: f(x + c) = f(x) + c, whatever colour c has."""
    torch.manual_seed(0)
    network = NETWORKS[kind](16, 2, bias_free=True)
    picture = torch.rand(1, 3, 32, 36) / 2
    colour = torch.tensor([0.1, 0.3, 0.45]).view(1, 3, 1, 1)
    assert torch.allclose(network(picture + colour), network(picture) + colour, atol=1e-6)
    assert (network(picture) - picture).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("network", "least", "most"),
    [(StudentNet(), 60_000, 70_000), (TeacherNet(), 1_000_000, 2_500_000)],
)
def test_sizes_are_those_of_the_design(network: SharpeningNetwork, least: int, most: int) -> None:
    """The default student is `lite`, the default teacher has at least a million parameters."""
    assert least < sum(values.numel() for values in network.parameters()) < most


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_new_network_is_nearly_the_identity(kind: str) -> None:
    """Training starts from the softened image, not from noise, and not from a dead zero."""
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 32, 36)
    change = (NETWORKS[kind](16, 2)(picture) - picture).abs()
    assert 0 < change.max() < 0.2


def test_every_parameter_learns() -> None:
    """The first step's gradient reaches every tensor."""
    torch.manual_seed(0)
    network = StudentNet(8, 2)
    picture = torch.rand(2, 3, 32, 32)
    (network(picture) - picture.roll(1, -1)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
def test_autocast_keeps_the_dtype_of_the_picture() -> None:
    """Under bfloat16 autocast the sum with the input stays float32, close to the float32 result."""
    torch.manual_seed(0)
    network = StudentNet(8, 1)
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = network(picture)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, network(picture).detach(), atol=2e-3, rtol=0)


def told(network: SharpeningNetwork) -> SharpeningNetwork:
    """The network with random weights where the cues enter, which begin as nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in (network.scales.out, network.mask.gains):
            layer.weight.normal_(0, 0.1)
    return network


def energies(pictures: torch.Tensor) -> torch.Tensor:
    """The measured energies of each image of a batch."""
    levels = pictures.mul(65_535).round().permute(0, 2, 3, 1).numpy().astype(np.uint16)
    return torch.cat([measure(each).tensor() for each in levels])


def test_a_cued_network_begins_as_its_trunk() -> None:
    """Until it is trained every feature's scale is one, and the mask is a slight unsharp mask."""
    network = StudentNet(8, 1, cued=True)
    picture = torch.rand(2, 3, 32, 40)
    measured = energies(picture)
    for scale in network.scales(torch.rand(2, CUES)):
        assert torch.equal(scale, torch.ones(2, 8, 1, 1))
    added = network.detail(picture, measured) - network.detail(picture, measured * 100)
    assert added.abs().max() < 0.1


def test_a_cued_network_needs_cues() -> None:
    """Without the energies of the whole image it refuses, and a plain network takes no notice."""
    picture = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match="measured energies of the whole image"):
        StudentNet(4, 1, cued=True).detail(picture)
    plain = StudentNet(4, 1)
    assert torch.equal(plain.detail(picture), plain.detail(picture, energies(picture)))


def test_pictures_of_a_batch_follow_their_own_cues() -> None:
    """A batch is what its images are one by one, as inference runs them."""
    network = told(StudentNet(8, 2, bias_free=True, cued=True))
    pictures = torch.rand(3, 3, 32, 40) * torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1, 1)
    measured = energies(pictures)
    together = network.detail(pictures, measured)
    for index in range(3):
        one = slice(index, index + 1)
        alone = network.detail(pictures[one], measured[one])
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=0)
    other = network.detail(pictures[:1], measured[1:2])
    assert (other - together[:1]).abs().max() > 1e-3


def test_a_cued_network_leaves_flat_pictures_flat() -> None:
    """Every level of gray comes out as it went in, whatever the cues say, before rounding."""
    network = told(StudentNet(16, 2, bias_free=True, cued=True))
    levels = torch.arange(256).div(255).view(256, 1, 1, 1).expand(256, 3, 16, 20)
    measured = torch.rand(256, MEASURED) * 1e-3
    assert network.detail(levels, measured).abs().max() < 2e-6


def test_the_mask_does_not_raise_noise_at_the_floor() -> None:
    """What is as faint as the noise floor is halved at least; an edge far above it passes."""
    network = StudentNet(8, 1, cued=True)
    torch.manual_seed(0)
    picture = torch.full((1, 3, 64, 64), 0.4)
    picture[..., 32:] = 0.6
    picture += torch.randn(1, 1, 64, 64) * 0.004
    measured = energies(picture)
    gated = network.mask(picture, torch.zeros(1, CUES), measured)
    free = network.mask(picture, torch.zeros(1, CUES), torch.zeros_like(measured))
    calm, edge = (..., slice(0, 16)), (..., slice(30, 34))
    assert gated[calm].std() < 0.5 * free[calm].std()
    assert gated[edge].std() > 0.9 * free[edge].std()


def test_the_trunk_does_not_raise_noise_at_the_floor() -> None:
    """What is as faint as the noise floor stays nearly as it is; an edge far above it passes."""
    torch.manual_seed(0)
    network = StudentNet(8, 1, bias_free=True, cued=True)  # untrained: its cues scale nothing
    torch.nn.init.zeros_(network.mask.gains.bias)
    picture = torch.full((1, 3, 64, 64), 0.4)
    picture[..., 32:] = 0.6
    picture += torch.randn(1, 1, 64, 64) * 0.012
    measured = energies(picture)
    gated, free = (network.detail(picture, each) for each in (measured, 0 * measured))
    calm, edge = (..., slice(0, 16)), (..., slice(30, 34))
    assert gated[calm].std() < 0.5 * free[calm].std()
    assert gated[edge].std() > 0.95 * free[edge].std()


@pytest.mark.parametrize("floor", [0.0, FAINT])
def test_an_image_without_noise_has_no_gate(floor: float) -> None:
    """A floor of no more than rounding leaves the trunk's detail as it is, to the bit."""
    measured = torch.full((2, MEASURED), floor)
    picture = torch.rand(2, 3, 16, 24)
    picture[..., 12:] = 0.5
    assert torch.equal(calm_gate(picture, measured), torch.ones(2, 1, 4, 6))
    assert (calm_range(measured) == 0).all()
