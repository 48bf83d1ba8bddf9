"""Benchmark process: holds one model and sharpens one 1920 x 1080 image on each request.

`Bench` is the client that measures, `serve` the server. A process of its own isolates the memory of
a model; `sharpend.benchmark.process` has the protocol. Requests are one word a line.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpend.benchmark.memory import MIB, Memory
from sharpend.benchmark.process import ChildProcess, run_server
from sharpend.imaging.filters import resize
from sharpend.machine import processor_name
from sharpend.model.device import Placement, choose_device
from sharpend.model.networks import NETWORKS
from trainer.degradations.reduction import LITERAL_LARGE, LITERAL_SMALL, SOFTENED_BY
from trainer.training.models import open_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharpend.benchmark.process import Reply
    from trainer.degradations.mixture import Pixels
    from trainer.training.models import Model

SHARPEN, COUNT = "sharpen", "count"
"""Requests."""
_FIRST_PX = (32, 32)
"""(height, width) of a first image, which loads libraries before memory is measured."""
_SHARE = 5
"""Divisor of each side for counting, where the count is in proportion to the area."""


class Bench(ChildProcess):
    """Client of a process that holds one model.

    Attributes:
        parameters: of the model; 0 if unknown.
        device: the processor's name and the precision.
        idle_mib: memory of the process before it sharpened.
        peak_mib: the highest so far beyond that.
    """

    def __init__(self, model: str, placement: Placement) -> None:
        self.peak_mib = 0.0
        given = {key: value for key, value in asdict(placement).items() if value is not None}
        super().__init__(__name__, {"model": model, **given}, name=model)

    def opened(self, reply: Reply) -> None:
        """Take the description of the model."""
        self.parameters = int(reply["parameters"])
        self.device = str(reply["device"])
        self.idle_mib = float(reply["idle_mib"])

    def sharpen(self) -> float:
        """Seconds for one image, from pixels to pixels.

        Raises:
            UnavailableError: the process ended instead.
        """
        reply = self.ask(SHARPEN)
        self.peak_mib = float(reply["peak_mib"])
        return float(reply["seconds"])

    def count(self) -> float:
        """GMAC of one image in one piece; counting raises `peak_mib`, so do it last.

        Raises:
            UnavailableError: the process ended instead.
        """
        return float(self.ask(COUNT)["gmac"])


def serve(model: str, placement: Placement, orders: Iterable[str]) -> Iterator[Reply]:
    """Server: open the model, then answer requests.

    Args:
        model: a shipped name, a weights file, a run's folder, or a pretrained x4 file.
        placement: where it runs; its threads apply to foreign models too.
        orders: SHARPEN or COUNT, one each.

    Yields:
        A description of the model, then one reply for each request.

    Raises:
        UnavailableError, InputMissingError, UsageError: the model cannot be opened.
    """
    if placement.threads:
        torch.set_num_threads(placement.threads)
    opened = open_model(model, placement)
    opened.sharpen(*_pair(*_FIRST_PX))
    image = _pair(*LITERAL_SMALL)
    memory = Memory(choose_device(placement.device))
    yield {
        "parameters": opened.parameters or 0,
        "device": _described(opened, placement),
        "idle_mib": memory.idle_bytes / MIB,
    }
    for order in orders:
        if order == COUNT:
            yield {"gmac": _counted(opened, model, placement)}
        else:
            started = time.perf_counter()
            opened.sharpen(*image)
            seconds = time.perf_counter() - started
            yield {"seconds": seconds, "peak_mib": memory.added_bytes / MIB}


def _pair(height: int, width: int) -> tuple[Pixels, Pixels]:
    """Noise, and the same enlarged: the content does not affect the time."""
    small = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return small, resize(small, height=height * SOFTENED_BY, width=width * SOFTENED_BY)


def _counted(opened: Model, model: str, placement: Placement) -> float:
    """Billions of multiply-adds: half of the operations that torch counts.

    Sharpend's models get one tile, because halos would count twice, and a smaller image, because
    the cost of convolutions is proportional to the area. That of attention is not: foreign models
    get the true size.
    """
    share = 1
    if opened.kind in NETWORKS:
        opened = open_model(model, replace(placement, tile_px=max(LITERAL_LARGE)))
        share = _SHARE
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 - it imports triton

    with FlopCounterMode(display=False) as counter:
        opened.sharpen(*_pair(*(side // share for side in LITERAL_SMALL)))
    return float(counter.get_total_flops()) * share**2 / 2e9


def _described(opened: Model, placement: Placement) -> str:
    """Processor and precision, for example `Intel Xeon Platinum 8370C, float32`."""
    device = choose_device(placement.device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {opened.precision}"
    name = processor_name().replace("(R)", "").replace("(TM)", "")
    return f"{name}, {opened.precision}"


if __name__ == "__main__":
    sys.exit(run_server(serve, sys.argv[1:], sys.stdin))
