"""Ledger storage: open, lock and migrate the SQLite file, and run transactions.

Owns `ledger.db` (SQLite, WAL, synchronous=FULL) and `lock` in the state directory. A damaged
ledger is moved aside and a new one begun; an older one is copied, then upgraded. Refuses a ledger
that a newer version wrote, and a state directory that another process works on.

The file stays as large as it once had to be: the pages of forgotten rows are used again, and never
given back, which would cost every write a little.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from sharpend.errors import LedgerError, StateFaultError, StateLockedError
from sharpend.files.atomic import try_to_write
from sharpend.ledger.caseless import twin_key
from sharpend.ledger.copies import COPY_MARK, keep_before_upgrade
from sharpend.ledger.faults import DamagedError, require_sound, translated
from sharpend.ledger.schema import SCHEMA_VERSION, STEPS
from sharpend.ledger.sql import FORGET_WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Connection = sqlite3.Connection
"""Type of a transaction's cursor, for modules that must not import sqlite3."""

_BUSY_TIMEOUT_S = 10.0
_LOCK_LOOKS = 3
_LOCK_PAUSE_S = 0.05
_RECONCILING_MARK = 0x646F7562
"""SQLite's application_id of a ledger that needs reconciling; it is kept through any crash."""
_LONGEST_WAL_BYTES = 1 << 26
"""Size to which the write-ahead log is truncated after a long read had let it grow."""
_CACHE_KIB = 512
"""Enough for all frequent queries; SQLite's default of 2 MB fills slowly, like a leak."""


class Store:
    """An open ledger file; rows come back addressable by column name."""

    def __init__(self, connection: sqlite3.Connection, state_dir: Path) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self._state_dir = state_dir

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of one query: one that the caller has bounded."""
        with translated(self._state_dir):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Return the first row of one query."""
        return next(iter(self.rows(sql, *values)), None)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the whole block, durably, or roll it back."""
        with translated(self._state_dir):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def needs_reconciling(self) -> bool:
        """Return whether outputs may exist that this ledger does not know, until `set_reconciled`.

        That is true for a ledger that was created because the old one was lost, and for a copy that
        was put in the ledger's place. Jobs that waited when the copy was made may be finished by
        now: their rows are deleted, and the next scan compares their inputs with existing outputs.
        """
        with self.transaction() as cursor:
            mark = cursor.execute("PRAGMA application_id").fetchone()[0]
            if mark == COPY_MARK:
                cursor.execute(FORGET_WAITING)
                cursor.execute(f"PRAGMA application_id = {_RECONCILING_MARK}")
            return mark in {COPY_MARK, _RECONCILING_MARK}

    def set_reconciled(self) -> None:
        """Record that all folders were scanned: existing outputs are known from now on."""
        with self.transaction() as cursor:
            cursor.execute("PRAGMA application_id = 0")

    def probe(self) -> None:
        """Write to the directory, and rewrite a value in the ledger, as a test."""
        with translated(self._state_dir):
            try_to_write(self._state_dir)
        with self.transaction() as cursor:
            cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def lock(state_dir: Path) -> int:
    """Lock the state directory against a second process, creating it if missing.

    Returns:
        The descriptor that holds the lock; closed on exec, so no worker inherits it.

    Raises:
        StateLockedError: another process holds it.
        StateFaultError: the directory cannot be made or written.
    """
    with translated(state_dir):
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock_soon(descriptor)
    except OSError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StateLockedError(
            f"{state_dir} is in use by process {holder}: stop it, or give --state another folder"
        ) from error
    try:
        with translated(state_dir):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except StateFaultError:  # release the lock, or the next attempt of this process would fail
        os.close(descriptor)
        raise
    return descriptor


def _lock_soon(descriptor: int) -> None:
    """Take the lock; retry, because `is_locked` may hold it for an instant."""
    for _ in range(_LOCK_LOOKS - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOCK_PAUSE_S)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(state_dir: Path) -> bool:
    """Return whether some process works on this state directory right now."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def open_or_rebuild(state_dir: Path, *, lost: bool) -> tuple[Store, Path | None]:
    """Open the ledger for writing; create a new one if it is missing or damaged.

    Args:
        state_dir: with its lock held.
        lost: a missing ledger existed before.

    Returns:
        The store, and the path that a damaged ledger was moved to. The store needs reconciling if
        it replaces another.

    Raises:
        LedgerError: a newer version of sharpend wrote it.
        StateFaultError: the file cannot be opened now.
    """
    try:
        return open_to_write(state_dir, reconcile=lost), None
    except DamagedError:
        aside = _move_aside(state_dir)
        return open_to_write(state_dir, reconcile=True), aside


def open_to_write(state_dir: Path, *, reconcile: bool = False) -> Store:
    """Open the ledger without checking the lock; LedgerError if it is damaged or newer.

    Args:
        state_dir: a missing ledger is created in it.
        reconcile: a ledger that is created now needs reconciling.
    """
    with translated(state_dir):
        connection = sqlite3.connect(
            state_dir / "ledger.db", timeout=_BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            _prepare(connection, state_dir, reconcile=reconcile)
        except BaseException:
            connection.close()
            raise
    return Store(connection, state_dir)


def open_to_read(state_dir: Path) -> Store:
    """Open an existing ledger read-only, while another process may be writing it.

    Raises:
        LedgerError: there is none, or a newer version wrote it.
    """
    path = state_dir / "ledger.db"
    if not path.exists():
        raise LedgerError(f"{state_dir} holds no ledger: nothing has run with this --state yet")
    with translated(state_dir):
        location = f"file:{quote(os.fsencode(path))}?mode=ro"
        connection = sqlite3.connect(
            location, timeout=_BUSY_TIMEOUT_S, isolation_level=None, uri=True
        )
        try:
            _refuse_newer(_version(connection), state_dir)
        except BaseException:
            connection.close()
            raise
    return Store(connection, state_dir)


def _prepare(connection: sqlite3.Connection, state_dir: Path, *, reconcile: bool) -> None:
    version = _version(connection)
    _refuse_newer(version, state_dir)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_WAL_BYTES}")
    require_sound(connection, state_dir)
    if version < SCHEMA_VERSION:
        if version:
            keep_before_upgrade(state_dir, version)
        connection.create_function("twin_key", 1, twin_key, deterministic=True)
        steps = "".join(STEPS[version:])
        if reconcile and not version:
            steps += f"PRAGMA application_id = {_RECONCILING_MARK};"
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(version: int, state_dir: Path) -> None:
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger in {state_dir} was written by a newer sharpend (schema {version}, this"
            f" one knows {SCHEMA_VERSION}): update sharpend, or give --state another folder"
        )


def _move_aside(state_dir: Path) -> Path:
    """Rename the damaged ledger with its WAL, which must never be replayed into a new one."""
    number = 1
    while (aside := state_dir / f"ledger.db.corrupt-{number}").exists():
        number += 1
    with translated(state_dir):
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                os.rename(state_dir / f"ledger.db{suffix}", f"{aside}{suffix}")
    return aside
