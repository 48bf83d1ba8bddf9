"""Snapshot of the daemon's state, for status file and reports.

Immutable plain values. Owns the definition of health.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.daemon.folder import Folder
    from sharpend.daemon.measurements import Measurements
    from sharpend.ledger.reader import LedgerReader


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Queue, folders, workers and agreement at one moment."""

    workers: int
    queue_depth: int
    oldest_pending_s: float | None
    """Age of the oldest waiting image; None if none waits."""
    sharpened: int
    """Images since the start of the daemon."""
    quarantined: int
    agreement: Mapping[str, dict[str, object]]
    """Summary of the alarm by model, for models with a teacher; the main model first."""
    low: tuple[str, ...]
    """Models whose alarm is raised."""
    folders: tuple[str, ...]
    paused: Mapping[str, str]
    """Cause by folder, for paused folders."""
    unreadable: Mapping[str, int]
    """Number of entries that cannot be read, by folder, without zeros."""
    left_alone: Mapping[str, int]
    """Number of files that are no images or are left out, by folder."""
    state_fault: str | None = None
    """Cause of a state outage, or None."""

    @property
    def health(self) -> str:
        """Overall health: ok, degraded or fail."""
        if self.state_fault is not None:
            return "fail"
        return "degraded" if self.paused or self.low else "ok"


def take_snapshot(
    folders: Mapping[str, Folder],
    ledger: LedgerReader,
    measurements: Measurements,
    workers: int,
) -> Snapshot:
    """Take a snapshot of the running parts; `workers` is their number."""
    oldest_at = ledger.oldest_pending_at(folders)
    totals, named = measurements.throughput, folders.items()
    return Snapshot(
        workers=workers,
        queue_depth=ledger.waiting(folders),
        oldest_pending_s=None if oldest_at is None else max(0.0, time.time() - oldest_at),
        sharpened=totals.total_images - totals.total_unchanged,
        quarantined=totals.total_failures,
        agreement=measurements.agreement,
        low=measurements.low,
        folders=tuple(folders),
        paused={name: one.paused for name, one in named if one.paused},
        unreadable={name: one.unreadable for name, one in named if one.unreadable},
        left_alone={name: one.left_alone for name, one in named},
    )


def paused_line(fault: str) -> str:
    """Format the line for `systemctl status` during a state outage."""
    return f"paused, health fail: {fault}"
