"""The figures of a report, as the log, the status file, the history and the metrics show them.

Owns every key of `report.published`: `Throughput` counts finished work, `current_figures` has the
state of queue, folders and models. `logs.event_keys` describes each key. Memory is bounded:
latencies are a recent sample.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.model.trial import BFLOAT16, INT8, OPENVINO, TORCH, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sharpend.attempt import Staged
    from sharpend.daemon.snapshot import Snapshot
    from sharpend.workers.loading import LoadedModel

LATENCIES_KEPT = 1000
"""Most recent images whose latencies and sharpness enter the percentiles."""


@dataclass(slots=True)
class _Window:
    """Counts since the last report."""

    since_s: float
    images: int = 0
    copied: int = 0
    failures: int = 0
    pixels: int = 0
    sharpness: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    latencies: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class Throughput:
    """Counts of finished images since the last report, and in total."""

    def __init__(self, now_s: float) -> None:
        self.total_images = self.total_failures = self.total_copied = 0
        self._window = _Window(now_s)
        self._batch_from = (0, 0)

    def finished(self, staged: Staged, *, commit_s: float, wait_s: float) -> None:
        """Count an image that was sharpened or copied unchanged.

        Args:
            staged: result of the worker.
            commit_s: seconds of the commit.
            wait_s: seconds from the start of the attempt to the end of the commit.
        """
        window = self._window
        window.images += 1
        window.pixels += staged.pixels
        self.total_images += 1
        window.copied += not staged.pixels
        self.total_copied += not staged.pixels
        if staged.sharpness is not None:
            window.sharpness.append(staged.sharpness)
        window.latencies.append({**staged.stages_s, "commit": commit_s, "total": wait_s})

    def failed(self) -> None:
        """Count an image that was quarantined."""
        self._window.failures += 1
        self.total_failures += 1

    @property
    def batch(self) -> tuple[int, int]:
        """Numbers of images finished and quarantined since `end_batch`."""
        images, failures = self._batch_from
        return self.total_images - images, self.total_failures - failures

    def end_batch(self) -> None:
        """Begin a new batch."""
        self._batch_from = (self.total_images, self.total_failures)

    def publish(self, now_s: float) -> dict[str, object]:
        """Return the numbers of the window, and begin a new one."""
        window, self._window = self._window, _Window(now_s)
        elapsed_s = max(now_s - window.since_s, 1e-9)
        return {
            "images": window.images,
            "unchanged": window.copied,
            "failures": window.failures,
            "images_total": self.total_images,
            "failures_total": self.total_failures,
            "window_s": round(elapsed_s, 3),
            "images_per_s": round(window.images / elapsed_s, 4),
            "megapixels_per_s": round(window.pixels / 1e6 / elapsed_s, 4),
            "latency_ms": latencies_ms(window.latencies),
            "sharpness": percentiles(window.sharpness),
        }


def current_figures(now: Snapshot, loaded: LoadedModel) -> dict[str, object]:
    """Convert the state of queue, folders and models to the keys of a report.

    Args:
        now: current snapshot.
        loaded: facts about the main model.
    """
    return {
        "queue_depth": now.queue_depth,
        "oldest_pending_s": now.oldest_pending_s,
        "workers": now.workers,
        "model": loaded.model,
        "device": loaded.device,
        **precision_figures(loaded),
        "agreement": next(iter(now.agreement.values()), None),
        "agreement_by_model": now.agreement if len(now.agreement) > 1 else None,
        "canary": now.canary,
        "paused": now.paused,
        "unreadable": now.unreadable,
        "left_alone": now.left_alone,
        "engine_faults": dict(now.engine_faults),
        "state_fault": now.state_fault,
        "health": now.health,
    }


def precision_figures(loaded: LoadedModel) -> dict[str, object]:
    """Convert runtime and precision of the main model, and what chose it, to keys."""
    trial = loaded.trial
    bfloat16, int8 = (
        (Form(TORCH, BFLOAT16), Form(OPENVINO, INT8))
        if trial is None
        else (trial.form(BFLOAT16), trial.form(INT8, OPENVINO))
    )
    return {
        "runtime": loaded.runtime,
        "precision": loaded.precision,
        "precision_cause": "as set" if trial is None else str(trial),
        "float32_ms": None if trial is None else trial.float32_ms,
        "bfloat16_ms": bfloat16.ms,
        "bfloat16_ssim": bfloat16.ssim,
        "int8_ms": int8.ms,
        "int8_ssim": int8.ssim,
        "precision_remembered": trial is not None and trial.remembered,
    }


def latencies_ms(latencies: Iterable[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Compute p50 and p95 of every stage in milliseconds."""
    by_stage: dict[str, list[float]] = {}
    for stages in latencies:
        for stage, seconds in stages.items():
            by_stage.setdefault(stage, []).append(seconds)
    return {
        stage: {
            "p50": round(percentile(seconds, 0.50) * 1000, 1),
            "p95": round(percentile(seconds, 0.95) * 1000, 1),
        }
        for stage, seconds in by_stage.items()
    }


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Compute p10, p50 and p90; None without values."""
    if not values:
        return None
    shares = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
    return {name: round(percentile(values, share), 3) for name, share in shares.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Compute the nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
