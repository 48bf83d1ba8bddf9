"""The agreement over time: who is sampled, and when the alarm is raised and cleared."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from sharpend.agreement.alarm import (
    FEWEST_SAMPLES,
    AgreementAlarm,
    AlarmOptions,
    is_measurable,
    pooled_ratio,
)
from sharpend.agreement.summary import summary_lines
from tests.samples import sample

if TYPE_CHECKING:
    from sharpend.attempt import AgreementSample

LINE = 0.35
SHARP = {"softness": 0.5}
"""What makes a sample one of a sharp image: there is twice the detail that the teacher adds."""


def added(alarm: AgreementAlarm, *samples: AgreementSample) -> list[bool]:
    """Whether each of these samples changed the alarm."""
    return [alarm.add(one) for one in samples]


# Who is sampled


def test_the_first_is_always_sampled() -> None:
    """However small the share, the first image says something."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.001, budget=0.0))
    assert [alarm.wants() for _ in range(5)] == [True, False, False, False, False]


def test_nothing_is_sampled_when_switched_off() -> None:
    """A share of zero means never, the first one included."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.0))
    assert not any(alarm.wants() for _ in range(100))


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_the_share_is_kept(share: float) -> None:
    """Over many images the share of samples is the one that was asked for."""
    alarm = AgreementAlarm(AlarmOptions(sample=share, budget=1.0))
    assert sum(alarm.wants() for _ in range(1000)) == pytest.approx(1000 * share, abs=1)


def test_the_budget_is_kept() -> None:
    """The comparisons' seconds stay within their share of the busy time, one sample aside."""
    alarm = AgreementAlarm(AlarmOptions(sample=1.0, budget=0.03))
    spent_s = busy_s = 0.0
    for _ in range(1000):
        agree_s = 0.5 if alarm.wants() else 0.0
        alarm.spent(busy_s=1.0 + agree_s, agree_s=agree_s)
        if agree_s:
            alarm.add(sample())
        spent_s += agree_s
        busy_s += 1.0 + agree_s
    assert spent_s <= 0.03 * busy_s + 0.5
    assert spent_s > 0.025 * busy_s


def test_a_sample_in_work_is_paid_for() -> None:
    """Where one is affordable, several workers do not all take it before its seconds are known."""
    alarm = AgreementAlarm(AlarmOptions(sample=1.0, budget=0.03))
    assert alarm.wants()
    alarm.spent(busy_s=1.0, agree_s=0.5)
    alarm.add(sample())
    alarm.spent(busy_s=16.0, agree_s=0.0)
    assert [alarm.wants() for _ in range(3)] == [True, False, False]
    alarm.missed()
    assert alarm.wants()


def test_a_missed_sample_is_taken_from_the_next() -> None:
    """An image that was to be measured and was not leaves its turn to the next one."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.001))
    assert alarm.wants()
    assert not alarm.wants()
    alarm.missed()
    assert alarm.wants()
    assert not alarm.wants()


# What is measurable


@pytest.mark.parametrize(
    ("moved", "softness", "measurable"),
    [(4, 10, True), (4, 2.01, True), (4, 1.99, False), (0.76, 10, True), (0.74, 10, False)],
)
def test_the_teacher_must_add_something(moved: float, softness: float, measurable: bool) -> None:  # noqa: FBT001 - a table
    """More than three quarters of a level, and at least so many times the detail that is there."""
    assert is_measurable(sample(moved=moved, softness=softness), 2.0) is measurable


def test_where_nothing_is_moved_nothing_is_measurable() -> None:
    """A flat image, or strength 0: no detail, no move, no division by zero."""
    alarm = AgreementAlarm(AlarmOptions(residual_above=LINE))
    assert not any(added(alarm, *[sample(1.0, 1.0, moved=0.0)] * 9))
    assert alarm.residual_ratio is None


def test_ratios_are_pooled_and_not_averaged() -> None:
    """A crop weighs by what the teacher adds to it."""
    large, small = sample(ratio=0.1, moved=10.0), sample(ratio=3.0, moved=1.0)
    expected = (0.1 * 100 + 3.0 * 1) / 101
    assert pooled_ratio([large, small]) == pytest.approx(expected)
    assert fmean([0.1, 3.0]) > 10 * expected
    alarm = AgreementAlarm(AlarmOptions(residual_above=LINE))
    assert not any(added(alarm, *[large, small] * 5))
    assert alarm.residual_ratio == pytest.approx(expected)


def test_a_window_that_is_not_measurable_says_so() -> None:
    """Four measurable samples are too few, whatever else the window holds; five are enough."""
    alarm = AgreementAlarm(AlarmOptions(residual_above=LINE))
    added(alarm, *[sample(**SHARP)] * 20, *[sample()] * (FEWEST_SAMPLES - 1))
    told = alarm.summary()
    assert (told["measurable"], told["residual_ratio"]) == (4, None)
    assert told["verdict"] == "not measurable"
    assert "not measurable" in summary_lines(told)[1]
    assert told["n"] == 24
    alarm.add(sample())
    told = alarm.summary()
    assert (told["measurable"], told["verdict"]) == (5, "good")
    assert told["residual_ratio"] == pytest.approx(0.2)
    assert summary_lines(told)[1].startswith("residual ratio 0.200 over 5 measurable crop(s)")


# Raised and cleared


@pytest.mark.parametrize("options", [AlarmOptions(residual_above=LINE), AlarmOptions(below=0.9)])
def test_sharp_pictures_never_alarm(options: AlarmOptions) -> None:
    """Though there a healthy student is further from its teacher than doing nothing, in both."""
    alarm = AgreementAlarm(options)
    assert not any(added(alarm, *[sample(0.85, 0.97, ratio=2.1, **SHARP)] * 200))
    assert alarm.summary()["rolling"] == pytest.approx(0.85)


@pytest.mark.parametrize("options", [AlarmOptions(residual_above=LINE), AlarmOptions()])
def test_a_dead_student_alarms_on_a_mixed_stream(options: AlarmOptions) -> None:
    """As soon as five of its crops are measurable, with a line and without one."""
    alarm = AgreementAlarm(options)
    dead = [sample(1.0, 1.0, ratio=1.0, **SHARP), sample(0.9, 0.9, ratio=1.0)]
    assert added(alarm, *dead * 25).index(True) == 2 * FEWEST_SAMPLES - 1
    assert alarm.low


def test_a_few_samples_are_needed() -> None:
    """One odd image raises nothing."""
    alarm = AgreementAlarm(AlarmOptions(residual_above=LINE))
    assert not any(added(alarm, *[sample(ratio=5.0)] * (FEWEST_SAMPLES - 1)))
    assert alarm.add(sample(ratio=5.0))
    assert alarm.low


def test_raised_once_cleared_once() -> None:
    """Only the samples that change the state say so."""
    alarm = AgreementAlarm(AlarmOptions(window=5, residual_above=LINE))
    assert added(alarm, *[sample(ratio=0.4)] * 9) == [False] * 4 + [True] + [False] * 4
    assert sum(added(alarm, *[sample(ratio=0.2)] * 9)) == 1
    assert not alarm.low


def test_what_is_not_measurable_clears_nothing() -> None:
    """An alarm stays until enough measurable samples end it."""
    alarm = AgreementAlarm(AlarmOptions(window=5, residual_above=LINE))
    added(alarm, *[sample(ratio=0.4)] * 5)
    assert not any(added(alarm, *[sample(ratio=0.4, **SHARP)] * 20))
    told = alarm.summary()
    assert (told["verdict"], told["residual_ratio"], told["measurable"]) == ("low", None, 0)
    assert added(alarm, *[sample(ratio=0.2)] * 5) == [False] * 4 + [True]


def test_the_line_itself_is_not_low() -> None:
    """A ratio at the line is still good, just above it no more."""
    alarm = AgreementAlarm(AlarmOptions(window=5, residual_above=0.5))
    assert not any(added(alarm, *[sample(ratio=0.499999)] * 10))
    assert any(added(alarm, *[sample(ratio=0.500001)] * 10))


def test_no_better_than_nothing_is_low() -> None:
    """Without any line a student that is no better than doing nothing raises the alarm."""
    alarm = AgreementAlarm(AlarmOptions())
    assert any(added(alarm, *[sample(ratio=1.0)] * FEWEST_SAMPLES))
    better = AgreementAlarm(AlarmOptions())
    assert not any(added(better, *[sample(ratio=0.999)] * FEWEST_SAMPLES))
    assert better.summary()["residual_above"] == 1.0


def test_the_cards_line_of_ssim_serves_where_there_is_no_other() -> None:
    """And then for measurable samples alone."""
    worse = [sample(0.8)] * 5 + [sample(0.99, **SHARP)] * 45
    assert any(added(AgreementAlarm(AlarmOptions(below=0.9)), *worse))
    lined = AgreementAlarm(AlarmOptions(below=0.9, residual_above=LINE))
    assert not any(added(lined, *worse))
    sharp = [sample(0.8, **SHARP)] * 45 + [sample(0.95)] * 5
    assert not any(added(AgreementAlarm(AlarmOptions(below=0.9)), *sharp))


def test_the_users_own_line_of_ssim_holds_for_the_rolling_mean() -> None:
    """Beside the line of the ratio, for all samples, and it clears by itself."""
    own = AlarmOptions(window=5, below=0.9, is_below_own=True, residual_above=LINE)
    alarm = AgreementAlarm(own)
    assert added(alarm, *[sample(0.8, **SHARP)] * 6) == [False] * 4 + [True, False]
    assert sum(added(alarm, *[sample(0.95, **SHARP)] * 6)) == 1
    assert not alarm.low
    assert any(added(alarm, *[sample(0.99, ratio=0.4)] * 5))


def test_only_the_window_counts() -> None:
    """Old samples leave the rolling mean and the ratio, and stay in the totals."""
    alarm = AgreementAlarm(AlarmOptions(window=5))
    added(alarm, *[sample(0.0, ratio=4.0)] * 5, *[sample(1.0, ratio=0.25)] * 5)
    assert alarm.rolling == 1.0
    assert alarm.residual_ratio == pytest.approx(0.25)
    assert alarm.summary()["mean"] == 0.5
    assert alarm.minimum == 0.0


def test_the_summary_is_the_reports_block() -> None:
    """n, mean, minimum, rolling mean, the no-op beside them, the ratio, and the lines."""
    alarm = AgreementAlarm(AlarmOptions(below=0.7, residual_above=LINE))
    assert alarm.summary() == {
        "n": 0,
        "mean": None,
        "min": None,
        "rolling": None,
        "noop_mean": None,
        "alarm_below": 0.7,
        "residual_ratio": None,
        "residual_above": LINE,
        "measurable": 0,
        "verdict": "not measurable",
    }
    added(alarm, sample(0.75, 0.5), sample(1.0, 0.5), *[sample(0.875, 0.5)] * 3)
    assert alarm.summary() == {
        "n": 5,
        "mean": 0.875,
        "min": 0.75,
        "rolling": 0.875,
        "noop_mean": 0.5,
        "alarm_below": 0.7,
        "residual_ratio": pytest.approx(0.2),
        "residual_above": LINE,
        "measurable": 5,
        "verdict": "good",
    }


def test_the_summary_is_two_lines() -> None:
    """SSIM and ratio, with the device where it is given; a report without a sample has none."""
    alarm = AgreementAlarm(AlarmOptions(residual_above=LINE))
    assert summary_lines(alarm.summary()) == summary_lines(None) == []
    added(alarm, *[sample(0.875, 0.5)] * 5)
    line = "agreement with the teacher: SSIM 0.8750 on 5 crop(s) (input itself: 0.5000)"
    assert summary_lines(alarm.summary())[0] == line
    assert summary_lines(alarm.summary(), device="cpu float32")[0] == f"{line}, on cpu float32"


def test_a_report_of_an_older_version_has_no_ratio() -> None:
    """Its status file may still be there."""
    assert len(summary_lines({"n": 9, "mean": 0.97, "noop_mean": 0.9})) == 1
