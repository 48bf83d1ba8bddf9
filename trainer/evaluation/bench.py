"""Benchmark process: holds one model and sharpens one 1920 x 1080 image on each request.

`Bench` is the client that measures, `serve` the server. A process of its own isolates the memory of
a model, and several processes that work in turn can be compared on a busy machine. Requests are one
word a line, replies one line of JSON.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sharpend.errors import SharpendError, UnavailableError
from sharpend.imaging.filters import resize
from sharpend.machine import processor
from sharpend.model.networks import NETWORKS
from sharpend.model.runtime import Placement, choose_device, choose_precision
from trainer.degradations.report import LITERAL_LARGE, LITERAL_SMALL, SOFTENED_BY
from trainer.evaluation.memory import MIB, Memory
from trainer.training.models import open_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.training.models import Model

    Reply = dict[str, float | str]

SHARPEN, COUNT = "sharpen", "count"
"""Requests."""
_FIRST_PX = (32, 32)
"""(height, width) of a first image, which loads libraries before memory is measured."""
_SHARE = 5
"""Divisor of each side for counting, where the count is in proportion to the area."""


class Bench:
    """Client: starts the process, sends requests, ends it.

    Attributes:
        parameters: of the model; 0 if unknown.
        device: the processor's name and the precision.
        idle_mib: memory of the process before it sharpened.
        peak_mib: the highest so far beyond that.
    """

    def __init__(self, model: str, placement: Placement) -> None:
        self.peak_mib = 0.0
        self._model = model
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - __exit__ closes it
        given = {key: value for key, value in asdict(placement).items() if value is not None}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps({"model": model, **given})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def __enter__(self) -> Self:
        """Wait until the model is open.

        Raises:
            UnavailableError: it cannot be opened; the text is the last line of its stderr.
        """
        try:
            opened = self._reply()
        except BaseException:
            self.__exit__()
            raise
        self.parameters = int(opened["parameters"])
        self.device = str(opened["device"])
        self.idle_mib = float(opened["idle_mib"])
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        with self._process, self._said:
            pass

    def sharpen(self) -> float:
        """Seconds for one image, from pixels to pixels.

        Raises:
            UnavailableError: the process ended instead.
        """
        reply = self._ask(SHARPEN)
        self.peak_mib = float(reply["peak_mib"])
        return float(reply["seconds"])

    def count(self) -> float:
        """GMAC of one image in one piece; counting raises `peak_mib`, so do it last.

        Raises:
            UnavailableError: the process ended instead.
        """
        return float(self._ask(COUNT)["gmac"])

    def _ask(self, order: str) -> Reply:
        assert self._process.stdin is not None  # noqa: S101 - tells the type checker
        with suppress(BrokenPipeError):  # the process has ended: `_reply` raises
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> Reply:
        assert self._process.stdout is not None  # noqa: S101 - tells the type checker
        line = self._process.stdout.readline()
        if line:
            reply: Reply = json.loads(line)
            return reply
        status = self._process.wait()
        self._said.seek(0)
        said = self._said.read().strip().splitlines() or [f"ended with status {status}"]
        raise UnavailableError(f"{self._model}: cannot be measured: {said[-1]}")


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

    Our models get one tile, because halos would count twice, and a smaller image, because the cost
    of convolutions is in proportion to the area. Attention is not: foreign models get the true
    size.
    """
    share = 1
    if opened.kind in NETWORKS:
        opened = open_model(model, replace(placement, tile_px=max(LITERAL_LARGE)))
        share = _SHARE
    with FlopCounterMode(display=False) as counter:
        opened.sharpen(*_pair(*(side // share for side in LITERAL_SMALL)))
    return float(counter.get_total_flops()) * share**2 / 2e9


def _described(opened: Model, placement: Placement) -> str:
    """Processor and precision, for example `Intel Xeon Platinum 8370C, float32`."""
    device = choose_device(placement.device)
    precision = torch.float32
    if opened.kind in NETWORKS:  # only our models use another precision
        precision = choose_precision(placement.precision, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return f"{name}, {str(precision).removeprefix('torch.')}"


def _processor() -> str:
    """The name of the CPU on Linux, else its architecture."""
    lines = processor().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0].replace("(R)", "").replace("(TM)", "") if names else platform.machine()


def main(arguments: Sequence[str], orders: Iterable[str]) -> int:
    """Run the server: one argument, JSON of `model` and the fields of Placement."""
    given = json.loads(arguments[0])
    model = given.pop("model")
    answers = sys.stdout
    try:
        with redirect_stdout(sys.stderr):  # libraries may print; stdout carries replies only
            for reply in serve(model, Placement(**given), (line.strip() for line in orders)):
                print(json.dumps(reply), file=answers, flush=True)
    except SharpendError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin))
