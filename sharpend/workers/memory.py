"""Memory readings from /proc and cgroups: memory of the machine and of a process.

Sizes are bytes. What a system does not tell (macOS has no /proc) is None, and is then not watched.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None if it has ended or the system does not report it."""
    return _pages(pid, 1)


def address_bytes(pid: int) -> int | None:
    """Address space that a process has reserved, used or not; None as above."""
    return _pages(pid, 0)


def _pages(pid: int, column: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "statm").read_bytes().split()
    except OSError:
        return None
    return int(fields[column]) * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
    """Memory of the machine, or the part of it that this process's cgroup may use."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_group_limits()])


def _group_limits() -> list[int]:
    """Memory limits of this process's cgroup and all of its parents (version 2)."""
    try:
        named = (_PROC / "self/cgroup").read_text()
    except OSError:
        return []
    group = _GROUPS / named.strip().rpartition("::/")[2]
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
