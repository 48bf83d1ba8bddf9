"""Models: anything that can sharpen an image, opened by one name, with one interface.

A MODEL is a shipped name, a weights file of sharpend, the folder of a run, or a pretrained x4
upscaler that spandrel loads.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.tensors import to_pixels, to_tensor
from sharpend.model import weights
from sharpend.model.device import choose_device
from sharpend.model.networks import SharpeningNetwork, TeacherNet
from sharpend.model.precision import place
from sharpend.model.shipped import find, shipped_names
from sharpend.model.tiling import pad_to_grid
from sharpend.model.trial import FLOAT32
from sharpend.model.weights import Card, Weights
from trainer.training.checkpoint import best_network
from trainer.training.teacher import count_parameters, is_ours, load_teacher_model, upscaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from sharpend.model.device import Placement
    from trainer.degradations.mixture import Pixels
    from trainer.training.teacher import Method

PRETRAINED = "pretrained"


@dataclass(frozen=True, slots=True)
class Model:
    """A network that sharpens whole images.

    Attributes:
        name: from its card, its recipe, or its file.
        digest: of its tensors as exported, or SHA-256 of a foreign file.
        kind: of the network, or PRETRAINED.
        parameters: their number.
        sharpen: (small, degraded) to the sharpened image.
        card: of our own networks.
        precision: float32 or bfloat16.
    """

    name: str
    digest: str
    kind: str
    parameters: int | None
    sharpen: Method
    card: Card | None = None
    precision: str = FLOAT32

    def sharpen_degraded(self, degraded: Pixels) -> Pixels:
        """Sharpen an image that is no enlargement of a small one; for our own networks."""
        return self.sharpen(degraded, degraded)


def open_model(model: str, placement: Placement, *, crispness: float = 0.0) -> Model:
    """Open any MODEL.

    Args:
        model: a shipped name, a weights file, a run's folder, or a pretrained x4 file.
        placement: where it runs. The report's own networks and pretrained ones run in float32, each
            image whole; ours in tiles.
        crispness: of our own networks' sharpening, 0..1.

    Raises:
        UnavailableError: no such model, damaged, or spandrel is missing.
        InputMissingError, UsageError: a run's folder without a whole checkpoint.
    """
    if model not in shipped_names() and Path(model).is_dir():
        return _of_run(Path(model), placement, crispness)
    if is_ours(find(model)):
        return _ours(weights.load(model), placement, crispness)
    return _pretrained(find(model), placement)


@dataclass(frozen=True, slots=True)
class Opened:
    """The sharpening of a MODEL on degraded images, to be opened in another process."""

    model: str
    placement: Placement

    def __call__(self) -> Callable[[Pixels], Pixels]:
        """Open it; raises what `open_model` raises."""
        return open_model(self.model, self.placement).sharpen_degraded


def open_teacher(model: str, placement: Placement) -> Model:
    """Open a MODEL to learn from.

    Raises:
        UnavailableError: as `open_model`, or it is a student, which should not be a teacher.
    """
    opened = open_model(model, placement)
    if opened.kind not in (TeacherNet.kind, PRETRAINED):
        raise UnavailableError(f"{model}: is a {opened.kind}, not a teacher")
    return opened


def _ours(loaded: Weights, placement: Placement, crispness: float) -> Model:
    sharpener = place(loaded, placement)
    sharpen = with_options(sharpener.sharpen, crispness=crispness)
    return Model(
        loaded.card.name,
        loaded.digest,
        loaded.card.kind,
        count_parameters(loaded.network),
        lambda _, degraded: sharpen(degraded),
        loaded.card,
        precision=sharpener.runtime.precision,
    )


def with_options(sharpen: Callable[..., Pixels], *, crispness: float) -> Callable[[Pixels], Pixels]:
    """The sharpening of the daemon with the user's options.

    Raises:
        UsageError: the sharpener does not have the option.
    """
    taste = {"crispness": crispness} if crispness else {}
    unknown = taste.keys() - inspect.signature(sharpen).parameters.keys()
    if unknown:
        raise UsageError(f"--{unknown.pop()}: not supported by this sharpener")
    return partial(sharpen, **taste)


def _of_run(folder: Path, placement: Placement, crispness: float) -> Model:
    """The best network of a run; sharpend's own work as their export would."""
    device = choose_device(placement.device)
    network, recipe = best_network(folder, device)
    digest = weights.digest(network.state_dict())
    if isinstance(network, SharpeningNetwork):
        card = Card(
            recipe.name,
            network.kind,
            network.channels,
            network.blocks,
            network.halo_px,
            bias_free=network.bias_free,
            cued=network.cued,
            degradation=recipe.data.degradation,
            softened_by=recipe.data.factor,
        )
        return _ours(Weights(network, card, digest), placement, crispness)
    return Model(
        recipe.name,
        digest,
        recipe.network.kind,
        count_parameters(network),
        lambda _, degraded: sharpen_whole(network, degraded, device),
    )


def _pretrained(file: Path, placement: Placement) -> Model:
    device = choose_device(placement.device)
    if placement.threads:
        torch.set_num_threads(placement.threads)
    upscaler = load_teacher_model(file, device)
    return Model(
        file.stem,
        hashlib.sha256(file.read_bytes()).hexdigest(),
        PRETRAINED,
        count_parameters(upscaler),
        lambda small, degraded: upscaled(upscaler, small, device, size=degraded.shape[:2]),
    )


@torch.inference_mode()
def sharpen_whole(network: nn.Module, pixels: Pixels, device: torch.device) -> Pixels:
    """Sharpen an image in one pass, in float32.

    Args:
        network: 1 x 3 x H x W in [0, 1], sides multiples of four, to the same shape.
        pixels: H x W x 3 uint8, any size.
        device: where the network is.
    """
    height, width = pixels.shape[:2]
    output = network(to_tensor(pad_to_grid(pixels)).to(device))
    return to_pixels(output, channels=3, dtype=pixels.dtype)[:height, :width]
