"""List of metrics: name, type, labels, meaning and origin of each.

Owns what a reader of the metrics may rely on; the table of config/monitoring/README.md is made from
it. Names follow the conventions of Prometheus: base units (seconds, bytes, ratio) in the name,
`_total` for what only grows. Labels are bounded: folders, models, states, stages and reasons come
from the settings and from closed lists, never paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Origin of a figure, which decides when the metric is left out."""

    NOW = "now"
    """Looked up at the moment of the exposition."""
    LEDGER = "ledger"
    """Current, whether a daemon works or not; left out where the ledger cannot be read."""
    REPORT = "report"
    """Of the daemon's last report; left out unless the daemon that made it works."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is exposed."""

    name: str
    origin: Origin
    about: str
    """Help text: one sentence with the unit, as in the table."""
    labels: tuple[str, ...] = ()

    @property
    def is_counter(self) -> bool:
        """True if the value only grows, but for a start at 0."""
        return self.name.endswith("_total")


_NOW, _LEDGER, _REPORT = Origin.NOW, Origin.LEDGER, Origin.REPORT
_BY_FOLDER, _BY_MODEL, _BY_ROLE = ("folder",), ("model", "role"), ("role",)

METRICS = (
    Metric("sharpend_up", _NOW, "1 while a process works with the state directory, else 0."),
    Metric("sharpend_ready", _NOW, "1 once that process has reported, else 0."),
    Metric("sharpend_ledger_readable", _NOW, "1 if the ledger can be read, else 0."),
    Metric(
        "sharpend_metrics_timestamp_seconds", _NOW, "Unix time at which these metrics were made."
    ),
    Metric("sharpend_start_time_seconds", _NOW, "Unix time at which the process began to work."),
    Metric(
        "sharpend_disk_size_bytes",
        _NOW,
        "Size of the disk of the state directory (folder is empty) and of the outputs.",
        ("place", "folder"),
    ),
    Metric(
        "sharpend_disk_available_bytes",
        _NOW,
        "Bytes that can still be written there.",
        ("place", "folder"),
    ),
    Metric(
        "sharpend_images_registered_total",
        _LEDGER,
        "Images ever registered; grows on across restarts, retries and pruning.",
    ),
    Metric("sharpend_images", _LEDGER, "Images in each state of the ledger.", ("folder", "state")),
    Metric(
        "sharpend_quarantined_images",
        _LEDGER,
        "Images in quarantine by reason.",
        ("folder", "reason"),
    ),
    Metric(
        "sharpend_oldest_pending_seconds",
        _LEDGER,
        "Age of the oldest pending image in seconds; 0 if none waits.",
        _BY_FOLDER,
    ),
    Metric("sharpend_report_timestamp_seconds", _REPORT, "Unix time of the daemon's last report."),
    Metric("sharpend_build_info", _REPORT, "Version of the daemon; the value is 1.", ("version",)),
    Metric(
        "sharpend_model_info",
        _REPORT,
        "Main model, with its device and precision; the value is 1.",
        ("model", "device", "precision"),
    ),
    Metric(
        "sharpend_health",
        _REPORT,
        "1 for the health that the daemon has (ok, degraded, fail), 0 for the others.",
        ("health",),
    ),
    Metric("sharpend_workers", _REPORT, "Worker processes."),
    Metric(
        "sharpend_images_finished_total",
        _REPORT,
        "Images finished since the daemon's start, sharpened or passed on unchanged.",
    ),
    Metric(
        "sharpend_images_quarantined_total",
        _REPORT,
        "Images quarantined since the daemon's start.",
    ),
    Metric(
        "sharpend_pixels_per_second",
        _REPORT,
        "Pixels sharpened per second between the last two reports.",
    ),
    Metric(
        "sharpend_stage_seconds",
        _REPORT,
        "Percentiles of the seconds that an image took in a stage, between the last two reports.",
        ("stage", "percentile"),
    ),
    Metric(
        "sharpend_input_sharpness",
        _REPORT,
        "Percentiles of the inputs' sharpness (natural logarithm), between the last two reports.",
        ("percentile",),
    ),
    Metric(
        "sharpend_folder_paused",
        _REPORT,
        "1 if the folder begins no image, by a fault or on purpose, else 0.",
        _BY_FOLDER,
    ),
    Metric("sharpend_unreadable_entries", _REPORT, "Entries that could not be read.", _BY_FOLDER),
    Metric("sharpend_left_alone_entries", _REPORT, "Entries that are no inputs.", _BY_FOLDER),
    Metric(
        "sharpend_agreement_samples_total",
        _REPORT,
        "Crops compared with the teacher since the daemon's start.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_ssim",
        _REPORT,
        "Mean SSIM of student and teacher since the daemon's start.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_rolling_ssim",
        _REPORT,
        "The same over the rolling window of the alarm.",
        _BY_MODEL,
    ),
    Metric("sharpend_agreement_lowest_ssim", _REPORT, "Lowest SSIM of a crop.", _BY_MODEL),
    Metric(
        "sharpend_agreement_noop_ssim",
        _REPORT,
        "Mean SSIM of input and teacher: what doing nothing would get.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_ssim_alarm",
        _REPORT,
        "Alarm line of SSIM, where one is drawn: the alarm is raised below.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_residual_ratio",
        _REPORT,
        "Residual over the rolling window as a share of what the teacher adds: 0 is full"
        " agreement, 1 is doing nothing.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_residual_alarm_ratio",
        _REPORT,
        "Alarm line of the residual ratio: the alarm is raised above.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_measurable_samples",
        _REPORT,
        "Crops of the rolling window that the residual ratio is computed from.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_agreement_low",
        _REPORT,
        "1 while the agreement alarm is raised, else 0.",
        _BY_MODEL,
    ),
    Metric(
        "sharpend_canary_ssim",
        _REPORT,
        "Mean SSIM to its own teacher over the crops of the canary, of it and of the model in use.",
        _BY_ROLE,
    ),
    Metric(
        "sharpend_canary_residual_ratio",
        _REPORT,
        "Residual ratio, by its own teacher, over the same crops.",
        _BY_ROLE,
    ),
    Metric("sharpend_canary_crop_seconds", _REPORT, "Median time for a crop of these.", _BY_ROLE),
    Metric(
        "sharpend_canary_difference_ratio",
        _REPORT,
        "Root mean square of canary - model in use, as a share of the range of the pixels.",
    ),
)
"""In the order of the table."""


def markdown() -> str:
    """Build the table of all metrics."""
    head = ("metric", "type", "labels", "origin", "meaning")
    rows = [
        (
            f"`{one.name}`",
            "counter" if one.is_counter else "gauge",
            ", ".join(f"`{label}`" for label in one.labels),
            one.origin.value,
            one.about,
        )
        for one in METRICS
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join(lines) + "\n"
