"""Throughput, latencies and failures since the last report.

Owns the numbers of `report.published` that come from finished work; the queue's numbers are the
ledger's and the agreement's are the alarm's. Memory is bounded: latencies are a recent sample.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sharpend.job import Staged

LATENCIES_KEPT = 1000
"""Most recent pictures whose latencies and sharpness enter the percentiles."""


@dataclass(slots=True)
class _Window:
    """What was finished since the last report."""

    since_s: float
    images: int = 0
    unchanged: int = 0
    failures: int = 0
    pixels: int = 0
    sharpness: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    latencies: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class Throughput:
    """What was finished in the window since the last report, and in all."""

    def __init__(self, now_s: float) -> None:
        self.total_images = self.total_failures = self.total_unchanged = 0
        self._window = _Window(now_s)

    def finished(self, staged: Staged, *, commit_s: float, wait_s: float) -> None:
        """Count a picture that was sharpened, or passed on as it is.

        Args:
            staged: what the worker said.
            commit_s: seconds that the commit took.
            wait_s: seconds from handing out to commit's end, all stages included.
        """
        window = self._window
        window.images += 1
        window.pixels += staged.pixels
        self.total_images += 1
        window.unchanged += not staged.pixels
        self.total_unchanged += not staged.pixels
        if staged.sharpness is not None:
            window.sharpness.append(staged.sharpness)
        window.latencies.append({**staged.stages_s, "commit": commit_s, "total": wait_s})

    def failed(self) -> None:
        """Count a picture that went into quarantine."""
        self._window.failures += 1
        self.total_failures += 1

    def publish(self, now_s: float) -> dict[str, object]:
        """The window's numbers; a new window begins."""
        window, self._window = self._window, _Window(now_s)
        elapsed_s = max(now_s - window.since_s, 1e-9)
        return {
            "images": window.images,
            "unchanged": window.unchanged,
            "failures": window.failures,
            "images_total": self.total_images,
            "failures_total": self.total_failures,
            "window_s": round(elapsed_s, 3),
            "images_per_s": round(window.images / elapsed_s, 4),
            "megapixels_per_s": round(window.pixels / 1e6 / elapsed_s, 4),
            "latency_ms": latencies_ms(window.latencies),
            "sharpness": spread(window.sharpness),
        }


def latencies_ms(latencies: Iterable[dict[str, float]]) -> dict[str, dict[str, float]]:
    """p50 and p95 of every stage, in milliseconds."""
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


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """The middle of some values, and between what eight in ten of them lie; None of none."""
    if not values:
        return None
    shares = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
    return {name: round(percentile(values, share), 3) for name, share in shares.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
