"""Ledger backups: make, rotate and find copies.

Owns `ledger.db.backup-1` (the newest), `-2`, …, and `ledger.db.schema-N`, the ledger as it was
before a newer version changed it. Each is whole and sound, or absent. A copy carries a flag, so
that a restored backup is recognised as one (`Store.needs_reconciling`). Refuses to replace a
sound copy by a damaged one, and to hold up the ledger's writer.

No copy is restored automatically. A damaged ledger hints at a failing disk, which a person should
check; until then the folders are authoritative: existing outputs are adopted, not made again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from sharpend.errors import StateFaultError
from sharpend.files.atomic import put_in_place
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.store import BACKUP_FLAG, require_sound, translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STEP_PAGES = 256
"""Pages copied between two calls of `go_on`: a megabyte."""


def keep(state_dir: Path, count: int, go_on: Callable[[], bool]) -> Path:
    """Copy the ledger to `backup-1`; rotate older copies and delete the oldest.

    May run in a thread of its own while the ledger is written.

    Args:
        state_dir: holds the ledger.
        count: number of backups to keep, at least 1.
        go_on: called repeatedly; False cancels the backup.

    Raises:
        AbandonedError: `go_on` returned False; the files of the backup are removed.
        DamagedError: the ledger is damaged; the backups stay as they are.
        StateFaultError: the state directory has too little free space, or fails.
    """
    with translated(state_dir):
        _require_room(state_dir)
        temporary = _copied(state_dir, go_on)
        for number in range(count, 1, -1):
            with suppress(FileNotFoundError):
                os.replace(_backup(state_dir, number - 1), _backup(state_dir, number))
        return _placed(temporary, _backup(state_dir, 1))


def keep_before_upgrade(state_dir: Path, version: int, go_on: Callable[[], bool]) -> Path:
    """Copy the ledger, of schema `version`, before it is changed; arguments, errors as `keep`."""
    with translated(state_dir):
        return _placed(_copied(state_dir, go_on), state_dir / f"ledger.db.schema-{version}")


def newest(state_dir: Path) -> Path | None:
    """Path of the latest backup."""
    found = [*state_dir.glob("ledger.db.backup-*"), *state_dir.glob("ledger.db.schema-*")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def kept_at(state_dir: Path) -> float | None:
    """Time when `backup-1` was made (wall clock), or None."""
    with suppress(FileNotFoundError):
        return _backup(state_dir, 1).stat().st_mtime
    return None


def _backup(state_dir: Path, number: int) -> Path:
    return state_dir / f"ledger.db.backup-{number}"


def _copied(state_dir: Path, go_on: Callable[[], bool]) -> Path:
    """Write a whole, checked, marked copy under a temporary name."""
    temporary = state_dir / "ledger.db.copy.tmp"
    _remove(temporary)

    def look_up(_status: int, _remaining: int, _total: int) -> None:
        if not go_on():
            raise AbandonedError

    try:
        with (
            closing(sqlite3.connect(state_dir / "ledger.db", isolation_level=None)) as source,
            closing(sqlite3.connect(temporary, isolation_level=None)) as copy,
        ):
            # A read transaction fixes the snapshot: else each concurrent write restarts the copy.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=_STEP_PAGES, progress=look_up)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a WAL beside it
            require_sound(copy, state_dir)
            copy.execute(f"PRAGMA application_id = {BACKUP_FLAG}")
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _require_room(state_dir: Path) -> None:
    """Require free space of twice a copy's size: the ledger must not stop for lack of it.

    Raises:
        StateFaultError: there is not so much.
    """
    needed = 2 * (state_dir / "ledger.db").stat().st_size
    disk = os.statvfs(state_dir)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        message = (
            f"a backup needs {needed / 1e6:.1f} MB of free space, but {free / 1e6:.1f} MB are free"
        )
        raise StateFaultError(f"state directory {state_dir}: {message}")


def _remove(temporary: Path) -> None:
    """Remove an unfinished copy, also one that was left when the daemon died."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def _placed(temporary: Path, target: Path) -> Path:
    put_in_place(temporary, target)
    return target
