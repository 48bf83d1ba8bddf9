"""Learner: Adam's steps of one network and of its moving average.

On one CUDA device the step is captured as a graph and replayed, because launching the hundreds of
small kernels of a small network takes longer than they run (torch.cuda.CUDAGraph).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.training.step import gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from trainer.training.batches import Batch
    from trainer.training.checkpoint import Checkpoint

    Step = Callable[[Batch], Tensor]

EAGER_STEPS = 4
"""Steps before the capture, in which kernels are chosen and Adam's moments are made."""


class Learner:
    """The steps of one run.

    Args:
        state: its network, moving average and moments are changed by each step.
        network: the same network as the process group wraps it.
        bfloat16: of forward passes.
    """

    def __init__(self, state: Checkpoint, network: nn.Module, *, bfloat16: bool) -> None:
        self._state, self._network, self._bfloat16 = state, network, bfloat16
        self._device = next(network.parameters()).device
        on_gpu = self._device.type == "cuda"
        self._tape = _Tape(self._device) if on_gpu and network is state.network else None
        self._share: Tensor | float = torch.zeros((), device=self._device) if on_gpu else 0.0
        if on_gpu:
            torch.backends.cudnn.allow_tf32 = False  # of the losses and the mask: they are float32
            torch.backends.cudnn.benchmark = True

    def learn(self, batch: Batch, rate: float) -> Tensor:
        """Take one step; returns its loss, a scalar that is valid until the next one.

        Args:
            batch: of the same shape each time, on the network's device.
            rate: Adam's.
        """
        state = self._state
        decay = min(state.recipe.schedule.ema, (1 + state.step) / (10 + state.step))
        self._set(rate, 1 - decay)
        if self._tape is None:
            return self._step(batch)
        return self._tape.run(self._step, state.adam, batch)

    def _set(self, rate: float, share: float) -> None:
        """Set what differs from step to step, on a GPU in the memory that a graph reads."""
        if isinstance(self._share, float):
            self._share = share
        else:
            self._share.fill_(share)
        for group in self._state.adam.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step(self, batch: Batch) -> Tensor:
        recipe, adam = self._state.recipe, self._state.adam
        adam.zero_grad(set_to_none=True)
        _, loss = gradients(recipe, self._network, batch, bfloat16=self._bfloat16)
        if clip := recipe.schedule.clip:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), clip)
        adam.step()
        self._average()
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        """Move the exponential moving average one step towards the network, faster at first."""
        averaged, network = self._state.averaged, self._state.network
        for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, self._share)


class _Tape:
    """A step as a CUDA graph: the first ones run as they are, the next is captured."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._loss: Tensor | None = None
        self._eager = 0

    def run(self, step: Step, adam: torch.optim.Adam, batch: Batch) -> Tensor:
        """Run a step of this batch."""
        if self._eager < EAGER_STEPS:
            self._eager += 1
            return self._aside(step, batch)
        if self._graph is None:
            self._capture(step, adam, batch)
        assert self._graph is not None  # noqa: S101 - tells the type checker
        assert self._batch is not None  # noqa: S101 - as above
        assert self._loss is not None  # noqa: S101 - as above
        self._batch.take(batch)
        self._graph.replay()
        return self._loss

    def _aside(self, step: Step, batch: Batch) -> Tensor:
        """Run on the stream of the capture, which must meet no work of another one."""
        current = torch.cuda.current_stream(batch.target.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            loss = step(batch)
        current.wait_stream(self._stream)
        return loss

    def _capture(self, step: Step, adam: torch.optim.Adam, batch: Batch) -> None:
        """Record a step without running it; gradients and loss get memory of the graph's own."""
        self._batch = batch.copied()
        adam.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(batch.target.device)
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._loss = step(self._batch)
