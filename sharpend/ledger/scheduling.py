"""Job scheduling: choose the waiting job that runs next.

Owns the fairness of the queue. Folders take turns, and in each folder so do retries and new jobs:
with many of both, each gets half of the work. A job that kills the daemon repeatedly runs alone.
Every question is answered from an index, so a queue of a million costs what one of ten does, and
folders in which nothing waits cost next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.ledger import sql
from sharpend.ledger.records import State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sharpend.ledger.records import LedgerRow
    from sharpend.ledger.store import Store

LONGEST_BACKOFF_S = 600.0
"""Longest wait of a retry; a later `next_at` means that the clock was set back, so it is due."""
ALONE_AFTER_ORPHANS = 3
"""Deaths of the daemon during attempts at a job after which the job runs alone."""


class Scheduler:
    """Order of one ledger's jobs; remembers which folder was served last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_folder = ""
        self._retried: set[str] = set()
        """Folders whose last job was a retry."""

    def next(
        self, now_s: float, folders: Collection[str], newest: Collection[str]
    ) -> LedgerRow | None:
        """Choose the job to run now, a row of the view `known`; arguments as `Ledger.claim`."""
        rows = self._store.rows(sql.WAITING_FOLDERS)
        waiting = {row["name"]: bool(row["has_retries"]) for row in rows if row["name"] in folders}
        if not waiting:
            return None
        running = self._store.row(sql.RUNNING)
        if running is not None and running["orphans"] >= ALONE_AFTER_ORPHANS:
            return None
        order = sorted(waiting, key=lambda name: (name <= self._last_folder, name))
        turns = {name: waiting[name] for name in order}
        row = self._first(now_s, turns, newest, alone=False)
        if row is None and running is not None and not running["jobs"]:
            row = self._first(now_s, turns, newest, alone=True)
        return row

    def served(self, row: LedgerRow) -> None:
        """Record that the job was started: another folder is next, and here another kind."""
        self._last_folder = row["folder_name"]
        if row["state"] == State.DEFERRED:
            self._retried.add(self._last_folder)
        else:
            self._retried.discard(self._last_folder)

    def _first(
        self, now_s: float, turns: Mapping[str, bool], newest: Collection[str], *, alone: bool
    ) -> LedgerRow | None:
        """Return the due job of the first folder that has one; `turns` says which have retries."""
        for folder, has_retries in turns.items():
            which = (folder, ALONE_AFTER_ORPHANS, alone)
            new = [(sql.NEXT_NEWEST if folder in newest else sql.NEXT_OLDEST, which)]
            retries = [
                (sql.NEXT_RETRY, (*which, now_s)),
                (sql.NEXT_BEYOND, (*which, now_s + LONGEST_BACKOFF_S)),
            ] * has_retries
            for statement, values in new + retries if folder in self._retried else retries + new:
                row = self._store.row(statement, *values)
                if row is not None:
                    return row
        return None
