"""Processor and memory readings from /proc and cgroups, of the machine and of a process.

Sizes are bytes. What a system does not report (macOS has no /proc) is None or empty.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_SIGNS_OF_A_GPU = (_PROC / "driver/nvidia", Path("/dev/kfd"))
"""Files of the drivers of NVIDIA and AMD; not every card with a driver can be computed with."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _LARGE_BYTES = 64 * 2**20, 32 * 2**20


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Return whether models may run on a GPU here; only torch, in a worker, knows for sure."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return any(path.exists() for path in _SIGNS_OF_A_GPU)


def processor() -> str:
    """Read /proc/cpuinfo; empty if it cannot be read."""
    return _read(_PROC / "cpuinfo")


def processor_name() -> str:
    """Name of the processor on Linux, else its architecture."""
    lines = processor().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def processor_key() -> str:
    """Name and features of the processor, without what varies, such as its clock."""
    named = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    lines = {line for line in processor().splitlines() if line.startswith(named)}
    return "\n".join([platform.machine(), *sorted(lines)])


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None if it has ended or the system does not report it."""
    return _pages(pid, 1)


def address_bytes(pid: int) -> int | None:
    """Address space that a process has reserved, used or not; None as above."""
    return _pages(pid, 0)


def _pages(pid: int, column: int) -> int | None:
    try:
        with open(f"{_PROC}/{pid}/statm", "rb", buffering=0) as file:
            fields = file.read().split()
    except OSError:
        return None
    return int(fields[column]) * os.sysconf("SC_PAGE_SIZE")


def keep_freed_memory() -> None:
    """Let this process keep up to 64 MB that it frees, for its next allocations, with glibc alone.

    Else the arrays of a tile come as new pages for each image, which the kernel must clear first.
    Whole images, of more than 32 MB, are given back as before.

    Source: mallopt(3).
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(_TRIM_THRESHOLD, _KEPT_BYTES)
        change(_MMAP_THRESHOLD, _LARGE_BYTES)


def available_bytes() -> int:
    """Memory of the machine, or the part of it that this process's cgroup may use."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_group_limits()])


def _group_limits() -> list[int]:
    """Memory limits of this process's cgroup and all of its parents (version 2)."""
    named = _read(_PROC / "self/cgroup")
    if not named:
        return []
    group = _GROUPS / named.rpartition("::/")[2]
    return [
        int(limit)
        for directory in (group, *group.parents)
        if directory.is_relative_to(_GROUPS)
        and (limit := _read(directory / "memory.max")).isdigit()
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
