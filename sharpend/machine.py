"""Processor and memory of this machine, and what a process holds: read, and changed by nobody here.

Sizes are bytes. What a system does not tell (macOS has no /proc) is None or empty.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """What the kernel says of the processors; empty where it says nothing."""
    return _read(_PROC / "cpuinfo")


def resident_bytes(pid: int) -> int | None:
    """What a process holds in memory; None where it has ended, or the system does not tell."""
    return _pages(pid, 1)


def address_bytes(pid: int) -> int | None:
    """The addresses that a process has reserved, used or not; None as above."""
    return _pages(pid, 0)


def _pages(pid: int, column: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "statm").read_bytes().split()
    except OSError:
        return None
    return int(fields[column]) * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
    """The machine's memory, or what the control group of this process may have of it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_group_limits()])


def _group_limits() -> list[int]:
    """The limits of this process's control group and all above it (version 2)."""
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
