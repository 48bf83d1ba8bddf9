"""One process, or several that torchrun started, training one network together.

Owns torch.distributed. Every process draws the same batch and works on its own share of it, so that
the mean of their gradients is the gradient of one process with the whole batch.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

from sharpend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Team:
    """Who trains along."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process validates, writes and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch.

        Raises:
            UsageError: the batch cannot be divided equally.
        """
        if batch % self.size:
            raise UsageError(f"data.batch: {batch} crops cannot be shared by {self.size} processes")
        return slice(self.rank, None, self.size)

    def joined(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the team."""
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def agreed(self, value: float) -> float:
        """The leader's value, so that nobody's clock or signal parts the team."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared.item())


@contextmanager
def gathered(device: torch.device) -> Iterator[Team]:
    """The team that torchrun's environment describes, or this process alone.

    Args:
        device: as chosen; `cuda` becomes this process's own.
    """
    if "WORLD_SIZE" not in os.environ:
        yield Team(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
