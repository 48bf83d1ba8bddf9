"""Translation of the settings of what is kept, and how long, to plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sharpend.commit.ages import Limits, Retention
from sharpend.daemon.preview_upkeep import PreviewLimits

if TYPE_CHECKING:
    from sharpend.settings.load import Settings

_MEGA = 1_000_000


def retention(settings: Settings) -> Retention:
    """Limits of quarantine, archives, ledger and backups."""
    kept = settings.retention
    return Retention(
        quarantine=_limits(kept.quarantine_days, kept.quarantine_megabytes),
        archive=_limits(kept.archive_days, kept.archive_megabytes),
        ledger_days=None if kept.ledger_days == "never" else kept.ledger_days,
        backups=kept.backups,
    )


def preview_limits(settings: Settings) -> PreviewLimits:
    """Bounds of the previews."""
    kept = settings.previews
    return PreviewLimits(kept.count, round(kept.max_mb * _MEGA), kept.share)


def _limits(days: float | Literal["never"], megabytes: float | Literal["unlimited"]) -> Limits:
    return Limits(
        None if days == "never" else days, None if megabytes == "unlimited" else megabytes
    )
