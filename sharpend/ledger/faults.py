"""Ledger errors: translate errors of SQLite and of the state directory to our own.

Owns the decision which of SQLite's errors mean a damaged file and which a disk that fails now.
Refuses to let a sqlite3 error out of the ledger.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sharpend.errors import LedgerError, StateFaultError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FAULTS = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
}


class DamagedError(LedgerError):
    """The ledger's file is damaged."""


def require_sound(connection: sqlite3.Connection, state_dir: Path) -> None:
    """Run an integrity check of the ledger, or of a copy of it.

    Raises:
        DamagedError: its pages contradict one another.
    """
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise DamagedError(f"the ledger in {state_dir} is damaged")


@contextmanager
def translated(state_dir: Path) -> Iterator[None]:
    """Translate every sqlite3 error, and every OSError of the state directory.

    Raises:
        DamagedError: the file is no ledger any more.
        StateFaultError: the disk is full, read-only or failing.
        LedgerError: any other error of SQLite.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _DAMAGED:
            raise DamagedError(f"the ledger in {state_dir} is damaged: {error}") from error
        kind = StateFaultError if code in _FAULTS else LedgerError
        raise kind(f"the ledger in {state_dir} cannot be used: {error}") from error
    except OSError as error:
        raise StateFaultError(f"state directory {state_dir}: {error.strerror}") from error
