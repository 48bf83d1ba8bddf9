"""Agreement alarm: sampling of images, rolling window, threshold and hysteresis.

Owns the rules of the alarm. The model's own rule looks at the pooled residual ratio of the window:
what the student leaves undone or does otherwise, as a share of what the teacher adds. On images
that are sharp already both that ratio and SSIM are best for a model that changes nothing, so they
cannot show damage: samples to which the teacher adds too little are skipped, and a window that
holds too few others is not judged at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sharpend.attempt import AgreementSample, CanarySample

FEWEST_SAMPLES = 5
"""Samples in the window below which nothing is concluded."""
LEAST_MOVE = 0.75 / 255
"""Root mean square of teacher - input up to which a sample is not measurable: below, the rounding
to 8 bits decides the ratio. Half a level is too little: there it doubles the ratio of a healthy
lite-x4, nearly up to its threshold (`trainer alarm --strength 0.07 --measurable-from 0`)."""
MEASURABLE_FROM = 2.0
"""The least root mean square of teacher - input in multiples of that of the input's own finest
detail, where the card of a model names none."""
NO_BETTER = 1.0
"""Residual ratio of an unsharpened image; the threshold if neither card nor settings give one."""
NOT_MEASURABLE = "not measurable"
LOW = "low"
QUOTIENT_MARGIN = 1.2
"""Times by which the quotient of two models may exceed the largest one of their cards."""


@dataclass(frozen=True, slots=True)
class AlarmOptions:
    """Settings of sampling and alarm."""

    sample: float = 0.05
    """Share of the images that is sampled, 0..1."""
    budget: float = 0.03
    """Largest share of the workers' busy time that sampling may take, 0..1."""
    window: int = 50
    """Samples in the rolling window."""
    below: float | None = None
    """Threshold of SSIM, or None."""
    is_below_own: bool = False
    """True if `below` is the user's setting: it is then compared with the rolling mean of all
    samples. A value from the card is compared with the measurable samples only, and only if there
    is no `residual_above`."""
    residual_above: float | None = None
    """Threshold of the residual ratio, or None."""
    measurable_from: float = MEASURABLE_FROM
    """See `is_measurable`."""


def is_measurable(sample: AgreementSample, measurable_from: float) -> bool:
    """Return whether the teacher changes this crop enough for a meaningful ratio.

    Args:
        sample: of one crop.
        measurable_from: the least root mean square of teacher - input, in multiples of that of the
            input's own finest detail. On softened images the x4 teacher adds several times what is
            there, on sharp ones a fraction, where even its own students differ from it.
    """
    added = sample.noop_residual
    moves = added > LEAST_MOVE**2 * sample.values
    return moves and added >= measurable_from**2 * sample.detail


def pooled_ratio(samples: Iterable[AgreementSample]) -> float:
    """Divide the sum of the students' residuals by that of the no-ops', which must not be zero."""
    pairs = [(sample.student_residual, sample.noop_residual) for sample in samples]
    return sum(student for student, _ in pairs) / sum(noop for _, noop in pairs)


class AgreementAlarm:
    """Counts, means and state of the alarm; plain arithmetic, no clock."""

    def __init__(self, options: AlarmOptions) -> None:
        self._options = options
        self._recent: deque[AgreementSample] = deque(maxlen=options.window)
        self._assigned = self._asked = self._in_work = 0
        self._busy_s = self._spent_s = self._price_s = 0.0
        self._sum = self._noop_sum = 0.0
        self.count = 0
        self.minimum: float | None = None
        self.low = self._is_far = False

    def wants(self) -> bool:
        """Return whether the image that is assigned now is a sample; the first always is."""
        self._assigned += 1
        if not self._options.sample:
            return False
        in_work_s = self._in_work * self._price_s  # samples of other workers, not counted yet
        busy_s = self._busy_s + in_work_s
        affordable = self._spent_s + in_work_s <= self._options.budget * busy_s
        due = self._asked < self._options.sample * self._assigned
        if self._asked and not (affordable and due):
            return False
        self._asked += 1
        self._in_work += 1
        return True

    def missed(self) -> None:
        """Record that an image was not measured as planned: the next one is measured instead."""
        self._asked -= 1
        self._one_ended()

    def spent(self, *, busy_s: float, agree_s: float) -> None:
        """Add a finished image's seconds, in total and for the comparison."""
        self._busy_s += busy_s
        self._spent_s += agree_s
        self._price_s = agree_s or self._price_s

    def add(self, sample: AgreementSample) -> bool:
        """Add a sample; return True if it raised or cleared the alarm (see `low`)."""
        self._one_ended()
        self._recent.append(sample)
        self.count += 1
        self._sum += sample.student
        self._noop_sum += sample.noop
        self.minimum = min(sample.student, 1.0 if self.minimum is None else self.minimum)
        self._is_far = self._exceeds_threshold()
        before, self.low = self.low, self._is_far or self._is_below_threshold()
        return self.low != before

    def _one_ended(self) -> None:
        """Count the end of a sample; samples that another alarm requested were not counted."""
        self._in_work = max(0, self._in_work - 1)

    @property
    def rolling(self) -> float | None:
        """Mean SSIM of the last samples."""
        return fmean(sample.student for sample in self._recent) if self._recent else None

    @property
    def residual_ratio(self) -> float | None:
        """Residual ratio over the measurable samples of the window; None if they are too few."""
        measurable = self._measurable()
        return pooled_ratio(measurable) if len(measurable) >= FEWEST_SAMPLES else None

    @property
    def verdict(self) -> str:
        """State of the alarm in a word or two."""
        if self.low:
            return LOW
        return NOT_MEASURABLE if self.residual_ratio is None else "good"

    def summary(self) -> dict[str, object]:
        """Build the agreement block of a report."""
        return {
            "n": self.count,
            "mean": self._sum / self.count if self.count else None,
            "min": self.minimum,
            "rolling": self.rolling,
            "noop_mean": self._noop_sum / self.count if self.count else None,
            "alarm_below": self._options.below,
            "residual_ratio": self.residual_ratio,
            "residual_above": self._threshold,
            "measurable": len(self._measurable()),
            "verdict": self.verdict,
        }

    @property
    def _threshold(self) -> float:
        above = self._options.residual_above
        return NO_BETTER if above is None else above

    def _measurable(self) -> list[AgreementSample]:
        least = self._options.measurable_from
        return [sample for sample in self._recent if is_measurable(sample, least)]

    def _exceeds_threshold(self) -> bool:
        """Return whether the student is too far from its teacher; as before if unmeasurable.

        A ratio equal to a given threshold passes; without one, 1 (doing nothing) fails.
        """
        measurable, options = self._measurable(), self._options
        if len(measurable) < FEWEST_SAMPLES:
            return self._is_far
        ratio = pooled_ratio(measurable)
        if options.residual_above is not None:
            return ratio > options.residual_above
        if ratio >= NO_BETTER:
            return True
        if options.below is None or options.is_below_own:
            return False
        return fmean(sample.student for sample in measurable) < options.below

    def _is_below_threshold(self) -> bool:
        """Return whether the rolling mean of SSIM is below the user's threshold."""
        rolling, below = self.rolling, self._options.below
        if not self._options.is_below_own or below is None or rolling is None:
            return False
        return len(self._recent) >= FEWEST_SAMPLES and rolling < below


def quotient_threshold(canary: Mapping[str, float], used: Mapping[str, float]) -> float | None:
    """Compute the quotient of the residual ratios of two healthy models that is still accepted.

    Args:
        canary: residual ratio by kind of softness, as its card has it.
        used: residual ratio by kind of the model in use.

    Returns:
        The largest quotient of a kind, with the margin; None if the cards have no kind in common.
    """
    shared = [kind for kind in canary if used.get(kind)]
    return QUOTIENT_MARGIN * max(canary[kind] / used[kind] for kind in shared) if shared else None


class PairedAlarm:
    """Rolling quotient of the residual ratios of two models, and whether it is too large.

    A threshold for one model must hold for every kind of softness, so that noise on the weights of
    a good model stays below it. The kind of the images changes the ratios of two models alike:
    their quotient hardly depends on it, and shows such damage.

    Args:
        canary: window and `measurable_from` of the canary.
        used: the same of the model in use.
        above: threshold of the quotient; None: it is reported, not judged.

    Attributes:
        above: the threshold.
        low: True while the quotient is above it.
    """

    def __init__(self, canary: AlarmOptions, used: AlarmOptions, above: float | None) -> None:
        self._least = canary.measurable_from, used.measurable_from
        self._recent: deque[CanarySample] = deque(maxlen=canary.window)
        self.above = above
        self.low = False

    def add(self, sample: CanarySample) -> None:
        """Add a sample; the state stays where too few samples are measurable for both."""
        self._recent.append(sample)
        quotient = self.quotient
        if quotient is not None and self.above is not None:
            self.low = quotient > self.above

    @property
    def quotient(self) -> float | None:
        """Residual ratio of the canary divided by that of the model in use; None if too few."""
        of_canary, of_used = self._least
        pairs = [
            one
            for one in self._recent
            if is_measurable(one.canary, of_canary) and is_measurable(one.used, of_used)
        ]
        if len(pairs) < FEWEST_SAMPLES:
            return None
        used = pooled_ratio(one.used for one in pairs)
        return pooled_ratio(one.canary for one in pairs) / used if used else None
