"""Inference runtimes: their interface (`Trunk`), and the one that loads a model's convolutions.

A runtime is a class with the members of `Trunk`: torch's is here, each other has a module beside
this one (`openvino_runtime`, `cuda_runtime`), is constructed by `load_trunk`, and has its name in
`trial`; `precision` lists the forms that are tried. It takes a window that is packed on the folded
grid and returns the detail that is added to it; cues, adaptive mask, tiles, sums and rounding are
the same for all. Whatever the shape of a window, a cell must get the same bits: tiles have to equal
the whole image.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import torch

from sharpend.model.installed import openvino_version
from sharpend.model.trial import BFLOAT16, FLOAT16, FLOAT32, OPENVINO, TORCH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from torch import Tensor

    from sharpend.model.networks import SharpeningNetwork

DTYPES = {FLOAT32: torch.float32, BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}


class Trunk(Protocol):
    """Convolutions of one model in one precision, loaded into one runtime."""

    runtime: str
    """Name of the runtime, of `sharpend.model.trial.RUNTIMES`."""
    precision: str
    """Of `sharpend.model.trial.PRECISIONS`."""
    takes: torch.dtype
    """Type of the folded window: float32 or bfloat16."""

    def run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Compute the detail of one window.

        Args:
            folded: 1 x 48 x h x w, channels last, of type `takes`, on the model's device.
            scales: 1 x C x 1 x 1 float32 for the head, each block and the tail; none where the
                model is not cued.

        Returns:
            1 x 48 x h x w float32 or bfloat16; valid until the next run.

        Raises:
            RuntimeError, MemoryError: see `sharpend.model.device.is_out_of_memory`.
        """


class TorchTrunk:
    """The convolutions in torch, as they come; on CUDA see `sharpend.model.cuda_runtime`.

    Args:
        network: on its device; changed to the precision.
        precision: float32 or bfloat16.
    """

    runtime = TORCH

    def __init__(self, network: SharpeningNetwork, precision: str) -> None:
        self.precision = precision
        self.takes = DTYPES[precision]
        network.set_precision(self.takes)
        network.to(memory_format=torch.channels_last)
        self._network = network

    def run(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Compute the detail of one window, see `Trunk.run`."""
        return self._network.trunk(folded, scales)


def load_trunk(
    network: SharpeningNetwork,
    runtime: str,
    precision: str,
    device: torch.device,
    threads: int | None,
) -> Trunk:
    """Load the convolutions into a runtime.

    Args:
        network: on its device; the runtime may change it.
        runtime: torch or openvino.
        precision: that the runtime has.
        device: of the network; torch on CUDA has a runtime of its own.
        threads: of OpenVINO, or None for its own choice.

    Raises:
        ImportError, RuntimeError: the runtime is installed, but does not run here.
    """
    if runtime == OPENVINO:
        by_openvino: Trunk = openvino_runtime().OpenVinoTrunk(network, precision, threads)
        return by_openvino
    if device.type == "cuda":
        cuda_runtime = importlib.import_module("sharpend.model.cuda_runtime")
        by_cuda: Trunk = cuda_runtime.CudaTrunk(network, precision)
        return by_cuda
    return TorchTrunk(network, precision)


def preload_openvino() -> bool:
    """Import OpenVINO, so that its libraries count for no image's memory.

    Returns:
        False if it is not installed, or a trial shows that it does not run here.
    """
    if openvino_version() is not None:
        with suppress(ImportError):
            openvino_runtime()
            return True
    return False


def openvino_runtime() -> ModuleType:
    """Import the module that runs models by OpenVINO, which may be missing.

    Raises:
        ImportError: it is not installed, or for another machine.
    """
    # Its import reports to Google Analytics; where this package is missing, it does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("sharpend.model.openvino_runtime")
