"""The convolutions of one model on CUDA, replayed as graphs of fixed shapes.

A small model launches dozens of kernels that run for some microseconds each; a graph launches them
at once. One is captured where a shape comes a second time in a row, and holds memory, so a few are
kept. Its kernels are those of a run without it, so pixels are the same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sharpend.model.trial import FLOAT16, FLOAT32
from sharpend.model.trunk import TorchTrunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sharpend.model.networks import SharpeningNetwork

MOST_GRAPHS = 4
"""Shapes that are kept, the latest first: an image's windows are of one shape."""


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured run: fill `folded` and `scales`, replay, take `detail`."""

    graph: torch.cuda.CUDAGraph
    folded: Tensor
    scales: Sequence[Tensor]
    detail: Tensor

    def replay(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Run on these values."""
        self.folded.copy_(folded)
        for mine, given in zip(self.scales, scales, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.detail


class CudaTrunk(TorchTrunk):
    """See `sharpend.model.trunk.Trunk`.

    Args:
        network: on its device; changed to the precision.
        precision: float32, bfloat16 or float16; windows in float16 come and go as float32, which
            pixels are packed to.
    """

    def __init__(self, network: SharpeningNetwork, precision: str) -> None:
        super().__init__(network, precision)
        self._dtype = self.takes
        self.takes = torch.float32 if precision in (FLOAT32, FLOAT16) else self._dtype
        self._graphs: OrderedDict[torch.Size, _Graph] = OrderedDict()
        self._memory = torch.cuda.graph_pool_handle()  # of all graphs, as no two run at once
        self._last: torch.Size | None = None

    def run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Compute the detail of one window, see `Trunk.run`."""
        try:
            with torch.cuda.device(folded.device):
                return self._run(folded, scales)
        except torch.OutOfMemoryError:
            self._graphs.clear()
            raise

    def _run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        shape, repeated = folded.shape, folded.shape == self._last
        self._last = shape
        if shape not in self._graphs:
            if not repeated:
                return self._computed(folded, scales)
            self._graphs[shape] = self._captured(folded, scales)
        self._graphs.move_to_end(shape)
        while len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return self._graphs[shape].replay(folded, scales)

    def _computed(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        given = folded.to(self._dtype, memory_format=torch.channels_last)
        return self._network.trunk(given, scales).to(self.takes)

    def _captured(self, folded: Tensor, scales: Sequence[Tensor]) -> _Graph:
        given = folded.clone(memory_format=torch.preserve_format)
        held = [one.clone() for one in scales]
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(folded.device)
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            detail = self._computed(given, held)
        return _Graph(graph, given, held, detail)
