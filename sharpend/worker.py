"""What runs inside a worker process, and what it is told and tells.

The pool's process imports this module and stays free of torch: the way of an image is imported
only by `start`, inside the worker.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend.errors import TransientError, UnavailableError

if TYPE_CHECKING:
    from sharpend.job import Failed, Staged, Task

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What every worker is started with: plain values from the settings."""

    device: str
    precision: str
    tile_px: int | None
    threads: int | None
    crop_px: int


@dataclass(frozen=True, slots=True)
class Engine:
    """What a worker says of a network after it loaded and ran it once."""

    model: str
    """The name on its card."""
    digest: str
    device: str
    """Device and precision, for example `cpu float32`."""
    tile_px: int
    softened_by: int
    """The factor of softness these weights undo."""
    alarm_below: float | None
    teacher: str | None
    """The teacher that was loaded beside it; None where the card names none or none was wanted."""


_pipeline: Any = None
"""The Pipeline. One process has one, and pebble hands functions no state."""


def start(options: WorkerOptions, daemon_pid: int) -> None:
    """Die with the daemon, then load the way of an image."""
    global _pipeline  # noqa: PLW0603 - see above
    _die_with_parent(daemon_pid)
    # A signal to the daemon's whole group (`timeout`, a closed terminal) is for the daemon alone:
    # it drains, and a worker that died of it would be held against its picture.
    os.setpgid(0, 0)
    # pebble's handler for SIGTERM runs between two bytecodes: not within seconds of convolution.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipeline = importlib.import_module("sharpend.pipeline")
    runtime = importlib.import_module("sharpend.model.runtime")
    placement = runtime.Placement(
        options.device, options.precision, options.tile_px, options.threads
    )
    _pipeline = pipeline.Pipeline(placement, crop_px=options.crop_px)


def _die_with_parent(daemon_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the pipe ends)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != daemon_pid:
            os._exit(1)


def describe(model: str, teacher: bool) -> Engine:  # noqa: FBT001 - crosses a process boundary
    """Load and try a network, and its teacher if one is wanted."""
    sharpener = _pipeline.sharpener(model)
    try:
        sharpener.warm_up()
    except TransientError as error:
        raise UnavailableError(str(error)) from error
    card = sharpener.card
    if teacher and card.teacher is not None:
        _pipeline.opinion(model)
    return Engine(
        model=card.name,
        digest=sharpener.digest,
        device=sharpener.runtime.described,
        tile_px=sharpener.runtime.tile_px,
        softened_by=card.softened_by,
        alarm_below=card.alarm_below,
        teacher=card.teacher if teacher else None,
    )


def work(task: Task) -> Staged | Failed:
    """Do one task."""
    outcome: Staged | Failed = _pipeline.run(task)
    return outcome
