"""The agreement over time: which pictures are sampled, the rolling mean, and when it is low.

Owns the two rules of the alarm. Low is a rolling mean below the line from the student's card, or
one that is no better than doing nothing; either needs a few samples, so that one odd picture
cannot raise it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.job import AgreementSample

FEWEST_SAMPLES = 5
"""Samples in the window below which nothing is concluded."""
INDISTINGUISHABLE = 0.9999
"""From this SSIM of doing nothing on, the teacher has nothing to add and nothing can beat it."""


@dataclass(frozen=True, slots=True)
class AlarmOptions:
    """How agreement is sampled and judged."""

    sample: float = 0.05
    """Share of the pictures that is sampled, 0..1."""
    budget: float = 0.03
    """Largest share of the workers' busy time that sampling may take, 0..1."""
    window: int = 50
    """Samples in the rolling mean."""
    below: float | None = None
    """The alarm line, or None where the student's card draws none."""


class AgreementAlarm:
    """Counts, means and the state of the alarm; plain arithmetic, no clock."""

    def __init__(self, options: AlarmOptions) -> None:
        self._options = options
        self._recent: deque[AgreementSample] = deque(maxlen=options.window)
        self._seen = self._asked = 0
        self._busy_s = self._spent_s = 0.0
        self._sum = self._noop_sum = 0.0
        self.count = 0
        self.minimum: float | None = None
        self.low = False

    def wants(self) -> bool:
        """Whether the picture that is handed out now should be measured; the first always is."""
        self._seen += 1
        if not self._options.sample:
            return False
        affordable = self._spent_s <= self._options.budget * self._busy_s
        due = self._asked < self._options.sample * self._seen
        if self._asked and not (affordable and due):
            return False
        self._asked += 1
        return True

    def missed(self) -> None:
        """A picture that was to be measured was not: the next one takes its turn."""
        self._asked -= 1

    def spent(self, *, busy_s: float, agree_s: float) -> None:
        """Account for a finished picture's seconds, all of them and those of the comparison."""
        self._busy_s += busy_s
        self._spent_s += agree_s

    def add(self, sample: AgreementSample) -> bool:
        """Take a sample; True where the alarm was raised or cleared by it (see `low`)."""
        self._recent.append(sample)
        self.count += 1
        self._sum += sample.student
        self._noop_sum += sample.noop
        self.minimum = min(sample.student, 1.0 if self.minimum is None else self.minimum)
        before, self.low = self.low, self._is_low()
        return self.low != before

    @property
    def rolling(self) -> float | None:
        """Mean of the last samples."""
        return fmean(sample.student for sample in self._recent) if self._recent else None

    @property
    def rolling_noop(self) -> float | None:
        """Mean over the same samples of doing nothing."""
        return fmean(sample.noop for sample in self._recent) if self._recent else None

    def summary(self) -> dict[str, object]:
        """The agreement block of a report."""
        return {
            "n": self.count,
            "mean": self._sum / self.count if self.count else None,
            "min": self.minimum,
            "rolling": self.rolling,
            "noop_mean": self._noop_sum / self.count if self.count else None,
            "alarm_below": self._options.below,
        }

    def _is_low(self) -> bool:
        rolling, noop = self.rolling, self.rolling_noop
        if rolling is None or noop is None or len(self._recent) < FEWEST_SAMPLES:
            return False
        if self._options.below is not None and rolling < self._options.below:
            return True
        return rolling <= noop < INDISTINGUISHABLE
