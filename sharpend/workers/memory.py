"""How much memory there is, and how much a process holds: read from /proc, changed by nobody here.

Sizes are bytes. What a system does not tell (macOS has no /proc) is None, and is then not watched.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


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
