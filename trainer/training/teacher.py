"""Teachers: a TeacherNet of sharpend, or a pretrained x4 upscaler.

Decides which of the two a file is. Pretrained models are loaded by spandrel only, whose unpickler
is restricted; they are teachers and never shipped.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from sharpend.errors import UnavailableError
from sharpend.imaging.filters import resize
from sharpend.imaging.tensors import to_pixels, to_tensor
from sharpend.model import weights
from sharpend.model.shipped import CARD_KEY, find
from trainer.degradations.reduction import SOFTENED_BY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from trainer.degradations.mixture import Pixels

    Method = Callable[[Pixels, Pixels], Pixels]
    """(small, degraded) to the sharpened image, all H x W x 3 uint8.

    `small` is the image at a quarter of each side, as a pretrained upscaler takes it; `degraded` is
    the same enlarged to the size of the result, as our own networks take it.
    """

_RGB = 3


class PretrainedUpscaler(nn.Module):
    """A pretrained super-resolution model with the interface of a network."""

    def __init__(self, model: nn.Module, padded: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._padded = padded

    def forward(self, small: Tensor) -> Tensor:
        """Enlarge 1 x 3 x H x W float32 in [0, 1] to 1 x 3 x 4H x 4W in [0, 1]."""
        return self._padded(small)


def load_teacher_model(path: str | Path, device: torch.device) -> nn.Module:
    """The report's loader: a teacher in inference mode.

    Args:
        path: a shipped teacher's name, a sharpend weights file, or a pretrained x4 RGB model in any
            format that spandrel reads.
        device: where it runs.

    Returns:
        A TeacherNet, from the degraded image to the sharp one at the same size; or a
        PretrainedUpscaler, from the image at a quarter of the size to the whole size. Each 1 x 3 x
        H x W float32 in [0, 1], sRGB-encoded.

    Raises:
        UnavailableError: the file is missing, no such model, or spandrel is not installed.
    """
    file = find(str(path))
    model = _load_ours(path).network if is_ours(file) else _load_pretrained(file, device)
    return model.to(device).eval().requires_grad_(requires_grad=False)


def is_ours(file: Path) -> bool:
    """Check if a file is a weights file of sharpend, damaged or not."""
    if file.suffix != ".safetensors":
        return False
    try:
        with safe_open(file, framework="pt") as opened:
            return CARD_KEY in (opened.metadata() or {})
    except (SafetensorError, OSError):
        return True


def _load_ours(path: str | Path) -> weights.Weights:
    loaded = weights.load(str(path))
    if loaded.card.kind != "teacher":
        raise UnavailableError(f"{path}: is a {loaded.card.kind}, not a teacher")
    return loaded


def _load_pretrained(file: Path, device: torch.device) -> PretrainedUpscaler:
    try:
        import spandrel  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnavailableError(
            f"{file}: pretrained models need spandrel: pip install 'sharpend[zoo]'"
        ) from error
    try:
        with warnings.catch_warnings():  # deprecated use of TorchScript inside spandrel
            warnings.simplefilter("ignore", FutureWarning)
            descriptor = spandrel.ModelLoader(device=device).load_from_file(file)
    except Exception as error:  # loaders of foreign files raise any exception
        raise UnavailableError(f"{file}: not a model that spandrel can load ({error})") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise UnavailableError(f"{file}: {descriptor.architecture.name} is not an upscaler")
    channels = {descriptor.input_channels, descriptor.output_channels}
    if descriptor.scale != SOFTENED_BY or channels != {_RGB}:
        raise UnavailableError(
            f"{file}: {descriptor.architecture.name} enlarges x{descriptor.scale} with "
            f"{descriptor.input_channels} channels; a teacher is x{SOFTENED_BY} RGB"
        )
    return PretrainedUpscaler(descriptor.model, descriptor)


def count_parameters(network: nn.Module) -> int:
    """Number of learnt values of a network."""
    return sum(values.numel() for values in network.parameters())


@torch.inference_mode()
def upscaled(
    upscaler: nn.Module, small: Pixels, device: torch.device, *, size: tuple[int, ...]
) -> Pixels:
    """Enlarge a small image by a x4 model, to the size of its original.

    The output of a side that is no multiple of four differs by up to two pixels; it is resized, not
    cut, so that the label is aligned with the degraded image, which was enlarged from the same
    small one.

    Args:
        upscaler: 1 x 3 x H x W in [0, 1] to 1 x 3 x 4H x 4W.
        small: H x W x 3 uint8.
        device: where the upscaler is.
        size: (height, width) of the result in pixels.
    """
    large = to_pixels(upscaler(to_tensor(small).to(device)), channels=3, dtype=small.dtype)
    if large.shape[:2] == size:
        return large
    return resize(large, height=size[0], width=size[1])
