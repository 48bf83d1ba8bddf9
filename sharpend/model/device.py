"""A model on one device: its runtime, precision and tile size, and running out of memory.

Owns every choice that depends on the machine, except runtime and precision: these
`sharpend.model.precision` chooses, and `sharpend.model.runtimes` loads. Unusable settings are
refused with the key to change; the only thing that is ever chosen again at run time is an automatic
tile size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sharpend.errors import Reason, TransientError, UnavailableError
from sharpend.machine import keep_freed_memory
from sharpend.model.networks import GRID_PX
from sharpend.model.runtimes import load_trunk
from sharpend.model.tiling import SMALLEST_TILE_PX
from sharpend.model.trial import FLOAT32, OPENVINO, TORCH, Form

if TYPE_CHECKING:
    from sharpend.model.cues import Cues
    from sharpend.model.networks import SharpeningNetwork
    from sharpend.model.packing import Added, Packed
    from sharpend.model.trial import Trial

LARGEST_TILE_PX = 4096
CUDA_TILE_PX = 1024
"""Largest tile on CUDA: kernels are chosen by its size, and another one moves the last bit of some
values. The same one everywhere keeps pixels apart from the memory of a GPU."""
CPU_TILE_BUDGET_BYTES = 100 * 2**20
"""Activations of one tile on a CPU: in 16 bits an image of 1080p is one tile of a student, and none
of its pixels is computed twice."""
ALLOCATION_FAILED = ("can't allocate memory", "out of memory", "bad_alloc")
"""Texts by which torch's CPU and MPS allocators, and OpenVINO, report it, as a RuntimeError."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Device settings of a model: plain values from the settings."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: str = FLOAT32
    """float32, bfloat16, float16, int8, or auto for `sharpend.model.precision.place` to settle."""
    tile_px: int | None = None
    """Side of a tile, or None to follow memory."""
    threads: int | None = None
    """Threads of torch on a CPU, or None for its own choice."""
    trials: tuple[Trial, ...] = ()
    """Trials of forms that earlier starts have made."""
    runtime: str = TORCH
    """torch or openvino; auto is for `sharpend.model.precision.place` to settle."""


def choose_device(wanted: str) -> torch.device:
    """Resolve the device setting.

    Raises:
        UnavailableError: the device does not exist here.
    """
    if wanted == "auto":
        wanted = next((name for name in ("cuda", "mps") if _exists(name)), "cpu")
    if not _exists(wanted):
        raise UnavailableError(
            f"model.device: {wanted}: not available on this machine; set it to auto or cpu"
        )
    return torch.device(wanted)


def runs_on_cpu(wanted: str) -> bool:
    """Return whether models would run on the CPU; also if the device does not exist."""
    try:
        return choose_device(wanted).type == "cpu"
    except UnavailableError:
        return True


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means out of memory, whatever its class."""
    if isinstance(error, RuntimeError):  # torch's own for CUDA is one
        return any(text in str(error) for text in ALLOCATION_FAILED)
    return isinstance(error, MemoryError)


def _exists(name: str) -> bool:
    kind, _, index = name.partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count()
    return kind == "cpu" or (kind == "mps" and torch.backends.mps.is_available())


class PlacedModel:
    """One model on one device.

    Attributes:
        device: where it runs.
        name: of the runtime that runs the convolutions.
        precision: of the convolutions; folding, sum and clamping are float32 always.
        halo_px: receptive-field radius of the model.
        tile_px: side of the tiles in use; an automatic one shrinks when memory runs out.
        alike: True if all windows of an image should be of one size.
    """

    def __init__(self, network: SharpeningNetwork, placement: Placement) -> None:
        self.device = choose_device(placement.device)
        self.halo_px = network.halo_px
        if placement.threads:
            torch.set_num_threads(placement.threads)
        keep_freed_memory()
        # TF32 would make teacher and student differ in the third digit. Deterministic kernels: the
        # result must not depend on the shape of a tile.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        self._network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._network.to(self.device)
        self._trunk = load_trunk(
            self._network, placement.runtime, placement.precision, self.device, placement.threads
        )
        self.name, self.precision = self._trunk.runtime, self._trunk.precision
        self._tile_is_fixed = placement.tile_px is not None
        self.tile_px = placement.tile_px or self._tile_that_fits()
        self.alike = self.device.type == "cuda" or self.name == OPENVINO

    @property
    def cued(self) -> bool:
        """True if the model needs the cues of the whole image."""
        return self._network.cued

    @property
    def described(self) -> str:
        """Device, runtime unless it is torch, precision: `cpu bfloat16`, `cpu openvino int8`."""
        return f"{self.device} {Form(self.name, self.precision)}"

    def _tile_that_fits(self) -> int:
        """Compute the largest square tile whose activations fit the memory budget."""
        budget, largest = CPU_TILE_BUDGET_BYTES, LARGEST_TILE_PX
        if self.device.type == "cuda":
            budget, largest = torch.cuda.mem_get_info(self.device)[0] // 2, CUDA_TILE_PX
        values_per_px = 3 * self._network.channels / GRID_PX**2 + 4 * 3
        bytes_per_px = self._trunk.takes.itemsize * values_per_px
        side = int((budget / bytes_per_px) ** 0.5) - 2 * self.halo_px
        return min(max(side // GRID_PX * GRID_PX, SMALLEST_TILE_PX), largest)

    @torch.inference_mode()
    def added(self, packed: Packed, cues: Cues | None = None) -> Added:
        """Compute what the model adds to one window.

        Args:
            packed: the window.
            cues: of the whole image that the window is of; needed where `cued`.

        Returns:
            On the CPU.

        Raises:
            MemoryError: the window does not fit the device.
        """
        try:
            folded = packed.folded(self._trunk.takes, less_mean=self._network.bias_free)
            measured = None if cues is None else cues.tensor().to(self.device)
            run = self._trunk.run
            return self._network.added(folded.to(self.device), measured, run).cpu()
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise

    def shrink_tile(self) -> None:
        """Halve an automatic tile after memory ran out, and remember it.

        Raises:
            TransientError: the tile is fixed by the settings, or already the smallest.
        """
        if self._tile_is_fixed or self.tile_px <= SMALLEST_TILE_PX:
            raise TransientError(
                Reason.OUT_OF_MEMORY,
                f"{self.device} has no memory for a tile of {self.tile_px} pixels; "
                "lower model.tile_px or workers.count",
            )
        self.tile_px = max(self.tile_px // 2 // GRID_PX * GRID_PX, SMALLEST_TILE_PX)
