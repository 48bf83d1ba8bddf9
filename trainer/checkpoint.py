"""Checkpoints: the whole state of a training as one safetensors file, replaced whole.

No pickle: Adam's moments are tensors beside the networks', the rest is JSON in the metadata.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sharpend.atomic import replacing
from sharpend.errors import InputMissingError, UsageError
from sharpend.model.networks import NETWORKS, SharpeningNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Checkpoint:
    """A training at one step: the network, its moving average and Adam's moments."""

    run: dict[str, object]
    network: SharpeningNetwork
    averaged: SharpeningNetwork
    adam: torch.optim.Adam
    step: int = 0
    best_psnr: float = float("-inf")
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fresh(
        cls, run: dict[str, object], network: SharpeningNetwork, device: torch.device
    ) -> Checkpoint:
        """A training that has not begun."""
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = copy.deepcopy(network).requires_grad_(requires_grad=False)
        return cls(run, network, averaged, torch.optim.Adam(network.parameters()))

    def keep(self, folder: Path, scores: dict[str, float]) -> None:
        """Write last.safetensors, and best.safetensors when the PSNR is the best so far."""
        self.scores = scores
        better = scores["psnr"] > self.best_psnr
        self.best_psnr = max(self.best_psnr, scores["psnr"])
        write_checkpoint(self, folder / "last.safetensors")
        if better:
            write_checkpoint(self, folder / "best.safetensors")


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
        "run": state.run,
        "step": state.step,
        "best_psnr": state.best_psnr,
        "scores": state.scores,
    }
    with replacing(path) as file:
        file.write(save(tensors, {"checkpoint": json.dumps(described)}))


def read_checkpoint(
    path: Path, device: torch.device, *, run: dict[str, object] | None = None
) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Args:
        path: the checkpoint.
        device: where its tensors go.
        run: the run that wants to continue; only its number of steps may differ.

    Raises:
        InputMissingError: there is no such file.
        UsageError: it is no checkpoint, or one of another run.
    """
    described, tensors = _contents(path)
    recorded = described["run"]
    if run is not None and {**recorded, "steps": 0} != {**run, "steps": 0}:
        raise UsageError(f"{path} is of another run: {recorded}; use a fresh --run folder")
    network = NETWORKS[recorded["kind"]](recorded["channels"], recorded["blocks"])
    state = Checkpoint.fresh(run or recorded, network, device)
    state.network.load_state_dict(_part(tensors, "network."))
    state.averaged.load_state_dict(_part(tensors, "averaged."))
    state.adam.load_state_dict(_adam_state(state.adam, tensors))
    state.step = described["step"]
    state.best_psnr = described["best_psnr"]
    state.scores = described["scores"]
    return state


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
