"""Ledger storage: the SQLite connection, its transactions, and translation of its errors.

Owns the decision which of SQLite's errors mean a damaged file and which a disk that fails now.
Translates every sqlite3 error, and refuses to read a ledger that a newer version wrote.

The file stays as large as it once had to be: the pages of forgotten rows are used again, and never
given back, which would cost every write a little.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from sharpend.errors import LedgerError, StateFaultError
from sharpend.files.atomic import try_to_write
from sharpend.files.owner import foreign_owner
from sharpend.ledger.counts_sql import COUNTED, HAS_TABLE, RECOUNT
from sharpend.ledger.long_steps import abandonable
from sharpend.ledger.schema import SCHEMA_VERSION
from sharpend.ledger.sql import FORGET_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Connection = sqlite3.Connection
"""Type of a transaction's cursor, for modules that must not import sqlite3."""

BUSY_TIMEOUT_S = 10.0
BACKUP_FLAG = 0x636F7079
"""SQLite's application_id of a copy; the ledger's own is 0."""
RECONCILING_FLAG = 0x646F7562
"""SQLite's application_id of a ledger that needs reconciling; it is kept through any crash."""

_REWRITE = f"PRAGMA user_version = {SCHEMA_VERSION}"
"""Writes a value that is there already: the smallest transaction that reaches the disk."""
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


class Store:
    """An open ledger file; rows come back addressable by column name."""

    def __init__(self, connection: sqlite3.Connection, state_dir: Path) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self.state_dir = state_dir
        self._translated = _Translation(state_dir)
        self._may_be_lost = False
        """A power cut now may lose what was committed last."""

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of one query: one that the caller has bounded."""
        with self._translated:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Return the first row of one query."""
        return next(iter(self.rows(sql, *values)), None)

    def counting(self, query: str) -> str:
        """Return a query of kept numbers; rows are counted where an older version wrote it."""
        for table, counted in COUNTED.items():
            if table in query and not self.row(HAS_TABLE, table):
                query = query.replace(table, f"({counted})")
        return query

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the whole block, durably, or roll it back.

        A transaction in the block of another one is committed with that, or rolled back alone.
        """
        if self._connection.in_transaction:
            with self._joined():
                yield self._connection
            return
        with self._translated:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._may_be_lost = False

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """Roll a block within a transaction back if it fails."""
        with self._translated:
            self._connection.execute("SAVEPOINT joined")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it itself if the disk is full
                    self._connection.execute("ROLLBACK TO joined")
                raise
            self._connection.execute("RELEASE joined")

    @contextmanager
    def soon_durable(self) -> Iterator[sqlite3.Connection]:
        """Commit the whole block, or roll it back; the next transaction or `sync` makes it durable.

        Until then it outlives a death of this process, and not one of the machine.
        """
        with self._translated:
            self._connection.execute("PRAGMA synchronous = NORMAL")
            try:
                with self.transaction():
                    yield self._connection
            finally:
                self._connection.execute("PRAGMA synchronous = FULL")
        self._may_be_lost = True

    def sync(self) -> None:
        """Make all that was committed durable."""
        if self._may_be_lost:
            with self.transaction() as cursor:
                cursor.execute(_REWRITE)

    def needs_reconciling(self) -> bool:
        """Return whether outputs may exist that this ledger does not know, until `set_reconciled`.

        That is true for a ledger that was created because the old one was lost, and for a copy that
        was put in the ledger's place. Jobs that waited when the copy was made may be finished by
        now: their rows are deleted, and the next scan compares their inputs with existing outputs.
        """
        with self.transaction() as cursor:
            flag = cursor.execute("PRAGMA application_id").fetchone()[0]
            if flag == BACKUP_FLAG:
                cursor.execute(FORGET_WAITING)
                cursor.execute(f"PRAGMA application_id = {RECONCILING_FLAG}")
            return flag in {BACKUP_FLAG, RECONCILING_FLAG}

    def set_reconciled(self) -> None:
        """Record that all folders were scanned: existing outputs are known from now on."""
        with self.transaction() as cursor:
            cursor.execute("PRAGMA application_id = 0")

    def probe(self) -> None:
        """Write to the directory, and rewrite a value in the ledger, as a test."""
        with self._translated:
            try_to_write(self.state_dir)
        with self.transaction() as cursor:
            cursor.execute(_REWRITE)

    def recount(self, go_on: Callable[[], bool]) -> None:
        """Count all jobs anew; AbandonedError if `go_on` returns False."""
        with self.transaction() as cursor, abandonable(cursor, go_on):
            for statement in RECOUNT:
                cursor.execute(statement)

    def distrust(self) -> None:
        """Make the next start check the whole file in any case."""
        self._translated.has_failed = True

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def close_in_order(self) -> bool:
        """Close the file; return whether it is whole, without a log, and never failed."""
        is_whole = False
        with suppress(LedgerError), self._translated:
            row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            is_whole = row[0] == 0 and not self._translated.has_failed
        self.close()
        return is_whole


class _Translation:
    """Translation of all errors of one store, for any number of blocks, also within each other.

    Most blocks are single statements without an error, so they cost next to nothing.

    Attributes:
        has_failed: the file or its disk has failed since it was opened.
    """

    def __init__(self, state_dir: Path) -> None:
        self.has_failed = False
        self._state_dir = state_dir

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        try:
            with translated(self._state_dir):
                raise error
        except (DamagedError, StateFaultError):
            self.has_failed = True
            raise


def has_ledger(state_dir: Path) -> bool:
    """Return whether a daemon has worked with a state directory.

    Raises:
        StateFaultError: this user may not look there.
    """
    with translated(state_dir):
        return (state_dir / "ledger.db").exists()


def open_to_read(state_dir: Path) -> Store:
    """Open an existing ledger read-only, while another process may be writing it.

    Raises:
        LedgerError: there is none, or a newer version wrote it.
    """
    path = state_dir / "ledger.db"
    if not has_ledger(state_dir):
        raise LedgerError(f"{state_dir} holds no ledger: nothing has run with this --state yet")
    with translated(state_dir):
        location = f"file:{quote(os.fsencode(path))}?mode=ro"
        connection = sqlite3.connect(
            location, timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True
        )
        try:
            refuse_newer(version_of(connection), state_dir)
        except BaseException:
            connection.close()
            raise
    return Store(connection, state_dir)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of a ledger file; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(version: int, state_dir: Path) -> None:
    """Raise LedgerError if a newer version of sharpend wrote the ledger."""
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger in {state_dir} was written by a newer sharpend (schema {version}, this"
            f" one knows {SCHEMA_VERSION}): update sharpend, or give --state another folder"
        )


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
        text = f"the ledger in {state_dir} cannot be used: {error}"
        raise kind(text + _advice(state_dir)) from error
    except OSError as error:
        text = f"state directory {state_dir}: {error.strerror}"
        raise StateFaultError(text + _advice(state_dir)) from error


def _advice(state_dir: Path) -> str:
    """Advise on a state directory of another user; nothing where it is ours."""
    owner = foreign_owner(os.fsencode(state_dir))
    if owner is None:
        return ""
    return f"; it belongs to user {owner}: run this by `sudo -u {owner}`, or give another --state"
