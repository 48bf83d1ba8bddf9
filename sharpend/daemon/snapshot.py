"""Snapshot of the daemon's state, for status file and reports.

Immutable plain values. Owns the definition of health.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    canary: Mapping[str, object] | None
    """Figures of the canary; None without one."""
    low: tuple[str, ...]
    """Models whose alarm is raised."""
    folders: tuple[str, ...]
    paused: Mapping[str, str]
    """Cause by folder: a fault, an operator, or the hours of the folder."""
    unreadable: Mapping[str, int]
    """Number of entries that cannot be read, by folder, without zeros."""
    left_alone: Mapping[str, Mapping[str, int]]
    """Number of entries that are no inputs, by folder and cause, without zeros."""
    intended: frozenset[str] = frozenset()
    """Folders that are paused on purpose and by no fault."""
    engine_faults: Mapping[str, str] = field(default_factory=dict)
    """Cause by subject of faults of the engine: the whole of it, or one node."""
    state_fault: str | None = None
    """Cause of a state outage, or None."""

    @property
    def health(self) -> str:
        """Overall health: ok, degraded or fail."""
        if self.state_fault is not None:
            return "fail"
        faults = set(self.paused) - self.intended or self.low or self.engine_faults
        return "degraded" if faults else "ok"

    def with_intended_pauses(self, reasons: Mapping[str, str]) -> Snapshot:
        """Add folders that are paused on purpose, with the reason by name; a fault comes first."""
        intended = frozenset(reasons) - set(self.paused)
        return replace(self, paused={**reasons, **self.paused}, intended=intended)


def paused_line(fault: str) -> str:
    """Format the line for `systemctl status` during a state outage."""
    return f"paused, health fail: {fault}"
