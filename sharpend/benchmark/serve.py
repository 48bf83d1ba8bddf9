"""Server process of the benchmark: holds one model and does the stages of an image on request.

Requests: `sharpen HEIGHT WIDTH`, `crop HEIGHT WIDTH` (find the most detailed crop), `decode FILE`,
`encode FILE`, `measure FILE`. Each reply holds `seconds` and `peak_mib`, the memory at the highest
beyond what the process held when it was ready.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.benchmark.images import photograph
from sharpend.benchmark.memory import MIB, Memory
from sharpend.benchmark.process import run_server
from sharpend.imaging import codec
from sharpend.imaging.crops import most_detailed
from sharpend.model import weights
from sharpend.model.device import Placement, choose_device
from sharpend.model.precision import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sharpend.benchmark.process import Reply
    from sharpend.imaging.picture import Picture

_CROP_PX = 256
_MOST_PIXELS, _MOST_BYTES = 200_000_000, 2_000_000_000


class Stages:
    """Work of a worker process, a stage at a time, with one model."""

    def __init__(self, model: str, placement: Placement) -> None:
        """Load the model.

        Raises:
            UnavailableError: it cannot be loaded, or the device is not there.
        """
        self.sharpener = place(weights.load(model), placement)
        self.sharpener.warm_up()

    def work(self, order: str) -> Callable[[], object]:
        """Prepare a request: what it needs besides is made before the clock runs."""
        what, *given = order.split(" ", 2)
        if what in {"sharpen", "crop"}:
            pixels = _photograph(int(given[0]), int(given[1]))
            if what == "crop":
                return lambda: most_detailed(pixels, height=_CROP_PX, width=_CROP_PX)
            return lambda: self.sharpener.sharpen(pixels)
        data = Path(order.split(" ", 1)[1]).read_bytes()
        if what == "decode":
            return lambda: _decoded(data)
        picture = _decoded(data)
        if what == "measure":
            return lambda: self.sharpener.measured(picture.pixels)
        return lambda: codec.encode(picture, BytesIO())


@cache
def _photograph(height: int, width: int) -> NDArray[np.uint8]:
    return photograph(height, width)


def _decoded(data: bytes) -> Picture:
    return codec.decode(BytesIO(data), max_pixels=_MOST_PIXELS, max_bytes=_MOST_BYTES)


def serve(model: str, placement: Placement, orders: Iterable[str]) -> Iterator[Reply]:
    """Load the model, then answer requests.

    Yields:
        The device and precision in use, then one reply for each request.
    """
    stages = Stages(model, placement)
    memory = Memory(choose_device(placement.device))
    yield {"device": stages.sharpener.runtime.described, "idle_mib": memory.idle_bytes / MIB}
    for order in orders:
        work = stages.work(order)
        memory = Memory(choose_device(placement.device))
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        yield {"seconds": seconds, "peak_mib": memory.added_bytes / MIB}


if __name__ == "__main__":
    sys.exit(run_server(serve, sys.argv[1:], sys.stdin))
