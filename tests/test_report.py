"""Throughput and latencies of the window since the last report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sharpend.attempt import Staged
from sharpend.daemon.report import LATENCIES_KEPT, Throughput, latencies_ms, percentile
from sharpend.files.fingerprint import Fingerprint


def staged(**stages_s: float) -> Staged:
    """An image of two megapixels."""
    return Staged(1, b".t", Fingerprint(1, 2, 3), 1000, 2000, 2_000_000, stages_s=stages_s)


def test_a_window_is_counted_and_begins_anew() -> None:
    """Rates are over the time since the last report; totals go on."""
    throughput = Throughput(100.0)
    for _ in range(4):
        throughput.finished(staged(decode=0.1), commit_s=0.02, wait_s=0.3)
    throughput.failed()
    first = throughput.publish(110.0)
    assert (first["images"], first["failures"], first["window_s"]) == (4, 1, 10.0)
    assert (first["images_per_s"], first["megapixels_per_s"]) == (0.4, 0.8)
    assert first["latency_ms"] == {
        "decode": {"p50": 100.0, "p95": 100.0},
        "commit": {"p50": 20.0, "p95": 20.0},
        "total": {"p50": 300.0, "p95": 300.0},
    }
    second = throughput.publish(111.0)
    assert first["sharpness"] is None
    assert (second["images"], second["images_per_s"], second["latency_ms"]) == (0, 0.0, {})
    assert (second["images_total"], second["failures_total"]) == (4, 1)


def test_no_time_at_all_is_no_error() -> None:
    """Two reports in the same instant divide by nothing."""
    throughput = Throughput(100.0)
    assert throughput.publish(100.0)["images_per_s"] == 0.0


@pytest.mark.parametrize("count", [1, 2, 3, 10, 19, 20, 21, 100, 999])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_percentiles_are_nearest_rank(count: int, share: float) -> None:
    """The value below which that share of the values is: one of them, as in numpy."""
    values = np.random.default_rng(count).permutation(count).astype(float).tolist()
    expected = np.percentile(values, share * 100, method="inverted_cdf")
    assert percentile(values, share) == expected


def test_a_stage_counts_where_it_was_run() -> None:
    """Agreement is measured on few images: its percentiles are over these."""
    told = latencies_ms([{"infer": 0.1}, {"infer": 0.3, "agree": 0.5}])
    assert told == {"infer": {"p50": 100.0, "p95": 300.0}, "agree": {"p50": 500.0, "p95": 500.0}}


def test_what_came_in_is_reported_as_a_spread() -> None:
    """The middle and eight in ten of the window's images, and how many were passed on."""
    throughput = Throughput(0.0)
    for number in range(10):
        one = replace(staged(), sharpness=-number / 10, pixels=0 if number < 3 else 1000)
        throughput.finished(one, commit_s=0, wait_s=0)
    throughput.finished(replace(staged(), sharpness=None), commit_s=0, wait_s=0)
    first, second = throughput.publish(1.0), throughput.publish(2.0)
    assert first["sharpness"] == {"p10": -0.9, "p50": -0.5, "p90": -0.1}
    assert (first["images"], first["unchanged"]) == (11, 3)
    assert (second["unchanged"], second["sharpness"], throughput.total_copied) == (0, None, 3)


def test_memory_is_bounded() -> None:
    """A window of any length keeps a recent sample of latencies, and counts all."""
    throughput = Throughput(0.0)
    for _ in range(LATENCIES_KEPT):
        throughput.finished(staged(infer=9.0), commit_s=0.0, wait_s=9.0)
    for _ in range(LATENCIES_KEPT):
        throughput.finished(staged(infer=1.0), commit_s=0.0, wait_s=1.0)
    report = throughput.publish(1.0)
    assert report["images"] == 2 * LATENCIES_KEPT
    latency = report["latency_ms"]
    assert isinstance(latency, dict)
    assert latency["infer"] == {"p50": 1000.0, "p95": 1000.0}
