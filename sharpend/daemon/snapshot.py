"""Snapshot of the daemon's state, which status, metrics and pages read.

Plain values that nothing changes afterwards. Owns what counts as healthy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue, the folders, the workers and the agreement at one moment."""

    workers: int
    queue_depth: int
    oldest_pending_s: float | None
    """Age of the oldest waiting image, or None where none waits."""
    sharpened: int
    """Images of this daemon's life."""
    quarantined: int
    agreement: Mapping[str, dict[str, object]]
    """The alarm's summary by model, for models that have a teacher; the main model's first."""
    low: tuple[str, ...]
    """Models whose alarm is raised."""
    folders: tuple[str, ...]
    paused: Mapping[str, str]
    """Why, by folder, for those that are paused."""
    unreadable: Mapping[str, int]
    """Entries that cannot be read, by folder, for those that have any."""
    left_alone: Mapping[str, int]
    """Files that are no images, by folder."""
    state_fault: str | None = None
    """Why the state directory cannot be written, or None."""

    @property
    def health(self) -> str:
        """The whole in one word: ok, degraded or fail."""
        if self.state_fault is not None:
            return "fail"
        return "degraded" if self.paused or self.low else "ok"


def paused_line(fault: str) -> str:
    """The line for `systemctl status` while the state directory cannot be written."""
    return f"paused, health fail: {fault}"
