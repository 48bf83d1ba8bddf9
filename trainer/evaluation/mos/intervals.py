"""Confidence intervals of mean opinion scores: by item, and over raters and images together.

Owns both methods. An item's interval is for the mean of all people on this very item. A condition's
interval is for the mean of all people on all images of this sort, so that both are resampled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, stdtrit

from trainer.evaluation.scores import LEVEL, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

RESAMPLES = 4000
_AT_ONCE = 500
_SEED = 0
_TAIL = (1 - LEVEL) / 2


def student_interval(values: Scores) -> Estimate:
    """The mean of the votes on one item, with its interval by Student's t (P.910, BT.500-15).

    Args:
        values: one a rater; what is not a number is left out.

    Returns:
        Bounds are not numbers where there are fewer than two votes.
    """
    votes = values[np.isfinite(values)]
    if votes.size == 0:
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(votes.mean())
    if votes.size == 1:
        return Estimate(mean, math.nan, math.nan)
    half = _t_quantile(votes.size - 1) * float(votes.std(ddof=1)) / math.sqrt(votes.size)
    return Estimate(mean, mean - half, mean + half)


def bootstrap(values: Scores) -> list[Estimate]:
    """Means with intervals over raters and images together.

    Both are drawn with replacement, independently (Owen 2007, "The pigeonhole bootstrap"; its
    intervals are a little too wide rather than too narrow). The quantiles of few raters or images
    are taken further out, as Student's t is wider than the normal distribution (Hesterberg 2015,
    "What teachers should know about the bootstrap", expanded percentiles), by the smaller of both
    numbers. With one image the interval is over raters alone.

    Args:
        values: raters x images x figures; what is not a number is left out.

    Returns:
        One for each figure. Bounds are not numbers where there are fewer than two raters.
    """
    raters, images = values.shape[:2]
    there = np.isfinite(values)
    counted = np.where(there, values, 0.0)
    ones = np.ones((1, raters)), np.ones((1, images))
    means = _weighted(counted, there, *ones)[0]
    if raters < 2:  # noqa: PLR2004 - one rater has no interval
        return [Estimate(float(mean), math.nan, math.nan) for mean in means]
    chance = np.random.default_rng(_SEED)
    drawn = [
        _weighted(counted, there, _draws(chance, raters), _draws(chance, images))
        for _ in range(RESAMPLES // _AT_ONCE)
    ]
    tail = _expanded_tail(min(raters, images) if images > 1 else raters)
    ends = np.nanquantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)
    return [
        Estimate(float(mean), float(low), float(high))
        for mean, (low, high) in zip(means, ends.T, strict=True)
    ]


def _draws(chance: np.random.Generator, count: int) -> Scores:
    """Draw weights: the times that each of `count` is drawn, _AT_ONCE x count."""
    return chance.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE).astype(np.float64)


def _weighted(values: Scores, there: NDArray[np.bool_], raters: Scores, images: Scores) -> Scores:
    """Means under weights, draws x figures: of each image over raters, then over images.

    An image without any vote in a draw is left out of it, so that missing votes shift no mean.
    """
    flat = values.shape[0], -1
    shape = len(raters), *values.shape[1:]
    sums = (raters @ values.reshape(flat)).reshape(shape)
    counts = (raters @ there.reshape(flat).astype(np.float64)).reshape(shape)
    rated = counts > 0
    means = np.divide(sums, counts, out=np.zeros(shape), where=rated)
    weights = images[:, :, None] * rated
    total = weights.sum(axis=1)
    whole = (means * weights).sum(axis=1)
    found: Scores = np.divide(whole, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found


def _expanded_tail(count: int) -> float:
    """The share below the lower end, so that it is as far out as Student's t."""
    far = math.sqrt(count / (count - 1)) * _t_quantile(count - 1)
    return float(ndtr(-far))


def _t_quantile(freedom: int) -> float:
    return float(-stdtrit(freedom, _TAIL))
