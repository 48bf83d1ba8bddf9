"""Screening of raters by the rules that the study fixed before the first vote.

Owns the order of the rules: those on a rater alone first, then the correlation with the others,
which leaves out one rater at a time, the least correlated first, until all who remain pass (P.913).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluation.mos.ratings import mean_over
from trainer.evaluation.mos.study import DEGRADED, ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.evaluation.mos.protocol import ScreeningRules
    from trainer.evaluation.mos.ratings import Ratings, Scores
    from trainer.evaluation.mos.study import Study

_FEWEST_TO_CORRELATE = 3
"""Raters below which nobody is compared with the others."""


@dataclass(frozen=True, slots=True)
class Screened:
    """The judgement of one rater.

    Attributes:
        rater: the id.
        share: of the trials that have a vote.
        correlation_stimuli: correlation with the mean of the others, over stimuli; None where there
            are too few raters.
        correlation_conditions: the same correlation of means over contents.
        reference_gain: mean vote for the hidden reference less that for the degraded image.
        control: mean of the absolute votes on pairs of equal images.
        same_share: share of the most frequent ACR score.
        reasons: rules that the rater breaks; none keeps the rater.
    """

    rater: str
    share: float
    correlation_stimuli: float | None
    correlation_conditions: float | None
    reference_gain: float
    control: float
    same_share: float
    reasons: tuple[str, ...]


def screen(study: Study, ratings: Ratings) -> list[Screened]:
    """Judge every rater.

    Args:
        study: with the rules.
        ratings: of all raters.

    Returns:
        One judgement a rater, in the order of `ratings.raters`. Correlations are with the mean of
        those that are kept, the rater left out.
    """
    alone = [_alone(study, ratings, at) for at in range(len(ratings.raters))]
    reasons = [_broken(study.rules, one) for one in alone]
    conditions = _by_condition(study, ratings.acr)
    kept = [at for at, broken in enumerate(reasons) if not broken]
    while len(kept) >= _FEWEST_TO_CORRELATE:
        found = {at: _correlations(ratings.acr, conditions, at, kept) for at in kept}
        failing = [at for at in kept if _is_uncorrelated(study.rules, *found[at])]
        if not failing:
            break
        worst = min(failing, key=lambda at: found[at])
        reasons[worst] = ("does not agree with the others",)
        kept.remove(worst)
    return [
        _judged(ratings.raters[at], alone[at], reasons[at], ratings.acr, conditions, (at, kept))
        for at in range(len(ratings.raters))
    ]


@dataclass(frozen=True, slots=True)
class _Alone:
    """Figures of a rater that need no other."""

    share: float
    reference_gain: float
    control: float
    same_share: float


def _alone(study: Study, ratings: Ratings, at: int) -> _Alone:
    acr, ccr = ratings.acr[at], ratings.ccr[at]
    voted = int(np.isfinite(acr).sum() + np.isfinite(ccr).sum())
    means = dict(zip(study.conditions, _by_condition(study, acr[None])[0], strict=True))
    controls = ccr[[first == second for first, second in study.ccr]]
    scores = acr[np.isfinite(acr)]
    most = np.unique(scores, return_counts=True)[1].max() if scores.size else 0
    return _Alone(
        share=voted / study.trials,
        reference_gain=float(means[ORIGINAL] - means[DEGRADED]),
        control=_mean(np.abs(controls)),
        same_share=float(most / max(1, scores.size)),
    )


def _broken(rules: ScreeningRules, one: _Alone) -> tuple[str, ...]:
    if one.share < rules.least_share:
        return ("is not finished",)
    broken = {
        "gives one score almost always": one.same_share > rules.most_same_share,
        "rates the hidden reference no better than the degraded image": (
            one.reference_gain <= rules.least_reference_gain
        ),
        "finds equal images different": one.control > rules.most_control,
    }
    return tuple(reason for reason, is_broken in broken.items() if is_broken)


def _is_uncorrelated(rules: ScreeningRules, stimuli: float, conditions: float) -> bool:
    return (
        stimuli < rules.least_correlation_stimuli
        and conditions < rules.least_correlation_conditions
    )


def _judged(
    rater: str,
    alone: _Alone,
    reasons: tuple[str, ...],
    acr: Scores,
    conditions: Scores,
    place: tuple[int, Sequence[int]],
) -> Screened:
    at, kept = place
    found: tuple[float | None, float | None] = (None, None)
    if len({*kept, at}) >= _FEWEST_TO_CORRELATE:
        found = _correlations(acr, conditions, at, kept)
    return Screened(
        rater, alone.share, *found, alone.reference_gain, alone.control, alone.same_share, reasons
    )


def _correlations(
    acr: Scores, conditions: Scores, at: int, kept: Sequence[int]
) -> tuple[float, float]:
    """Correlations of one rater with the mean of the others, over stimuli and conditions."""
    others = [other for other in kept if other != at]
    return (
        _pearson(acr[at], mean_over(acr[others], 0)),
        _pearson(conditions[at], mean_over(conditions[others], 0)),
    )


def _pearson(one: Scores, other: Scores) -> float:
    """Pearson's correlation where both have a value; 0 where one does not vary."""
    both = np.isfinite(one) & np.isfinite(other)
    first, second = (values[both] - _mean(values[both]) for values in (one, other))
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def _by_condition(study: Study, acr: Scores) -> Scores:
    """Means over contents: raters x conditions."""
    names = [study.stimuli[one].condition for one in study.acr]
    columns = [
        mean_over(acr[:, [name == condition for name in names]], 1)
        for condition in study.conditions
    ]
    return np.stack(columns, axis=1)


def _mean(values: Scores) -> float:
    return float(mean_over(values, 0))
