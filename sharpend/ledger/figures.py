"""Ledger figures: jobs by folder and state, refusals by reason, the age of queues.

Metrics are made from them, every few seconds: each is read from a number that triggers keep, or by
an index; none reads all jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.ledger import counts_sql, sql
from sharpend.ledger.records import State
from sharpend.ledger.store import open_to_read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.ledger.store import Store

_REGISTERED = "SELECT seq FROM sqlite_sequence WHERE name = 'job'"


@dataclass(frozen=True, slots=True)
class FolderFigures:
    """Figures of one folder."""

    output: bytes
    """The output root."""
    jobs: Mapping[State, int]
    """Number of jobs; every state has its key."""
    refusals: Mapping[str, int]
    """Number of quarantined jobs by reason, without zeros."""
    oldest_pending_at: float | None
    """Time when the oldest pending job was added (wall clock); None if none waits."""


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """Figures of a ledger."""

    registered: int
    """Jobs ever registered; pruning and retries do not reduce it."""
    folders: Mapping[str, FolderFigures]
    """By name, all that were ever used."""


def read_figures(state_dir: Path) -> LedgerFigures:
    """Read the figures of a ledger, beside a daemon that may be running.

    Raises:
        LedgerError: there is no ledger, it cannot be read, or a newer version wrote it.
    """
    store = open_to_read(state_dir)
    try:
        return _figures(store)
    finally:
        store.close()


def _figures(store: Store) -> LedgerFigures:
    jobs: dict[int, dict[State, int]] = {}
    for row in store.rows(store.counting(counts_sql.BY_STATE)):
        jobs.setdefault(row["folder"], {})[State(row["state"])] = row["jobs"]
    refusals: dict[int, dict[str, int]] = {}
    for row in store.rows(store.counting(counts_sql.REFUSALS)):
        refusals.setdefault(row["folder"], {})[row["reason"]] = row["jobs"]
    folders = {
        row["name"]: FolderFigures(
            row["output"],
            dict.fromkeys(State, 0) | jobs.get(row["id"], {}),
            refusals.get(row["id"], {}),
            _oldest_pending_at(store, row["name"]),
        )
        for row in store.rows(sql.FOLDERS)
    }
    last = store.row(_REGISTERED)
    return LedgerFigures(0 if last is None else last["seq"], folders)


def _oldest_pending_at(store: Store, folder: str) -> float | None:
    row = store.row(sql.OLDEST_PENDING, folder)
    return None if row is None else row["at"]
