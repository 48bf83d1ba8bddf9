"""The agreement over time: who is sampled, and when the alarm is raised and cleared."""

from __future__ import annotations

import pytest

from sharpend.alarm import FEWEST_SAMPLES, AgreementAlarm, AlarmOptions
from sharpend.job import AgreementSample


def sample(student: float, noop: float = 0.5) -> AgreementSample:
    """A sample that beats doing nothing, unless told."""
    return AgreementSample(student, noop)


def added(alarm: AgreementAlarm, *students: float, noop: float = 0.5) -> list[bool]:
    """Whether each of these samples changed the alarm."""
    return [alarm.add(sample(student, noop)) for student in students]


# Who is sampled


def test_the_first_is_always_sampled() -> None:
    """However small the share, the first picture says something."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.001, budget=0.0))
    assert [alarm.wants() for _ in range(5)] == [True, False, False, False, False]


def test_nothing_is_sampled_when_switched_off() -> None:
    """A share of zero means never, the first one included."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.0))
    assert not any(alarm.wants() for _ in range(100))


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_the_share_is_kept(share: float) -> None:
    """Over many pictures the share of samples is the one that was asked for."""
    alarm = AgreementAlarm(AlarmOptions(sample=share, budget=1.0))
    assert sum(alarm.wants() for _ in range(1000)) == pytest.approx(1000 * share, abs=1)


def test_the_budget_is_kept() -> None:
    """The comparisons' seconds stay within their share of the busy time, one sample aside."""
    alarm = AgreementAlarm(AlarmOptions(sample=1.0, budget=0.03))
    spent_s = busy_s = 0.0
    for _ in range(1000):
        agree_s = 0.5 if alarm.wants() else 0.0
        alarm.spent(busy_s=1.0 + agree_s, agree_s=agree_s)
        spent_s += agree_s
        busy_s += 1.0 + agree_s
    assert spent_s <= 0.03 * busy_s + 0.5
    assert spent_s > 0.025 * busy_s


def test_a_missed_sample_is_taken_from_the_next() -> None:
    """A picture that was to be measured and was not leaves its turn to the next one."""
    alarm = AgreementAlarm(AlarmOptions(sample=0.001))
    assert alarm.wants()
    assert not alarm.wants()
    alarm.missed()
    assert alarm.wants()
    assert not alarm.wants()


# Raised and cleared


def test_a_few_samples_are_needed() -> None:
    """One odd picture raises nothing."""
    alarm = AgreementAlarm(AlarmOptions(below=0.9))
    assert not any(added(alarm, *[0.1] * (FEWEST_SAMPLES - 1)))
    assert alarm.add(sample(0.1))
    assert alarm.low


def test_raised_once_cleared_once() -> None:
    """Only the samples that change the state say so."""
    alarm = AgreementAlarm(AlarmOptions(window=5, below=0.9))
    assert added(alarm, *[0.8] * 9) == [False] * 4 + [True] + [False] * 4
    changes = added(alarm, *[0.95] * 9)
    assert sum(changes) == 1
    assert not alarm.low


def test_the_line_itself_is_not_low() -> None:
    """A rolling mean at the line is still good."""
    alarm = AgreementAlarm(AlarmOptions(below=0.75))
    assert not any(added(alarm, *[0.75] * 10))


def test_no_better_than_nothing_is_low() -> None:
    """Without any line a student that is no better than doing nothing raises the alarm."""
    alarm = AgreementAlarm(AlarmOptions())
    assert any(added(alarm, *[0.95] * FEWEST_SAMPLES, noop=0.95))
    better = AgreementAlarm(AlarmOptions())
    assert not any(added(better, *[0.951] * FEWEST_SAMPLES, noop=0.95))


def test_where_nothing_can_be_better_nothing_is_low() -> None:
    """Flat pictures, or strength 0: the teacher changes nothing, so the no-op is no yardstick."""
    alarm = AgreementAlarm(AlarmOptions(below=0.9))
    assert not any(added(alarm, *[1.0] * FEWEST_SAMPLES, noop=1.0))


def test_only_the_window_counts() -> None:
    """Old samples leave the rolling mean, and stay in the totals."""
    alarm = AgreementAlarm(AlarmOptions(window=5))
    added(alarm, *[0.0] * 5, *[1.0] * 5)
    assert alarm.rolling == 1.0
    assert alarm.summary()["mean"] == 0.5
    assert alarm.minimum == 0.0


def test_the_summary_is_the_reports_block() -> None:
    """n, mean, minimum, rolling mean, the no-op beside them, and the line."""
    alarm = AgreementAlarm(AlarmOptions(below=0.7))
    nothing = alarm.summary()
    assert nothing == {
        "n": 0,
        "mean": None,
        "min": None,
        "rolling": None,
        "noop_mean": None,
        "alarm_below": 0.7,
    }
    added(alarm, 0.75, 1.0, noop=0.5)
    assert alarm.summary() == {
        "n": 2,
        "mean": 0.875,
        "min": 0.75,
        "rolling": 0.875,
        "noop_mean": 0.5,
        "alarm_below": 0.7,
    }
