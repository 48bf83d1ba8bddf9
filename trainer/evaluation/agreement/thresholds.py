"""Alarm thresholds of a student, from samples that were measured on validation images.

Pure arithmetic with a fixed seed; runs no network. The daemon uses the threshold of the residual
ratio, and that of SSIM where a card has no other.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.agreement.alarm import FEWEST_SAMPLES, NO_BETTER, is_measurable
from sharpend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sharpend.attempt import AgreementSample

    Samples = Mapping[str, Sequence[AgreementSample]]

STANDARD_ERRORS = 4
WINDOWS = 100_000
"""Windows drawn for each kind: the quantile below is estimated from the ten largest."""
HEALTHY = 0.9999
"""The quantile of healthy windows from which a threshold is computed."""
MARGIN = 1.2
"""Factor from that quantile to the threshold: users' images differ more from validation images than
the latter do from each other."""
LEAST_THRESHOLD = 0.1
"""Lowest threshold: rounding to 8 bits alone can cause such a difference."""
MIXED = "mixed"
_LEAST = tuple(round(0.25 * step, 2) for step in range(25))
"""Candidates for `measurable_from`: 0 to 6."""
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class ResidualThreshold:
    """Threshold of the alarm, with the figures that it is computed from.

    Attributes:
        above: the threshold, rounded up to three digits.
        measurable_from: see `sharpend.agreement.alarm.is_measurable`.
        healthy: by kind and mixed, the median and the HEALTHY quantile of healthy windows' ratios.
        halved: by kind and mixed, the median ratio if the network gave half of what it adds.
        measurable: by kind, the share of measurable samples.
    """

    above: float
    measurable_from: float
    healthy: Mapping[str, tuple[float, float]]
    halved: Mapping[str, float]
    measurable: Mapping[str, float]

    def described(self) -> dict[str, object]:
        """The figures as a card holds them."""
        kinds = self.healthy
        return {
            "quantile": HEALTHY,
            "margin": MARGIN,
            "healthy_median": {kind: round(kinds[kind][0], 4) for kind in kinds},
            "healthy_quantile": {kind: round(kinds[kind][1], 4) for kind in kinds},
            "halved_median": {kind: round(ratio, 4) for kind, ratio in self.halved.items()},
            "measurable_share": {kind: round(part, 3) for kind, part in self.measurable.items()},
        }

    @property
    def halved_margin(self) -> float:
        """Smallest median of halved windows over the threshold; above 1 each kind detects them."""
        return min(self.halved.values()) / self.above


def residual_threshold(
    healthy: Samples, halved: Samples, *, window: int, seed: int = 0
) -> ResidualThreshold | None:
    """The pooled residual ratio of a window above which the student is damaged.

    Windows of FEWEST_SAMPLES to `window` samples are drawn with replacement from each kind of
    softness alone, as in a folder that holds nothing else, and from all kinds mixed. The threshold
    is MARGIN times the largest of their HEALTHY quantiles, and not below LEAST_THRESHOLD.

    Which samples are measurable is chosen with it: as many as possible while the threshold stays
    below the median of windows of a network whose output is halved, in every kind that has at least
    FEWEST_SAMPLES measurable ones. Where no choice achieves that, the one that comes nearest.

    Args:
        healthy: samples of the student by kind, each kind from the same images.
        halved: the same images with half of what the student adds.
        window: as the daemon's `agreement.window`.
        seed: of the draw.

    Returns:
        The threshold, or None where healthy windows are no better than doing nothing, whichever
        samples are left out, or no kind has enough samples.
    """

    def threshold(least: float, windows: int) -> ResidualThreshold | None:
        return _threshold_from(healthy, halved, least, _Draw(windows, window, seed))

    usable = []
    for least in _LEAST:
        rough = threshold(least, _AT_ONCE)
        if rough is None or rough.above >= NO_BETTER:
            continue
        usable.append(rough)
        exact = threshold(least, WINDOWS) if rough.halved_margin > 1 else None
        if exact is not None and exact.halved_margin > 1:
            return exact
    if not usable:
        return None
    return threshold(max(usable, key=lambda one: one.halved_margin).measurable_from, WINDOWS)


@dataclass(frozen=True, slots=True)
class _Draw:
    windows: int
    most: int
    """Samples in a window."""
    seed: int


def _threshold_from(
    healthy: Samples, halved: Samples, least: float, draw: _Draw
) -> ResidualThreshold | None:
    """The threshold where samples are measurable from `least` on; None where too few are."""
    chosen = {kind: _measurable(own, halved[kind], least) for kind, own in healthy.items()}
    kinds = {kind: pairs for kind, pairs in chosen.items() if len(pairs) >= FEWEST_SAMPLES}
    if not kinds:
        return None
    kinds[MIXED] = np.concatenate(list(chosen.values()))
    chance = np.random.default_rng(draw.seed)
    ratios = {
        kind: window_ratios(pairs, draw.most, chance, windows=draw.windows)
        for kind, pairs in kinds.items()
    }
    intervals = {
        kind: (float(np.median(own[:, 0])), float(np.quantile(own[:, 0], HEALTHY)))
        for kind, own in ratios.items()
    }
    highest = MARGIN * max(high for _, high in intervals.values())
    return ResidualThreshold(
        above=float(np.ceil(max(highest, LEAST_THRESHOLD) * 1000) / 1000),
        measurable_from=least,
        healthy=intervals,
        halved={kind: float(np.median(own[:, 1])) for kind, own in ratios.items()},
        measurable={kind: len(chosen[kind]) / max(1, len(own)) for kind, own in healthy.items()},
    )


def _measurable(
    healthy: Sequence[AgreementSample], halved: Sequence[AgreementSample], least: float
) -> NDArray[np.float64]:
    """Residuals of the student, of half of it, and of doing nothing, one row a sample."""
    rows = [
        (own.student_residual, half.student_residual, own.noop_residual)
        for own, half in zip(healthy, halved, strict=True)
        if is_measurable(own, least)
    ]
    return np.array(rows, np.float64).reshape(-1, 3)


def window_ratios(
    residuals: NDArray[np.float64],
    window: int,
    chance: np.random.Generator,
    *,
    windows: int = WINDOWS,
) -> NDArray[np.float64]:
    """Pooled residual ratios of windows that are drawn with replacement.

    Args:
        residuals: one row a sample; the last column is of doing nothing.
        window: the most samples in a window; each number from FEWEST_SAMPLES on is as likely.
        chance: the generator.
        windows: how many, in multiples of 10,000.

    Returns:
        One row a window, one column less than `residuals`.
    """
    most = max(window, FEWEST_SAMPLES)
    found = []
    for _ in range(windows // _AT_ONCE):
        sizes = chance.integers(FEWEST_SAMPLES, most + 1, _AT_ONCE)
        drawn = chance.integers(0, len(residuals), (_AT_ONCE, most))
        inside = np.arange(most) < sizes[:, None]
        sums = np.einsum("wsc,ws->wc", residuals[drawn], inside.astype(np.float64))
        found.append(sums[:, :-1] / sums[:, -1:])
    return np.concatenate(found)


def alarm_threshold(samples: Sequence[AgreementSample]) -> float:
    """The mean SSIM of measurable samples below which the student is damaged.

    It is used where a card holds no threshold of the residual ratio. It is the smallest of

    - mean - 4 * deviation / sqrt(5): four standard errors of the shortest window, which chance
      alone crosses about once in 30,000 starts, and longer windows hardly ever;
    - the mean of the five lowest samples: no window of healthy validation images is lower, even
      where a folder holds nothing but the hardest kind and samples are not independent;
    - (mean + no-op mean) / 2: users' images differ more from validation images than those do
      from each other, so however small the spread, half the lead over doing nothing is left.

    Rounded down to four digits.

    Args:
        samples: of a healthy student on validation images, at least five.

    Raises:
        UsageError: there are fewer.
    """
    if len(samples) < FEWEST_SAMPLES:
        raise UsageError(
            f"an alarm threshold needs {FEWEST_SAMPLES} validation images, not {len(samples)}"
        )
    values = sorted(sample.student for sample in samples)
    mean = statistics.fmean(values)
    noop = statistics.fmean(sample.noop for sample in samples)
    threshold = min(
        mean - STANDARD_ERRORS * statistics.stdev(values) / FEWEST_SAMPLES**0.5,
        statistics.fmean(values[:FEWEST_SAMPLES]),
        (mean + noop) / 2,
    )
    return int(max(threshold, 0.0) * 10_000) / 10_000
