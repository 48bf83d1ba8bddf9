"""Resource limits of a worker: processor time, memory, open files, no core dumps.

The kernel enforces them, whatever the parent does: a decoder in an endless loop is killed, and an
allocation beyond the limit fails. As a second line of defence `pool` watches deadline and resident
memory. Automatic limits are computed in `daemon.worker_settings`.
"""

from __future__ import annotations

import math
import os
import resource
import sys

from sharpend.machine import address_bytes, cores

BYTES_PER_PIXEL = 96
"""Memory of an image of up to 16 bits, at most from decoding to encoding: measured 88 for a GIF, 52
for 16 bits with alpha in an uncompressed TIFF, 14 for a JPEG."""
_BYTES_PER_BIT = 4
"""Of floating point samples: measured 108 a pixel for 32 bits with alpha, 229 for 64."""
OPEN_FILES = 1024
"""A worker holds about 30 at a time, with the driver of several GPUs a few hundred."""
RESERVED_PER_THREAD = 136 << 20
"""A thread's stack, and the heap that glibc reserves for it; addresses only, hardly ever used."""


def bytes_at_most(pixels: int, bits: int) -> int:
    """Bound the memory of an image of so many pixels, with so many bits per sample."""
    return pixels * max(BYTES_PER_PIXEL, _BYTES_PER_BIT * bits)


class ResourceLimits:
    """Limits of this process; created once, after all imports.

    Args:
        job_s: the longest time for one image.
        memory_bytes: how much memory one image may take; None: as much as there is.
        later_threads: threads that the runtime may start later, besides one for each core.
    """

    def __init__(self, job_s: float, memory_bytes: int | None, later_threads: int = 0) -> None:
        self._threads = cores() + later_threads
        self._job_s = job_s
        self._memory_bytes = memory_bytes
        self.limits_memory = False
        """True if an allocation beyond the limit fails in this process."""
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, OPEN_FILES)

    def renew(self) -> None:
        """Reset the limits before a task: time for one more image, memory as at the first call."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        # An image within its time uses at most that time on every core.
        allowed_s = used.ru_utime + used.ru_stime + self._job_s * cores() + 1
        _set_soft(resource.RLIMIT_CPU, math.ceil(allowed_s))
        if self._memory_bytes is not None and not self.limits_memory:
            self._limit_memory(self._memory_bytes)

    def _limit_memory(self, allowance: int) -> None:
        now = address_bytes(os.getpid())
        if now is None or sys.platform != "linux":
            return
        _lower(resource.RLIMIT_AS, now + allowance + RESERVED_PER_THREAD * self._threads)
        self.limits_memory = True


def _set_soft(kind: int, wanted: int) -> None:
    """Set the soft limit, at most to the hard limit."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (_smaller(wanted, hard), hard))


def _lower(kind: int, wanted: int) -> None:
    """Lower a hard limit for good; one that is lower already stays."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (_smaller(wanted, soft), _smaller(wanted, hard)))


def _smaller(wanted: int, limit: int) -> int:
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, limit)
