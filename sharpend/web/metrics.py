"""Metrics of a state directory in the text format of Prometheus; needs prometheus-client.

Owns the way from status file, ledger and disks to metrics. A figure is exposed only while it is
true: those of the last report need the daemon that made it to be at work.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sharpend.daemon.status import AT_WORK, read_status
from sharpend.errors import LedgerError
from sharpend.files.free_space import DiskSpaceReader
from sharpend.ledger.figures import read_figures
from sharpend.ledger.opening import locked_since
from sharpend.web.metric_list import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.core import Metric as Family

    from sharpend.ledger.figures import FolderFigures, LedgerFigures

HEALTHS = ("ok", "degraded", "fail")
IN_USE, CANARY = "in_use", "canary"
"""Roles of models: the one whose results are written, or the canary."""
_DISK_SPACE = DiskSpaceReader()
"""One for the process, because it remembers the file systems that hang."""
_OF_AGREEMENT = {
    "n": "sharpend_agreement_samples_total",
    "mean": "sharpend_agreement_ssim",
    "rolling": "sharpend_agreement_rolling_ssim",
    "min": "sharpend_agreement_lowest_ssim",
    "noop_mean": "sharpend_agreement_noop_ssim",
    "alarm_below": "sharpend_agreement_ssim_alarm",
    "residual_ratio": "sharpend_agreement_residual_ratio",
    "residual_above": "sharpend_agreement_residual_alarm_ratio",
    "measurable": "sharpend_agreement_measurable_samples",
}
"""Metric for each number of an agreement block (`AgreementAlarm.summary`)."""
_OF_CANARY = (
    ("sharpend_canary_ssim", 1, "mean", "used_mean"),
    ("sharpend_canary_residual_ratio", 1, "residual_ratio", "used_residual_ratio"),
    ("sharpend_canary_crop_seconds", 1e-3, "crop_ms", "used_crop_ms"),
)
"""Metric, its unit, and the keys of the canary and of the model in use in the block `canary`."""


def exposition(state_dir: Path) -> tuple[str, bytes]:
    """Make the metrics of a state directory, as they are now.

    Args:
        state_dir: may be missing, or one that no daemon works with: then `sharpend_up` is 0.

    Returns:
        Content type and text.

    Raises:
        StateFaultError: this user may not look there.
    """
    registry = CollectorRegistry()
    registry.register(_StateCollector(state_dir))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


@dataclass(frozen=True, slots=True)
class _StateCollector(Collector):
    """Collector of the metrics of a state directory."""

    state_dir: Path

    def collect(self) -> Iterator[Family]:
        """Yield the metrics that have a value now."""
        samples = _Samples()
        _add_all(samples, self.state_dir, time.time())
        return samples.families()


@dataclass(frozen=True, slots=True)
class _Samples:
    """Values by metric, filled by name."""

    _families: dict[str, CounterMetricFamily | GaugeMetricFamily] = field(
        default_factory=lambda: {
            one.name: (CounterMetricFamily if one.is_counter else GaugeMetricFamily)(
                one.name, one.about, labels=one.labels
            )
            for one in METRICS
        }
    )

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add a value; None is no value, and is left out."""
        if value is not None:
            self._families[name].add_metric(labels, value)

    def families(self) -> Iterator[Family]:
        """Yield the metrics that have values."""
        return (one for one in self._families.values() if one.samples)


def _add_all(samples: _Samples, state_dir: Path, now_s: float) -> None:
    since_s, status = locked_since(state_dir), read_status(state_dir) or {}
    is_ready = since_s is not None and _is_report_of(status, since_s)
    samples.add("sharpend_up", since_s is not None)
    samples.add("sharpend_ready", is_ready)
    samples.add("sharpend_start_time_seconds", since_s)
    samples.add("sharpend_metrics_timestamp_seconds", now_s)
    _add_space(samples, "state", "", os.fsencode(state_dir))
    figures = _readable_figures(state_dir)
    samples.add("sharpend_ledger_readable", figures is not None)
    if figures is not None:
        samples.add("sharpend_images_registered_total", figures.registered)
        for name in _folders(status, figures):
            _add_folder(samples, name, figures.folders[name], now_s)
    if is_ready:
        _add_report(samples, status)


def _is_report_of(status: Mapping[str, Any], since_s: float) -> bool:
    """Return whether the process that works since `since_s` wrote a status file."""
    return status.get("state") in AT_WORK and status["at"] >= since_s


def _readable_figures(state_dir: Path) -> LedgerFigures | None:
    """Return the figures of the ledger; None if there is none or it cannot be read now."""
    try:
        return read_figures(state_dir)
    except LedgerError:
        return None


def _folders(status: Mapping[str, Any], figures: LedgerFigures) -> list[str]:
    """List the folders of the last daemon; all of the ledger where no status names them."""
    named = status.get("folders", figures.folders)
    return [name for name in named if name in figures.folders]


def _add_folder(samples: _Samples, name: str, folder: FolderFigures, now_s: float) -> None:
    for state, jobs in folder.jobs.items():
        samples.add("sharpend_images", jobs, name, state.value)
    for reason, jobs in folder.refusals.items():
        samples.add("sharpend_quarantined_images", jobs, name, reason)
    at = folder.oldest_pending_at
    age_s = 0.0 if at is None else max(0.0, now_s - at)
    samples.add("sharpend_oldest_pending_seconds", age_s, name)
    _add_space(samples, "output", name, folder.output)


def _add_space(samples: _Samples, place: str, folder: str, path: bytes) -> None:
    space = _DISK_SPACE.read(path)
    if space is not None:
        samples.add("sharpend_disk_size_bytes", space.size_bytes, place, folder)
        samples.add("sharpend_disk_available_bytes", space.available_bytes, place, folder)


def _add_report(samples: _Samples, status: Mapping[str, Any]) -> None:
    """Add the figures of a report; a daemon of another version may lack some."""
    samples.add("sharpend_report_timestamp_seconds", status["at"])
    samples.add("sharpend_build_info", 1, status["version"])
    samples.add("sharpend_workers", status.get("workers"))
    for health in HEALTHS:
        samples.add("sharpend_health", health == status["health"], health)
    model = status["model"]
    samples.add("sharpend_model_info", 1, model, status["device"], status.get("precision", ""))
    _add_window(samples, status)
    for name in status.get("folders", ()):
        samples.add("sharpend_folder_paused", name in status["paused"], name)
        samples.add("sharpend_unreadable_entries", status["unreadable"].get(name, 0), name)
        alone = status["left_alone"].get(name, {})
        samples.add("sharpend_left_alone_entries", sum(alone.values()), name)
    for role, model, agreement in _agreements(status):
        _add_agreement(samples, agreement, model, role)
    if canary := status.get("canary"):
        _add_canary(samples, canary)


def _add_window(samples: _Samples, status: Mapping[str, Any]) -> None:
    """Add the counts and the figures of the last window; the first report has none yet."""
    samples.add("sharpend_images_finished_total", status.get("images_total", 0))
    samples.add("sharpend_images_quarantined_total", status.get("failures_total", 0))
    samples.add("sharpend_pixels_per_second", _scaled(status.get("megapixels_per_s"), 1e6))
    for stage, latency_ms in (status.get("latency_ms") or {}).items():
        for percentile, value_ms in _percentiles(latency_ms):
            samples.add("sharpend_stage_seconds", value_ms / 1000, stage, percentile)
    for percentile, value in _percentiles(status.get("sharpness") or {}):
        samples.add("sharpend_input_sharpness", value, percentile)


def _percentiles(of: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    """Convert names such as `p95` to values of the label `percentile`."""
    return ((name.removeprefix("p"), value) for name, value in of.items())


def _agreements(status: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield role, model and agreement block of each model; that of a canary names its model."""
    by_model = status["agreement_by_model"] or {status["model"]: status["agreement"]}
    for model, agreement in by_model.items():
        if agreement:
            yield IN_USE, model, agreement
    if canary := status.get("canary"):
        yield CANARY, canary["model"], canary


def _add_agreement(samples: _Samples, agreement: Mapping[str, Any], model: str, role: str) -> None:
    for key, name in _OF_AGREEMENT.items():
        samples.add(name, agreement.get(key), model, role)
    samples.add("sharpend_agreement_low", agreement["verdict"] == "low", model, role)


def _add_canary(samples: _Samples, canary: Mapping[str, Any]) -> None:
    """Add the comparison of a canary with the model in use, over the same crops."""
    for name, unit, *keys in _OF_CANARY:
        for role, key in zip((CANARY, IN_USE), keys, strict=True):
            samples.add(name, _scaled(canary.get(key), unit), role)
    samples.add("sharpend_canary_difference_ratio", _scaled(canary.get("difference"), 1 / 255))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit
