"""Networks of a recipe: the project's own, and the two of the report.

Owns parts that exist in training only: the report's small networks, weights to begin with, and
extra branches that are folded into plain 3x3 convolutions before validation and export.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sharpend.errors import UsageError
from sharpend.model.conditioning import FeatureScales
from sharpend.model.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.training.recipe import NetworkConfig


class ReportStudentNet(nn.Module):
    """The report's student at full resolution: 3 - 16 - 3, 883 parameters, the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 3, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Sharpen: B x 3 x H x W in [0, 1] to the same shape, not clamped."""
        sharpened: Tensor = image + self.body(image)
        return sharpened


class ReportTeacherNet(ReportStudentNet):
    """The report's teacher at full resolution: 3 - 64 - 64 - 3, 40,451 parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.body.insert(2, nn.Conv2d(channels, channels, 3, padding=1))
        self.body.insert(3, nn.ReLU())


REPORTED = {"report-student": ReportStudentNet, "report-teacher": ReportTeacherNet}


class Branches(nn.Module):
    """Extra linear paths beside a 3x3 convolution, folded in its kernel as it trains.

    A 1x1 path, and a 1x1 followed by a 3x3 (ECBSR, Zhang et al. 2021; folding every step as OREPA
    does, arXiv:2204.00826): more parameters for Adam, the same function.
    """

    def __init__(self, kernel: Tensor, hidden: int) -> None:
        super().__init__()
        channels_out, channels_in = kernel.shape[:2]
        self.pointwise = nn.Parameter(torch.zeros(channels_out, channels_in))
        self.expand = nn.Parameter(torch.randn(hidden, channels_in) / channels_in**0.5)
        self.squeeze = nn.Parameter(torch.zeros(channels_out, hidden, 3, 3))

    def forward(self, kernel: Tensor) -> Tensor:
        """The kernel, out x in x 3 x 3, equivalent to all paths together."""
        deep = torch.einsum("ohyx,hi->oiyx", self.squeeze, self.expand)
        centred = nn.functional.pad(self.pointwise[..., None, None], (1, 1, 1, 1))
        return kernel + deep + centred


def build(network: NetworkConfig) -> nn.Module:
    """A module as its recipe describes it, with random weights."""
    if network.kind in REPORTED:
        return REPORTED[network.kind](network.channels)
    built = NETWORKS[network.kind](
        network.channels, network.blocks, bias_free=network.bias_free, cued=network.cued
    )
    if network.cued and not network.scaled_blocks:
        _hold_scales_of_blocks(built)
    if network.branches:
        for layer in [one for one in built.modules() if isinstance(one, nn.Conv2d)]:
            branches = Branches(layer.weight, network.branches)
            parametrize.register_parametrization(layer, "weight", branches)
    return built


def _hold_scales_of_blocks(network: nn.Module) -> None:
    """Stop the gradients of the scales of residual blocks, which then stay at their initial 1."""
    scales = network.scales
    assert isinstance(scales, FeatureScales)  # noqa: S101 - tells the type checker
    for parameter in (scales.out.weight, scales.out.bias):
        first_and_last = torch.zeros(scales.places, len(parameter) // scales.places)
        first_and_last[[0, -1]] = 1
        kept = first_and_last.reshape(-1, *[1] * (parameter.dim() - 1))
        parameter.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient, kept=kept: gradient * kept.to(gradient)
        )


@torch.no_grad()
def begin_with(network: nn.Module, given: Mapping[str, Tensor], *, tail: float = 1.0) -> None:
    """Copy those tensors of another network that exist here in the same shape.

    A layer that takes more cues here takes the first ones as there; the weights of further ones
    begin at zero.

    Args:
        network: as `build` made it, not training yet.
        given: the other network's tensors by name.
        tail: factor on the last convolution.

    Raises:
        UsageError: no tensor fits.
    """
    own = {
        name.replace("parametrizations.weight.original", "weight"): value
        for name, value in network.state_dict().items()
    }
    known = {n: _with_inputs_of(own[n], v) for n, v in given.items() if n in own}
    fitting = {n: v for n, v in known.items() if own[n].shape == v.shape}
    if not fitting:
        raise UsageError("network.start: none of its tensors fits this network")
    for name, value in fitting.items():
        own[name].copy_(value * tail if name.startswith("tail.") else value)


def _with_inputs_of(own: Tensor, given: Tensor) -> Tensor:
    """Weights of a fully connected layer with zeros for inputs that only `own` has."""
    further = own.shape[-1] - given.shape[-1]
    fits = own.dim() == given.dim() == 2 and len(own) == len(given) and further > 0  # noqa: PLR2004
    return nn.functional.pad(given, (0, further)) if fits else given


@torch.no_grad()
def folded(trained: nn.Module, network: NetworkConfig) -> nn.Module:
    """A copy in inference mode with every branch folded into its convolution.

    Args:
        trained: as `build` made it of `network`, on any device.
        network: its table of the recipe.
    """
    plain = build(replace(network, branches=0)).eval().requires_grad_(requires_grad=False)
    for name, value in plain.named_parameters():
        layer, _, of_layer = name.rpartition(".")
        value.copy_(getattr(trained.get_submodule(layer), of_layer))
    device = next(trained.parameters()).device
    return plain.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
