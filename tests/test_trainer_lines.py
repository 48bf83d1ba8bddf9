"""Thresholds of the alarm: how they are set, and that healthy windows stay on the right side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpend.agreement.alarm import AgreementAlarm, AlarmOptions
from sharpend.errors import UsageError
from tests.samples import sample
from trainer.evaluation.agreement import thresholds
from trainer.evaluation.agreement.thresholds import (
    MARGIN,
    MIXED,
    alarm_threshold,
    residual_threshold,
    window_ratios,
)

if TYPE_CHECKING:
    from random import Random

    from sharpend.attempt import AgreementSample


def halves(samples: list[AgreementSample]) -> list[AgreementSample]:
    """The same images with half of what the student adds: .25 and some of its own residual."""
    return [
        replace(one, student_residual=0.3 * one.noop_residual + one.student_residual / 2)
        for one in samples
    ]


def kinds(**samples: list[AgreementSample]) -> tuple[dict[str, list[AgreementSample]], ...]:
    """Healthy samples by kind, and halved ones."""
    return samples, {kind: halves(own) for kind, own in samples.items()}


@pytest.fixture(autouse=True)
def fewer_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the windows: a line rests on the largest of them alone."""
    monkeypatch.setattr(thresholds, "WINDOWS", 10_000)


SOFT = [sample(ratio=ratio) for ratio in np.linspace(0.1, 0.2, 20)]
SHARP = [sample(ratio=ratio, softness=0.5) for ratio in np.linspace(1.0, 4.0, 20)]


def test_sharp_pictures_are_left_out_of_the_line() -> None:
    """There the healthy student is far from its teacher, so that they would drown every damage."""
    line = residual_threshold(*kinds(x4=SOFT, sharp=SHARP), window=50)
    assert line is not None
    assert 0.5 < line.measurable_from <= 10
    assert dict(line.measurable) == {"x4": 1, "sharp": 0}
    assert set(line.healthy) == {"x4", MIXED}
    assert 0.15 * MARGIN < line.above <= 0.2 * MARGIN + 0.001
    assert line.halved_margin > 1


def test_where_all_agree_all_are_measurable() -> None:
    """No sample is left out that need not be."""
    quiet = [replace(one, student_residual=0.1 * one.noop_residual) for one in SHARP]
    line = residual_threshold(*kinds(x4=SOFT, sharp=quiet), window=50)
    assert line is not None
    assert line.measurable_from == 0
    assert set(line.healthy) == {"x4", "sharp", MIXED}


def test_the_line_is_the_margin_over_the_worst_kind() -> None:
    """Each kind alone may fill a folder, so the line is above the quantile of each."""
    worse = [sample(ratio=ratio) for ratio in np.linspace(0.2, 0.25, 20)]
    line = residual_threshold(*kinds(x4=SOFT, gaussian=worse), window=50)
    assert line is not None
    (_, quantile) = line.healthy["gaussian"]
    assert quantile == max(high for _, high in line.healthy.values())
    assert line.above == pytest.approx(MARGIN * quantile, abs=0.001)
    assert line.above >= MARGIN * quantile


def test_a_student_that_agrees_nowhere_has_no_line() -> None:
    """Its healthy windows are no better than doing nothing: a line would tell nothing."""
    far = [sample(ratio=ratio) for ratio in np.linspace(0.9, 1.4, 20)]
    assert residual_threshold(*kinds(x4=far), window=50) is None
    assert residual_threshold(*kinds(x4=SOFT[:4]), window=50) is None


def test_the_draw_is_seeded() -> None:
    """The same samples give the same card."""
    given_ones = kinds(x4=SOFT, sharp=SHARP)
    assert residual_threshold(*given_ones, window=50) == residual_threshold(*given_ones, window=50)


def test_windows_are_pooled() -> None:
    """An image weighs by what the teacher adds to it; the mean of ratios would be 1.55."""
    residuals = np.array([[10.0, 100.0], [3.0, 1.0]])
    found = window_ratios(residuals, 50, np.random.default_rng(0), windows=10_000)
    assert found.shape == (10_000, 1)
    assert np.median(found) == pytest.approx(13 / 101, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_no_stream_of_the_validation_pictures_is_above_the_line(seed: int) -> None:
    """Drawn again and again, a healthy student's own samples do not cross its line."""
    chance = np.random.default_rng(seed)
    samples = [sample(ratio=ratio) for ratio in chance.uniform(0.05, 0.3, 12)]
    line = residual_threshold(*kinds(x4=samples), window=20)
    assert line is not None
    alarm = AgreementAlarm(
        AlarmOptions(window=20, residual_above=line.above, measurable_from=line.measurable_from)
    )
    assert not any(alarm.add(samples[at]) for at in chance.integers(0, 12, 5000))
    assert line.above < 0.4


# The line of SSIM


def test_the_line_leaves_half_the_lead_over_doing_nothing() -> None:
    """With hardly any spread the line is midway between student and no-op."""
    samples = [sample(0.98 + i * 1e-6, 0.94) for i in range(20)]
    assert alarm_threshold(samples) == pytest.approx(0.96, abs=2e-4)


def test_the_line_is_four_standard_errors_of_the_shortest_window() -> None:
    """With a wide spread the deviation decides."""
    values = [0.9, 0.92] * 20
    expected = 0.91 - 4 * float(np.std(values, ddof=1)) / 5**0.5
    assert expected < 0.9
    assert alarm_threshold([sample(value, 0.9) for value in values]) == pytest.approx(
        expected, abs=1e-4
    )


SAMPLES = st.lists(
    st.tuples(st.floats(0.2, 1.0), st.floats(0.2, 1.0)).map(
        lambda pair: sample(max(pair), min(pair))
    ),
    min_size=5,
    max_size=40,
)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_no_window_of_the_validation_pictures_is_below_the_line(
    samples: list[AgreementSample], chance: Random
) -> None:
    """Likewise of SSIM, which serves where a card has no other line."""
    alarm = AgreementAlarm(AlarmOptions(below=alarm_threshold(samples)))
    chance.shuffle(samples)
    assert not any(alarm.add(one) for one in samples)


def test_too_few_samples_draw_no_line() -> None:
    """The daemon judges no window below five samples, so a line needs as many."""
    with pytest.raises(UsageError, match="needs 5 validation images"):
        alarm_threshold([sample()] * 4)
