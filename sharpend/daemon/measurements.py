"""Measurements of finished work: throughput, and agreement with the teacher.

The figures of finished work are counted in `throughput`, what stands now is in `snapshot`; `status`
writes the report of both. Kept by a reload if the settings of workers and agreement did not change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.logs.events import Event
from sharpend.task import Staged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.agreement.alarm import AgreementAlarm
    from sharpend.daemon.throughput import Throughput
    from sharpend.logs.logs import Log
    from sharpend.task import Outcome, Task


@dataclass(frozen=True, slots=True)
class Measurements:
    """Counters and alarms, which change with each image."""

    throughput: Throughput
    alarms: Mapping[str, AgreementAlarm]
    """By model, for models with a teacher; the main model first."""

    def asked(self, task: Task) -> Task:
        """Add the request for a comparison to a task, where its image is a sample."""
        alarm = self.alarms.get(task.options.model)
        return replace(task, measure_agreement=alarm is not None and alarm.wants())

    def record(self, model: str, task: Task | None, outcome: Outcome, log: Log) -> None:
        """Add an image's agreement sample to its alarm, and log a change of the alarm."""
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
        """Agreement summaries for a report, by model."""
        return {model: alarm.summary() for model, alarm in self.alarms.items()}

    @property
    def low(self) -> tuple[str, ...]:
        """Models whose alarm is raised."""
        return tuple(model for model, alarm in self.alarms.items() if alarm.low)
