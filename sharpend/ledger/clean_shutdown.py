"""Marker of a clean shutdown: the next start need not check the whole ledger.

Owns `ledger.db.closed`, which holds size, times and inode of the ledger when it was closed in
order. They differ if the file was changed, replaced or restored since. Each start deletes the
marker durably before it writes to the ledger, so a marker counts once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.files.atomic import fsync_folder, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def write_marker(state_dir: Path) -> None:
    """Write the marker for a ledger that was just closed; every error is an OSError."""
    write_atomically(_marker(state_dir), _state_of(state_dir))


def take_marker(state_dir: Path) -> bool:
    """Delete the marker, and return whether the ledger is as it was when closed; OSError."""
    try:
        recorded = _marker(state_dir).read_bytes()
    except FileNotFoundError:
        return False
    _marker(state_dir).unlink()
    fsync_folder(state_dir)
    wal = state_dir / "ledger.db-wal"
    has_log = wal.exists() and wal.stat().st_size > 0
    return not has_log and (state_dir / "ledger.db").exists() and recorded == _state_of(state_dir)


def _marker(state_dir: Path) -> Path:
    return state_dir / "ledger.db.closed"


def _state_of(state_dir: Path) -> bytes:
    status = os.stat(state_dir / "ledger.db")
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_size} {times} {status.st_ino}\n".encode()
