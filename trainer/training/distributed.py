"""Data-parallel training by one process, or by several of torchrun.

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
class ProcessGroup:
    """The processes that train one network, and the place of this one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_leader(self) -> bool:
        """True for the process that validates, writes and prints."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch.

        Raises:
            UsageError: the batch cannot be divided equally.
        """
        if batch % self.size:
            raise UsageError(f"data.batch: {batch} crops cannot be shared by {self.size} processes")
        return slice(self.rank, None, self.size)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Wrap a network to average its gradients over the group."""
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def broadcast(self, value: float) -> float:
        """Share the value of the leader, so that clocks and signals affect all processes alike."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared.item())


@contextmanager
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the group that the environment of torchrun describes, or run alone.

    Args:
        device: as chosen; `cuda` becomes this process's own.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ProcessGroup(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
