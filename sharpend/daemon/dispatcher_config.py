"""Configuration of a dispatcher: folders, retries, retention and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.commit.ages import KEEP_ALL, Retention
from sharpend.commit.quarantine import QUIET_S
from sharpend.daemon.preview_upkeep import FEW, PreviewLimits

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.commit.place import PlaceOf
    from sharpend.daemon.agreement_samples import Measurements
    from sharpend.daemon.attempts import RetryOptions
    from sharpend.daemon.folder_plan import FolderPlan


@dataclass(frozen=True, slots=True)
class DispatcherConfig:
    """Plain values and measurements for a Dispatcher."""

    state_dir: Path
    plans: list[FolderPlan]
    """With their roots prepared."""
    place_of: PlaceOf
    """Returns the place of a root."""
    retry: RetryOptions
    measurements: Measurements
    retention: Retention = KEEP_ALL
    previews: PreviewLimits = FEW
    quiet_s: float = QUIET_S
    """Seconds that a refused input must stay unchanged before it leaves its place."""
    spool: bytes | None = None
    """Folder of files in transfer to object storage; None without such folders."""
