"""Sections that need no daemon: models by precision and threads, stages of an image, growth.

Each row of a table is a process of its own; in a round all of them work once.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sharpend.benchmark.figures import Cell, Figure, Table, ratio
from sharpend.benchmark.process import ChildProcess
from sharpend.benchmark.rounds import in_turn
from sharpend.model import weights
from sharpend.model.installed import openvino_version
from sharpend.model.trial import AUTO, BFLOAT16, FLOAT16, FLOAT32, INT8, OPENVINO, TORCH, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SERVER = "sharpend.benchmark.serve"
CPU = "cpu"
FORMS = (
    Form(TORCH, FLOAT32),
    Form(TORCH, BFLOAT16),
    Form(OPENVINO, FLOAT32),
    Form(OPENVINO, BFLOAT16),
    Form(OPENVINO, INT8),
)
FORMS_ON_GPU = (Form(TORCH, FLOAT32), Form(TORCH, BFLOAT16), Form(TORCH, FLOAT16))
CHOSEN = Form(AUTO, AUTO)
"""As the daemon would choose."""
STAGES = ("decode", "measure", "sharpen", "encode")
_IN_A_WORKER = ("decode", "sharpen", "encode")
"""Stages that add up to an image's time; `sharpen` measures as well."""
_MS, _MEGA = 1000, 1e6


def models(
    names: Sequence[str], size: tuple[int, int], threads: Sequence[int], rounds: int, device: str
) -> Table:
    """Measure images a second of each model in each form, from pixels to pixels.

    Args:
        names: shipped models or files.
        size: height and width of the image, pixels.
        threads: numbers of threads of torch; all are measured.
        rounds: see `in_turn`.
        device: as the settings name it.
    """
    order = f"sharpen {size[0]} {size[1]}"
    columns: list[str] = []
    rows: dict[str, dict[str, Cell]] = {}
    for count in threads:
        with ExitStack() as stack:
            servers = {
                f"{name}, {form}": stack.enter_context(_server(name, form, count, device))
                for name in names
                for form in _forms_of(name, device)
            }
            seconds = in_turn({row: _asking(one, order) for row, one in servers.items()}, rounds)
        speed, times = f"images/s, {count} threads", f"times the first, {count} threads"
        columns += [speed, times]
        for row, found in seconds.items():
            cells = rows.setdefault(row, {})
            cells[speed] = Figure.of(1 / one for one in found)
            cells[times] = ratio(seconds, row, against=next(iter(seconds)))
    return Table(f"Models at {size[1]} x {size[0]}", tuple(columns), rows)


def stages(
    model: str, files: Mapping[str, tuple[Path, tuple[int, int]]], rounds: int, device: str
) -> Table:
    """Measure milliseconds of each stage on one thread, by kind of file.

    Args:
        model: a shipped model or a file.
        files: by row a file with its height and width, pixels.
        rounds: see `in_turn`.
        device: as the settings name it.
    """
    rows: dict[str, dict[str, Cell]] = {}
    with _server(model, CHOSEN, 1, device) as server:
        for row, (path, size) in files.items():
            orders = {stage: f"{stage} {path}" for stage in STAGES}
            orders["sharpen"] = f"sharpen {size[0]} {size[1]}"
            seconds = in_turn({what: _asking(server, o) for what, o in orders.items()}, rounds)
            rows[row] = {w: Figure.of(_MS * one for one in found) for w, found in seconds.items()}
            rows[row]["images/s of one core"] = 1 / sum(min(seconds[what]) for what in _IN_A_WORKER)
        device = server.device
    notes = [f"Milliseconds with {model} on one thread, {device}; `sharpen` measures as well."]
    return Table("Stages of an image", (*STAGES, "images/s of one core"), rows, notes)


def growth(model: str, sizes: Mapping[str, tuple[int, int]], rounds: int, device: str) -> Table:
    """Measure time and memory of `sharpen` by the size of the image, on one thread.

    Besides, of the choice of the crop that is compared with the teacher; the rest of a comparison
    costs the same for every size.

    Args:
        model: a shipped model or a file.
        sizes: by row height and width, pixels.
        rounds: see `in_turn`.
        device: as the settings name it.
    """
    rows: dict[str, dict[str, Cell]] = {}
    for row, (height, width) in sizes.items():
        whole, of_crop = (
            _alone(model, device, f"{what} {height} {width}", rounds)
            for what in ("sharpen", "crop")
        )
        size = height * width / _MEGA
        rows[row] = {
            "ms/MP": Figure.of(_MS * one / size for one in whole[0]),
            "peak, MiB": whole[1],
            "crop, ms": Figure.of(_MS * one for one in of_crop[0]),
            "crop, MiB": of_crop[1],
        }
    columns = ("ms/MP", "peak, MiB", "crop, ms", "crop, MiB")
    notes = [f"`sharpen` of {model}; the crop is the one that is compared with the teacher."]
    return Table("Growth by size", columns, rows, notes)


def _alone(model: str, device: str, order: str, rounds: int) -> tuple[list[float], float]:
    """Seconds of a request in a process of its own, and the memory at its highest, MiB."""
    with _server(model, CHOSEN, 1, device) as server:
        (seconds,) = in_turn({order: _asking(server, order)}, rounds).values()
        return seconds, server.peak_mib


class _Server(ChildProcess):
    """Process with one model.

    Attributes:
        device: device and precision.
        peak_mib: memory at the highest of all requests, beyond what it held when it was ready.
    """

    device = ""
    peak_mib = 0.0

    def opened(self, reply: dict[str, str]) -> None:
        """Take the device."""
        self.device = reply["device"]

    def seconds(self, order: str) -> float:
        """Seconds of one request."""
        reply = self.ask(order)
        self.peak_mib = max(self.peak_mib, float(reply["peak_mib"]))
        return float(reply["seconds"])


def _forms_of(model: str, device: str) -> list[Form]:
    """List the forms that can be had here."""
    if device != CPU:
        return list(FORMS_ON_GPU)
    there = [one for one in FORMS if one.runtime == TORCH or openvino_version()]
    return there if weights.load(model).has_ranges else [f for f in there if f.precision != INT8]


def _server(model: str, form: Form, threads: int, device: str) -> _Server:
    given = {"device": device, "precision": form.precision, "runtime": form.runtime}
    return _Server(SERVER, {"model": model, "threads": threads, **given}, name=model)


def _asking(server: _Server, order: str) -> Callable[[], float]:
    return lambda: server.seconds(order)
