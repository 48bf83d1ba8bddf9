"""Agreement of finished samples with the teacher, and the canary's; throughput is kept beside them.

Kept by a reload if the settings of workers and agreement did not change.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import LOW, AgreementAlarm, PairedAlarm, quotient_threshold
from sharpend.attempt import Staged
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.attempt import AttemptResult, CanarySample
    from sharpend.daemon.report import Throughput
    from sharpend.logs.logs import Log
    from sharpend.task import Task


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """A model, and how it is measured.

    Attributes:
        name: name on its card.
        teacher: teacher that its card names.
        options: window and thresholds; of a canary, the share and budget of its samples, too.
        healthy: residual ratio by kind of softness, as its card has it.
    """

    name: str
    teacher: str | None
    options: AlarmOptions
    healthy: Mapping[str, float]


class Canary:
    """Counts, means and alarm of a canary: a second student, tried beside the one in use.

    An agreement alarm of its own decides whether it is asked for. The model in use is measured on
    the same crops, each by its own teacher; the canary is low if its alarm is raised, or if it is
    worse, compared with the model in use, than their cards predict. None of its output is stored.

    Args:
        model: name or path of the canary, as in the settings.
        beside: name or path of the model in use, whose images are sampled.
        judged: how the canary is measured.
        used: how the model in use is measured.

    Attributes:
        alarm: alarm of the canary alone.
    """

    def __init__(self, model: str, beside: str, judged: JudgedModel, used: JudgedModel) -> None:
        self.model = model
        self.beside = beside
        self.alarm = AgreementAlarm(judged.options)
        self._judged = judged
        self._used = used
        self._used_alarm = AgreementAlarm(used.options)
        threshold = quotient_threshold(judged.healthy, used.healthy)
        self._paired = PairedAlarm(judged.options, used.options, threshold)
        self._recent: deque[CanarySample] = deque(maxlen=judged.options.window)

    def add(self, sample: CanarySample) -> bool:
        """Add a sample; return True if `low` changed."""
        before = self.low
        self._recent.append(sample)
        self._used_alarm.add(sample.used)
        self.alarm.add(sample.canary)
        self._paired.add(sample)
        return self.low != before

    @property
    def low(self) -> bool:
        """True while the agreement of the canary is low."""
        return self.alarm.low or self._paired.low

    def figures(self) -> dict[str, object]:
        """Build the canary's block of a report: its alarm, and the comparison of both models."""
        used = self._used_alarm.summary()
        return {
            "model": self._judged.name,
            "teacher": self._judged.teacher,
            **self.alarm.summary(),
            "verdict": LOW if self.low else self.alarm.verdict,
            "used_teacher": self._used.teacher,
            "used_mean": used["mean"],
            "used_residual_ratio": used["residual_ratio"],
            "quotient": self._paired.quotient,
            "quotient_above": self._paired.above,
            "difference": self._over_window(fmean, lambda sample: sample.difference),
            "crop_ms": self._over_window(median, lambda sample: sample.canary_ms),
            "used_crop_ms": self._over_window(median, lambda sample: sample.used_ms),
        }

    def _over_window(
        self, center: Callable[[list[float]], float], value: Callable[[CanarySample], float]
    ) -> float | None:
        """Compute a mean or median over the window; None without a sample."""
        return center([value(sample) for sample in self._recent]) if self._recent else None


@dataclass(frozen=True, slots=True)
class Measurements:
    """Counters and alarms, which change with each image."""

    throughput: Throughput
    alarms: Mapping[str, AgreementAlarm]
    """By model, for models with a teacher; the main model first."""
    canary: Canary | None = None
    """Tried on images of the main model."""

    def with_requests(self, task: Task) -> Task:
        """Add requests to a task, where its image is a sample: comparison, canary."""
        alarm, canary = self.alarms.get(task.options.model), self._canary_of(task.options.model)
        return replace(
            task,
            measure_agreement=alarm is not None and alarm.wants(),
            canary=canary.model if canary is not None and canary.alarm.wants() else None,
        )

    def record(self, model: str, task: Task | None, outcome: AttemptResult, log: Log) -> None:
        """Add an image's samples to their alarms, and log a change of an alarm."""
        alarm, canary = self.alarms.get(model), self._canary_of(model)
        if alarm is not None:
            self._record_agreement(alarm, model, task, outcome, log)
        if canary is not None:
            self._record_canary(canary, task, outcome, log)

    @staticmethod
    def _record_agreement(
        alarm: AgreementAlarm, model: str, task: Task | None, outcome: AttemptResult, log: Log
    ) -> None:
        sample = outcome.agreement if isinstance(outcome, Staged) else None
        is_missed = sample is None and task is not None and task.measure_agreement
        _account(alarm, "agree", outcome, is_missed=is_missed)
        if sample is not None and alarm.add(sample):
            values = {"model": model, **alarm.summary()}
            if alarm.low:
                log.warning(Event.AGREEMENT_LOW, **values)
            else:
                log.info(Event.AGREEMENT_RECOVERED, **values)

    @staticmethod
    def _record_canary(canary: Canary, task: Task | None, outcome: AttemptResult, log: Log) -> None:
        sample = outcome.canary if isinstance(outcome, Staged) else None
        is_missed = sample is None and task is not None and task.canary is not None
        _account(canary.alarm, "canary", outcome, is_missed=is_missed)
        if sample is not None and canary.add(sample):
            figures = canary.figures()
            if canary.low:
                log.warning(Event.CANARY_LOW, **figures)
            else:
                log.info(Event.CANARY_RECOVERED, **figures)

    def _canary_of(self, model: str) -> Canary | None:
        """Return the canary if it is tried on images of this model."""
        return self.canary if self.canary is not None and self.canary.beside == model else None

    @property
    def agreement(self) -> dict[str, dict[str, object]]:
        """Agreement summaries for a report, by model."""
        return {model: alarm.summary() for model, alarm in self.alarms.items()}

    @property
    def low(self) -> tuple[str, ...]:
        """Models whose alarm is raised."""
        return tuple(model for model, alarm in self.alarms.items() if alarm.low)


def _account(alarm: AgreementAlarm, stage: str, outcome: AttemptResult, *, is_missed: bool) -> None:
    """Count the time of an image for an alarm, and a sample that it requested and did not get."""
    if isinstance(outcome, Staged):
        stages_s = outcome.stages_s
        alarm.spent(busy_s=sum(stages_s.values()), agree_s=stages_s.get(stage, 0.0))
    if is_missed:
        alarm.missed()
