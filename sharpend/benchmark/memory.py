"""Peak memory of a piece of work, beyond what its process held before.

On CUDA the allocations of torch on the device; elsewhere resident memory, from /proc, because the
peak of `getrusage` is inherited from the process that started this one.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
_STATUS, _FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Memory:
    """Gauge that starts when it is made.

    Attributes:
        idle_bytes: held at that moment.
    """

    def __init__(self, device: torch.device) -> None:
        now, self._highest = _gauges(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(AttributeError):  # glibc keeps freed memory, which would hide a later use
                ctypes.CDLL(None).malloc_trim(0)
            with suppress(OSError):  # otherwise an earlier peak counts: more, never less
                _FORGET_PEAK.write_text("5")
        self.idle_bytes = now()

    @property
    def added_bytes(self) -> int:
        """The highest so far, beyond `idle_bytes`."""
        return self._highest() - self.idle_bytes


def _gauges(device: torch.device) -> tuple[Callable[[], int], Callable[[], int]]:
    """Functions for the current and the highest number of bytes."""
    if device.type == "cuda":
        return (
            lambda: torch.cuda.memory_allocated(device),
            lambda: torch.cuda.max_memory_allocated(device),
        )
    if _STATUS.exists():
        return lambda: _resident("VmRSS"), lambda: _resident("VmHWM")
    return _highest_resident, _highest_resident


def _resident(field: str) -> int:
    """A field of /proc/self/status, which counts in KiB."""
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def _highest_resident() -> int:
    """Without /proc: macOS counts in bytes, others in KiB."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
