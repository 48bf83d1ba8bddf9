"""Checkpoints: the whole state of a training as one safetensors file, replaced atomically.

No pickle: Adam's moments are tensors beside the networks', the rest is JSON in the metadata.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import replacing
from sharpend.model import weights
from trainer.training.architectures import begin_with, build, folded
from trainer.training.recipe import Recipe, parsed

if TYPE_CHECKING:
    from torch import Tensor, nn

LAST, BEST = "last.safetensors", "best.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Checkpoint:
    """A training at one step: the network, its moving average and Adam's moments.

    Attributes:
        seconds: of training so far, over all resumed parts.
        best_loss: the lowest validation loss so far.
        scores: of the last validation.
    """

    recipe: Recipe
    network: nn.Module
    averaged: nn.Module
    adam: torch.optim.Adam
    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fresh(cls, recipe: Recipe, device: torch.device) -> Checkpoint:
        """A training that has not begun, seeded by its recipe."""
        torch.manual_seed(recipe.seed)
        network = build(recipe.network)
        if recipe.network.start:
            given = start_tensors(recipe.network.start, recipe.network.start_average)
            begin_with(network, given, tail=recipe.network.start_tail)
        return cls._of(recipe, network, device)

    @classmethod
    def _of(cls, recipe: Recipe, network: nn.Module, device: torch.device) -> Checkpoint:
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = copy.deepcopy(network).requires_grad_(requires_grad=False)
        return cls(recipe, network, averaged, _adam_of(network, device))

    def keep(self, folder: Path) -> None:
        """Write the state to resume from."""
        write_checkpoint(self, folder / LAST)

    def judge(self, folder: Path, scores: dict[str, float]) -> None:
        """Write the state of a validated step, as the best one too when its loss is the lowest."""
        self.scores = scores
        better = scores["validation_loss"] < self.best_loss
        self.best_loss = min(self.best_loss, scores["validation_loss"])
        if better:  # before LAST, whose best_loss refers to it
            write_checkpoint(self, folder / BEST)
        self.keep(folder)


def _adam_of(network: nn.Module, device: torch.device) -> torch.optim.Adam:
    """Adam of a network; on CUDA its rate and step count are in GPU memory, for captured steps."""
    if device.type != "cuda":
        return torch.optim.Adam(network.parameters())
    rate = torch.zeros((), device=device)
    return torch.optim.Adam(network.parameters(), lr=rate, capturable=True, fused=True)


def write_checkpoint(state: Checkpoint, path: Path) -> None:
    """Write the whole state as one file."""
    tensors: dict[str, Tensor] = {}
    for part in ("network", "averaged"):
        for name, value in getattr(state, part).state_dict().items():
            tensors[f"{part}.{name}"] = value.contiguous()
    for index, moments in state.adam.state_dict()["state"].items():
        for moment in MOMENTS:
            tensors[f"adam.{index}.{moment}"] = moments[moment].contiguous()
    described = {
        "recipe": state.recipe.described(),
        "step": state.step,
        "seconds": state.seconds,
        "best_loss": state.best_loss,
        "scores": state.scores,
    }
    with replacing(path) as file:
        file.write(save(tensors, {"checkpoint": json.dumps(described)}))


def read_checkpoint(
    path: Path, device: torch.device, *, recipe: Recipe | None = None
) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Args:
        path: the checkpoint.
        device: where its tensors go.
        recipe: of the resumed run; budget and paths may differ.

    Raises:
        InputMissingError: there is no such file.
        UsageError: it is no checkpoint, or one of another recipe.
    """
    described, tensors = _contents(path)
    recorded = parsed(described["recipe"], str(path))
    if recipe is not None:
        _check_same(recorded, recipe, path)
    state = Checkpoint._of(recipe or recorded, build(recorded.network), device)  # noqa: SLF001 - its own module
    state.network.load_state_dict(_part(tensors, "network."))
    state.averaged.load_state_dict(_part(tensors, "averaged."))
    state.adam.load_state_dict(_adam_state(state.adam, tensors))
    state.step = described["step"]
    state.seconds = described["seconds"]
    state.best_loss = described["best_loss"]
    state.scores = described["scores"]
    return state


def best_network(folder: Path, device: torch.device) -> tuple[nn.Module, Recipe]:
    """The best network of a run as it would be exported, in inference mode, and its recipe.

    Raises:
        InputMissingError: the run has not validated yet.
        UsageError: its checkpoint is damaged.
    """
    state = read_checkpoint(folder / BEST, device)
    return folded(state.averaged, state.recipe.network), state.recipe


def start_tensors(start: str, average: str = "") -> dict[str, Tensor]:
    """The tensors of weights to begin with.

    Args:
        start: a shipped network's name, a weights file, or the folder of a run.
        average: another one, to take the mean of both.

    Raises:
        UnavailableError: there is no such network, or it is damaged.
        InputMissingError: a run's folder without a checkpoint.
        UsageError: a checkpoint is damaged, or the two are of different architectures.
    """
    if not average:
        return _tensors(start)
    one, other = _tensors(start), _tensors(average)
    if {n: v.shape for n, v in one.items()} != {n: v.shape for n, v in other.items()}:
        raise UsageError(f"network.start_average: {average} has other layers than {start}")
    return {name: (value + other[name]) / 2 for name, value in one.items()}


def _tensors(start: str) -> dict[str, Tensor]:
    if Path(start).is_dir():
        return best_network(Path(start), torch.device("cpu"))[0].state_dict()
    return weights.load(start).network.state_dict()


def _check_same(recorded: Recipe, wanted: Recipe, path: Path) -> None:
    """Refuse to resume with another recipe; name the first key that differs."""
    for key, old in _flat(recorded.described()).items():
        new = _flat(wanted.described())[key]
        if old != new and key not in _FREE:
            raise UsageError(
                f"{path} was written with {key} = {old!r}, and the recipe says {new!r}; "
                "give --run a new folder"
            )


_FREE = {"name", "schedule.steps", "schedule.minutes", "data.split", "data.labels", "data.pool"}
"""Keys that may change when a run is resumed; `origin` pins the images themselves."""


def _flat(values: dict[str, Any], at: str = "") -> dict[str, object]:
    """Nested keys joined by dots."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return flat


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A checkpoint's description and tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            described = json.loads((file.metadata() or {})["checkpoint"])
            return described, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file; training has not validated yet") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path}: not a whole checkpoint ({error})") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _adam_state(adam: torch.optim.Adam, tensors: dict[str, Tensor]) -> dict[str, object]:
    """Adam's state dict with the stored moments, in the shape `load_state_dict` wants."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "adam.").items():
        index, moment = name.split(".", 1)
        moments.setdefault(int(index), {})[moment] = value
    return cast("dict[str, object]", {**adam.state_dict(), "state": moments})
