"""Crops of a run: drawn by step, and cut in memory or on the device that trains.

Where all examples fit the memory of a GPU they are kept there, so that a step does not wait for the
processor to cut and copy. Crops are the same on either way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend.model.cues import turned
from trainer.training.batches import Batch, Place, cut_batch, random_places, shares_of
from trainer.training.progress import print_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from trainer.training.dataset import Example
    from trainer.training.recipe import Recipe

MEMORY_SHARE = 0.8
"""Share of a GPU's free memory that examples may take; a step needs the rest."""
_TURNS = 8
_COPIED_AT_ONCE = 256


class Crops:
    """The batches of a run: the same in every process and after every resumption.

    Args:
        recipe: its seed, size and number of crops, and share of untouched ones.
        examples: images to cut from.
        part: which crops of a batch to cut; the choices are the whole batch's always.
        device: where they are wanted.
    """

    def __init__(
        self, recipe: Recipe, examples: Sequence[Example], part: slice, device: torch.device
    ) -> None:
        self._recipe, self._examples, self._part, self._device = recipe, examples, part, device
        self._shares = shares_of(examples, untouched=recipe.data.untouched)
        self._resident: Resident | None = None
        if device.type == "cuda" and _fits(examples, device):
            self._resident = Resident(examples, device)
            print_values({"crops": f"cut on {device}"})

    def batch(self, step: int) -> Batch:
        """Cut the crops of one step."""
        data = self._recipe.data
        generator = np.random.default_rng([self._recipe.seed, step])
        places = random_places(
            self._examples, self._shares, size=data.crop_px, count=data.batch, generator=generator
        )[self._part]
        if self._resident is not None:
            return self._resident.cut(places, size=data.crop_px)
        return cut_batch(self._examples, places, size=data.crop_px).to(self._device)


def _fits(examples: Sequence[Example], device: torch.device) -> bool:
    """Return whether all are of one size, and fit on a GPU."""
    needed = sum(layer.nbytes for one in examples for layer in one.layers())
    free = torch.cuda.mem_get_info(device)[0]
    return len({one.target.shape for one in examples}) == 1 and needed < MEMORY_SHARE * free


class Resident:
    """Examples of one size in the memory of a device.

    Args:
        examples: all with labels or none, all measured or none.
        device: where they are kept and crops are cut.
    """

    def __init__(self, examples: Sequence[Example], device: torch.device) -> None:
        self._device = device
        self._height, self._width = examples[0].target.shape[:2]
        number = len(examples[0].layers())
        self._layers = [_laid(examples, layer, device) for layer in range(number)]
        measured = [one.measured for one in examples if one.measured is not None]
        self._measured = torch.from_numpy(np.stack(measured)).to(device) if measured else None
        self._offsets: dict[int, Tensor] = {}

    def cut(self, places: Sequence[Place], *, size: int) -> Batch:
        """Cut square crops, as `batches.cut_batch` does."""
        numbers = [(one.index, one.top, one.left, one.turn) for one in places]
        index, top, left, turn = self._sent(torch.tensor(numbers)).unbind(dim=1)
        start = (index * self._height + top) * self._width + left
        pixels = (start[:, None] + self._offsets_of(size)[turn]).flatten()

        def crops(layer: Tensor) -> Tensor:
            taken = layer.index_select(0, pixels).view(len(places), size, size, 3)
            return taken.permute(0, 3, 1, 2).float().div_(255)

        degraded, target, *taught = map(crops, self._layers)
        measured = None if self._measured is None else turned(self._measured[index], turn)
        return Batch(degraded, target, taught[0] if taught else None, measured)

    def _sent(self, numbers: Tensor) -> Tensor:
        if self._device.type == "cuda":
            numbers = numbers.pin_memory()  # only then the copy does not wait for earlier steps
        return numbers.to(self._device, non_blocking=True)

    def _offsets_of(self, size: int) -> Tensor:
        """Places of a crop's pixels after its first one, in each orientation: 8 x size^2."""
        if size not in self._offsets:
            upright = np.arange(size)[:, None] * self._width + np.arange(size)
            turned = [np.rot90(upright, turn % 4) for turn in range(_TURNS)]
            turned[4:] = [one[:, ::-1] for one in turned[4:]]
            offsets = torch.from_numpy(np.stack([one.ravel() for one in turned]))
            self._offsets[size] = offsets.to(self._device)
        return self._offsets[size]


def _laid(examples: Sequence[Example], layer: int, device: torch.device) -> Tensor:
    """One layer of all examples as (N x H x W) x 3 uint8."""
    height, width = examples[0].target.shape[:2]
    made = torch.empty(len(examples), height, width, 3, dtype=torch.uint8, device=device)
    for start in range(0, len(examples), _COPIED_AT_ONCE):
        some = examples[start : start + _COPIED_AT_ONCE]
        pixels = np.stack([one.layers()[layer] for one in some])
        made[start : start + len(some)] = torch.from_numpy(pixels).to(device)
    return made.view(-1, 3)
