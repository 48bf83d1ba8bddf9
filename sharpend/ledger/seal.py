"""Seal of a ledger that was closed in order: its next opening need not read the whole file.

Owns `ledger.db.closed`, which holds what the file system says of the file when it was closed: size,
times and inode. A file that was changed, replaced or put back since is not the one that was sealed.
A seal is used once: it is removed, durably, before the ledger may be written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.files.atomic import fsync_directory, replacing

if TYPE_CHECKING:
    from pathlib import Path


def put(state_dir: Path) -> None:
    """Seal the closed ledger; every error is an OSError."""
    state = _state_of(state_dir)
    with replacing(_seal(state_dir)) as file:
        file.write(state)


def take(state_dir: Path) -> bool:
    """Remove the seal, and return whether the ledger is as it was when it was sealed; OSError."""
    try:
        sealed = _seal(state_dir).read_bytes()
    except FileNotFoundError:
        return False
    _seal(state_dir).unlink()
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync_directory(descriptor)
    finally:
        os.close(descriptor)
    wal = state_dir / "ledger.db-wal"
    has_log = wal.exists() and wal.stat().st_size > 0
    return not has_log and (state_dir / "ledger.db").exists() and sealed == _state_of(state_dir)


def _seal(state_dir: Path) -> Path:
    return state_dir / "ledger.db.closed"


def _state_of(state_dir: Path) -> bytes:
    status = os.stat(state_dir / "ledger.db")
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_size} {times} {status.st_ino}\n".encode()
