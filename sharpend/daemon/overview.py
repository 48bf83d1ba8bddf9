"""Overview of the running parts: takes the snapshot that status file and reports show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.daemon.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.daemon.agreement_samples import Measurements
    from sharpend.daemon.folder import Folder
    from sharpend.ledger.reader import LedgerReader
    from sharpend.workers.interface import Workers


def take_snapshot(
    folders: Mapping[str, Folder],
    ledger: LedgerReader,
    measurements: Measurements,
    pool: Workers,
) -> Snapshot:
    """Take a snapshot of the running parts; `pool` are the workers."""
    oldest_at = ledger.oldest_pending_at(folders)
    totals, named = measurements.throughput, folders.items()
    return Snapshot(
        workers=pool.count,
        queue_depth=ledger.waiting(folders),
        oldest_pending_s=None if oldest_at is None else max(0.0, time.time() - oldest_at),
        sharpened=totals.total_images - totals.total_copied,
        quarantined=totals.total_failures,
        agreement=measurements.agreement,
        canary=None if measurements.canary is None else measurements.canary.figures(),
        low=measurements.low,
        folders=tuple(folders),
        paused={name: one.paused for name, one in named if one.paused},
        unreadable={name: one.unreadable for name, one in named if one.unreadable},
        left_alone={name: one.left_alone for name, one in named if one.left_alone},
        engine_faults=pool.faults,
    )
