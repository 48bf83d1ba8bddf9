"""Measurements of finished work: throughput, and agreement with the teacher.

Outlives the parts that measure: a reload hands it on to the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.job import Staged
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.agreement.alarm import AgreementAlarm
    from sharpend.daemon.throughput import Throughput
    from sharpend.job import Outcome, Task
    from sharpend.logs.logs import Log


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything that is counted; both parts change with each image."""

    throughput: Throughput
    alarms: Mapping[str, AgreementAlarm]
    """By model, for those that have a teacher; the main model's first."""

    def wants(self, model: str) -> bool:
        """Whether the next image of a model should be compared with the teacher's."""
        alarm = self.alarms.get(model)
        return alarm is not None and alarm.wants()

    def weigh(self, model: str, task: Task | None, outcome: Outcome, log: Log) -> None:
        """Enter what the teacher said of an image, and tell where that changes the alarm."""
        alarm = self.alarms.get(model)
        if alarm is None:
            return
        sample = None
        if isinstance(outcome, Staged):
            sample, stages_s = outcome.agreement, outcome.stages_s
            alarm.spent(busy_s=sum(stages_s.values()), agree_s=stages_s.get("agree", 0.0))
        if sample is None:
            if task is not None and task.measure_agreement:
                alarm.missed()
        elif alarm.add(sample):
            values = {"model": model, **alarm.summary()}
            if alarm.low:
                log.warning(Event.AGREEMENT_LOW, **values)
            else:
                log.info(Event.AGREEMENT_RECOVERED, **values)

    @property
    def agreement(self) -> dict[str, dict[str, object]]:
        """The agreement blocks of a report, by model."""
        return {model: alarm.summary() for model, alarm in self.alarms.items()}

    @property
    def low(self) -> tuple[str, ...]:
        """Models whose alarm is raised."""
        return tuple(model for model, alarm in self.alarms.items() if alarm.low)
