"""Opening the ledger for writing: lock of the state directory, creation, upgrade, replacement.

Owns `lock` and the making of `ledger.db` (SQLite, WAL, synchronous=FULL) in the state directory. A
damaged ledger is moved aside and a new one begun; an older one is copied, then upgraded. Refuses a
ledger that a newer version wrote, and a state directory that another process works on.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from sharpend.errors import LedgerError, StateFaultError, StateLockedError
from sharpend.files.fingerprint import display
from sharpend.files.mounts import empty_mount_point
from sharpend.ledger import clean_shutdown, copies
from sharpend.ledger.case_folding import name_key, twin_key
from sharpend.ledger.ledger import Ledger
from sharpend.ledger.long_steps import abandonable
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import binary
from sharpend.ledger.schema import SCHEMA_VERSION, STEPS
from sharpend.ledger.store import (
    BUSY_TIMEOUT_S,
    RECONCILING_FLAG,
    DamagedError,
    Store,
    refuse_newer,
    require_sound,
    translated,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOCK_LOOKS = 3
_LOCK_PAUSE_S = 0.05
_LONGEST_WAL_BYTES = 1 << 26
"""Size to which the write-ahead log is truncated after a long read had let it grow."""
_CACHE_KIB = 512
"""Enough for every question that is asked often; SQLite's own 2 MB fill slowly, and look like a
leak until then."""


def open_ledger(state_dir: Path, go_on: Callable[[], bool] = lambda: True) -> Ledger:
    """Lock the state directory and open its ledger, creating both if missing.

    Args:
        state_dir: holds the ledger.
        go_on: called repeatedly while a large ledger is checked, copied, upgraded or counted.

    Raises:
        AbandonedError: `go_on` returned False; the ledger is as it was.
        StateLockedError: another process works on this state directory.
        StateFaultError: the directory cannot be written.
        LedgerError: a newer version wrote the ledger.
    """
    with translated(state_dir):
        lost = (state_dir / "lock").exists() and _is_empty(state_dir / "ledger.db")
    lock_fd = lock(state_dir)
    try:
        with translated(state_dir):
            was_clean = clean_shutdown.take_marker(state_dir)
        store, aside = _open_or_rebuild(state_dir, go_on, lost=lost, was_clean=was_clean)
        if not was_clean:
            store.recount(go_on)
        rebuilt = store.needs_reconciling()
    except BaseException:
        os.close(lock_fd)
        raise
    ledger = Ledger(store, lock_fd, rebuilt=rebuilt)
    ledger.recovery_paths = {"moved_aside": aside, "newest_backup": copies.newest(state_dir)}
    return ledger


def open_beside(state_dir: Path) -> Ledger:
    """Open without the lock, for `retry` while a daemon runs: it moves settled jobs only.

    Raises:
        LedgerError: there is no ledger, it is damaged or a newer version's, or the daemon that
            works with it is of an older version.
    """
    LedgerReader.read_only(state_dir).close()
    is_in_use = is_locked(state_dir)
    if is_in_use and _version_in(state_dir) < SCHEMA_VERSION:  # it would work on unknown tables
        raise LedgerError(f"{state_dir}: the daemon is of an older version: restart it first")
    store = _open_to_write(state_dir, lambda: True, was_clean=is_in_use)  # checked at its start
    return Ledger(store, None)


def lock(state_dir: Path) -> int:
    """Lock the state directory against a second process, creating it if missing.

    Returns:
        The descriptor that holds the lock; closed on exec, so no worker inherits it.

    Raises:
        StateLockedError: another process holds it.
        StateFaultError: the directory cannot be made or written, or its disk is not mounted.
    """
    _require_disk(state_dir)
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


def _require_disk(state_dir: Path) -> None:
    """Raise StateFaultError where a new ledger would be created below an empty mount point."""
    with translated(state_dir):
        point = empty_mount_point(os.fsencode(state_dir))
        if point is not None and _is_empty(state_dir / "ledger.db"):
            raise StateFaultError(
                f"state directory {state_dir}: no disk is mounted at {display(point)}: mount it,"
                " or set state to another directory"
            )


def _lock_soon(descriptor: int) -> None:
    """Take the lock; retry, because `is_locked` may hold it for an instant."""
    for _ in range(_LOCK_LOOKS - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOCK_PAUSE_S)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(state_dir: Path) -> bool:
    """Return whether some process works on this state directory right now.

    Raises:
        StateFaultError: this user may not look there.
    """
    with translated(state_dir):
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


def locked_since(state_dir: Path) -> float | None:
    """Return when the process that works on this state directory began (wall clock), or None.

    Raises:
        StateFaultError: this user may not look there.
    """
    if not is_locked(state_dir):
        return None
    with translated(state_dir):
        return (state_dir / "lock").stat().st_mtime  # `lock` writes it, and nobody else


def _open_or_rebuild(
    state_dir: Path, go_on: Callable[[], bool], *, lost: bool, was_clean: bool
) -> tuple[Store, Path | None]:
    """Open the ledger for writing; create a new one if it is missing or damaged.

    Args:
        state_dir: with its lock held.
        go_on: as of `open_ledger`.
        lost: a missing ledger existed before.
        was_clean: the ledger is as it was when it was closed in order; it is not checked.

    Returns:
        The store, and the path that a damaged ledger was moved to. The store needs reconciling if
        it replaces another.

    Raises:
        LedgerError: a newer version of sharpend wrote it.
        StateFaultError: the file cannot be opened now.
    """
    try:
        return _open_to_write(state_dir, go_on, reconcile=lost, was_clean=was_clean), None
    except DamagedError:
        aside = _move_aside(state_dir)
        return _open_to_write(state_dir, go_on, reconcile=True), aside


def _open_to_write(
    state_dir: Path, go_on: Callable[[], bool], *, reconcile: bool = False, was_clean: bool = False
) -> Store:
    """Open the ledger without checking the lock; LedgerError if it is damaged or newer.

    Args:
        state_dir: a missing ledger is created in it.
        go_on: as of `open_ledger`.
        reconcile: a ledger that is created now needs reconciling.
        was_clean: it is not checked.
    """
    with translated(state_dir):
        connection = sqlite3.connect(
            state_dir / "ledger.db", timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            with abandonable(connection, go_on):
                _prepare(connection, state_dir, go_on, reconcile=reconcile, was_clean=was_clean)
        except BaseException:
            connection.close()
            raise
    return Store(connection, state_dir)


def _version_in(state_dir: Path) -> int:
    with translated(state_dir), closing(sqlite3.connect(state_dir / "ledger.db")) as connection:
        return version_of(connection)


def _prepare(
    connection: sqlite3.Connection,
    state_dir: Path,
    go_on: Callable[[], bool],
    *,
    reconcile: bool,
    was_clean: bool,
) -> None:
    version = version_of(connection)
    refuse_newer(version, state_dir)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_WAL_BYTES}")
    if not was_clean:
        require_sound(connection, state_dir)
    if version < SCHEMA_VERSION:
        if version:
            copies.keep_before_upgrade(state_dir, version, go_on)
        for function in (twin_key, name_key, binary):
            connection.create_function(function.__name__, 1, function, deterministic=True)
        steps = "".join(STEPS[version:])
        if reconcile and not version:
            steps += f"PRAGMA application_id = {RECONCILING_FLAG};"
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT"
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


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0
