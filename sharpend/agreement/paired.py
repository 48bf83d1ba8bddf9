"""Comparison of a canary with the model in use over the same crops, beyond each one's own line.

A line must hold for every kind of softness, so that noise on the weights of a good model stays
below it. The kinds of images that come in move the residual ratios of two models alike: their
quotient hardly depends on them, and shows such damage.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import FEWEST_SAMPLES, is_measurable, pooled_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.attempt import CanarySample

MARGIN = 1.2
"""Times by which the quotient may exceed the largest one of the cards."""


def quotient_line(canary: Mapping[str, float], used: Mapping[str, float]) -> float | None:
    """Compute the quotient of the residual ratios of two healthy models that is still accepted.

    Args:
        canary: residual ratio by kind of softness, as its card has it.
        used: likewise, of the model in use.

    Returns:
        The largest quotient of a kind, with the margin; None if the cards have no kind in common.
    """
    shared = [kind for kind in canary if used.get(kind)]
    return MARGIN * max(canary[kind] / used[kind] for kind in shared) if shared else None


class PairedAlarm:
    """Rolling quotient of the residual ratios of two models, and whether it is too large.

    Args:
        canary: window, and from where a crop is measurable for it.
        used: likewise, of the model in use.
        above: line of the quotient; None: it is reported, and not judged.

    Attributes:
        above, low: the line; True while the quotient is above it.
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
