"""False alarms and detection delay of the daemon's alarm, on streams drawn from samples.

Runs no network: measured samples are drawn with replacement and fed to the alarm of the daemon. A
stream begins with an empty window, as after loading weights. Every image of a stream is sampled; at
`agreement.sample = 0.05` the daemon processes twenty times as many.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from sharpend.agreement.alarm import AgreementAlarm, is_measurable, pooled_ratio
from trainer.evaluation.agreement.samples import HEALTHY
from trainer.evaluation.agreement.thresholds import MIXED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.attempt import AgreementSample
    from trainer.evaluation.agreement.samples import StudentSamples

PER = 10_000


@dataclass(frozen=True, slots=True)
class Streams:
    """Lengths and numbers of the streams.

    Attributes:
        healthy: samples of each healthy stream.
        damaged: streams of each damage and kind.
        longest: samples of a damaged stream after which it counts as without an alarm.
        seed: of the draw.
    """

    healthy: int = 100_000
    damaged: int = 200
    longest: int = 500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """Figures of one student on one kind of softness.

    Attributes:
        crops: number of crops measured.
        measurable: number of measurable crops.
        ssim: mean SSIM to the teacher, all crops.
        ratio: residual ratio pooled over the measurable crops; None without any.
        alarms: alarms raised per 10,000 samples; None except for the healthy student.
        until_median: samples until the alarm; None where half of the streams or more never alarm.
        until_p95: the same, 95th percentile.
        never: share of the streams without an alarm; None for the healthy student.
    """

    crops: int
    measurable: int
    ssim: float
    ratio: float | None
    alarms: float | None = None
    until_median: float | None = None
    until_p95: float | None = None
    never: float | None = None


def alarm_figures(
    measured: StudentSamples, options: AlarmOptions, streams: Streams
) -> dict[str, dict[str, AlarmFigures]]:
    """The figures of every student, by kind and over all kinds mixed.

    Args:
        measured: by student, HEALTHY among them, then by kind.
        options: of the alarm, as in the daemon.
        streams: lengths and numbers.
    """
    return {
        name: {
            kind: _figures(name, samples, options, streams)
            for kind, samples in with_mixed(kinds).items()
        }
        for name, kinds in measured.items()
    }


def with_mixed(
    kinds: Mapping[str, Sequence[AgreementSample]],
) -> dict[str, Sequence[AgreementSample]]:
    """The kinds, and all their samples together."""
    return {**kinds, MIXED: [sample for samples in kinds.values() for sample in samples]}


def _figures(
    name: str, samples: Sequence[AgreementSample], options: AlarmOptions, streams: Streams
) -> AlarmFigures:
    measurable = [one for one in samples if is_measurable(one, options.measurable_from)]
    figures_so_far = AlarmFigures(
        crops=len(samples),
        measurable=len(measurable),
        ssim=sum(one.student for one in samples) / len(samples),
        ratio=pooled_ratio(measurable) if measurable else None,
    )
    chance = random.Random(streams.seed)  # noqa: S311 - draws samples, not secrets
    if name == HEALTHY:
        raised = count_alarms(samples, options, streams.healthy, chance)
        return replace(figures_so_far, alarms=raised * PER / streams.healthy)
    counts = [
        samples_until_alarm(samples, options, streams.longest, chance)
        for _ in range(streams.damaged)
    ]
    return replace(figures_so_far, **_delays(counts))


def count_alarms(
    samples: Sequence[AgreementSample], options: AlarmOptions, length: int, chance: random.Random
) -> int:
    """Count the alarms in one stream of `length` samples."""
    alarm = AgreementAlarm(options)
    return sum(alarm.add(chance.choice(samples)) and alarm.low for _ in range(length))


def samples_until_alarm(
    samples: Sequence[AgreementSample], options: AlarmOptions, longest: int, chance: random.Random
) -> int | None:
    """Count the samples until a new alarm is raised; None if not within `longest`."""
    alarm = AgreementAlarm(options)
    for count in range(1, longest + 1):
        alarm.add(chance.choice(samples))
        if alarm.low:
            return count
    return None


def _delays(counts: Sequence[int | None]) -> dict[str, Any]:
    """Median, p95 and share of streams that never alarm."""
    ordered = sorted(count for count in counts if count is not None)
    never = len(counts) - len(ordered)
    ranked = [*map(float, ordered), *[float("inf")] * never]
    middle, late = median(ranked), ranked[-(-95 * len(ranked) // 100) - 1]
    return {
        "until_median": None if middle == float("inf") else middle,
        "until_p95": None if late == float("inf") else late,
        "never": never / len(counts),
    }


def as_json(judged: Mapping[str, Mapping[str, AlarmFigures]]) -> dict[str, object]:
    """The figures as plain values, by student and kind."""
    return {
        name: {kind: asdict(figures) for kind, figures in kinds.items()}
        for name, kinds in judged.items()
    }


def as_markdown(judged: Mapping[str, Mapping[str, AlarmFigures]]) -> str:
    """One table: a row for each student and kind."""
    titles = [
        *("student", "images", "crops", "measurable", "SSIM", "residual ratio"),
        *(f"false alarms / {PER:,} samples", "samples until alarm: median", "p95", "never"),
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, kinds in judged.items():
        lines += [f"| {' | '.join([name, kind, *_cells(one)])} |" for kind, one in kinds.items()]
    return "\n".join(lines)


def _cells(one: AlarmFigures) -> list[str]:
    ratio = "not measurable" if one.ratio is None else f"{one.ratio:.3f}"
    first = [str(one.crops), str(one.measurable), f"{one.ssim:.4f}", ratio]
    if one.never is None:
        return [*first, f"{one.alarms:g}", "", "", ""]
    delays = ["never" if n is None else f"{n:g}" for n in (one.until_median, one.until_p95)]
    return [*first, "", *delays, f"{one.never:.0%}"]
