"""Results of a study as plain values: scores of conditions, pairs and items, and the raters.

Owns the figures. MOS is the mean of ACR votes; DMOS the mean of a rater's vote less the same
rater's vote for the hidden reference of that content, plus 5 (P.910, ACR-HR, not crushed, so that
above 5 is better than the reference); gain the mean vote less that for the degraded image.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluation.mos.intervals import RESAMPLES, bootstrap, student_interval
from trainer.evaluation.mos.protocol import PILOT_BELOW, Method
from trainer.evaluation.mos.ratings import mean_over
from trainer.evaluation.mos.screening import screen
from trainer.evaluation.mos.study import DEGRADED, ORIGINAL
from trainer.evaluation.scores import LEVEL
from trainer.evaluation.tables import finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trainer.evaluation.mos.ratings import Ratings, Scores
    from trainer.evaluation.mos.study import Study
    from trainer.evaluation.mos.votes import Vote
    from trainer.evaluation.scores import Estimate

_HIGHEST = 5


def results_of(study: Study, ratings: Ratings) -> dict[str, Any]:
    """Screen the raters, and compute every figure of those that are kept.

    Args:
        study: what was rated.
        ratings: of at least one rater.
    """
    screened = screen(study, ratings)
    places = [at for at, one in enumerate(screened) if not one.reasons]
    kept = ratings.only(places)
    figures = _figures(study, kept) if places else {"conditions": [], "pairs": [], "items": []}
    rated = [one for one in study.contents if not one.training]
    return {
        "study": {"title": study.title, "digest": study.digest},
        "conditions_of_study": dict(study.conditions),
        "images": len({one.image for one in rated}),
        "kinds": list(dict.fromkeys(one.kind for one in rated)),
        "raters": {
            "kept": len(places),
            "screened": len(screened) - len(places),
            "withdrawn": ratings.withdrawn,
            "pilot": len(places) < PILOT_BELOW,
            "each": [finite(asdict(one)) for one in screened],
            "rules": asdict(study.rules),
        },
        "interval": {
            "level": LEVEL,
            "items": "Student's t over raters",
            "conditions": f"bootstrap over raters and images, {RESAMPLES} resamples",
        },
        "seen": _viewing(study, kept),
        **figures,
    }


def _figures(study: Study, ratings: Ratings) -> dict[str, Any]:
    votes = _by_content(study, ratings)
    return {
        "conditions": _conditions(study, votes),
        "pairs": _pairs(study, ratings),
        "items": _items(study, votes),
    }


def _by_content(study: Study, ratings: Ratings) -> Scores:
    """ACR votes as raters x contents x conditions; training contents have none."""
    names = list(study.conditions)
    votes = np.full((len(ratings.raters), len(study.contents), len(names)), np.nan)
    for at, one in enumerate(study.acr):
        stimulus = study.stimuli[one]
        votes[:, stimulus.content, names.index(stimulus.condition)] = ratings.acr[:, at]
    return votes


def _conditions(study: Study, votes: Scores) -> list[dict[str, Any]]:
    """MOS, DMOS and gain of each condition, of all kinds and of each."""
    kinds = list(dict.fromkeys(one.kind for one in study.contents if not one.training))
    rows = {name: {"condition": name} for name in study.conditions}
    found: dict[str, dict[str, Any]] = {name: {**row, "kinds": {}} for name, row in rows.items()}
    for name, figures in _of_kinds(study, votes, kinds).items():
        found[name] |= figures
    for kind in kinds if len(kinds) > 1 else []:
        for name, figures in _of_kinds(study, votes, [kind]).items():
            found[name]["kinds"][kind] = figures
    return sorted(found.values(), key=lambda one: -one["mos"]["mean"])


def _of_kinds(study: Study, votes: Scores, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Figures of each condition over the contents of some kinds."""
    names = list(study.conditions)
    reference, degraded = (votes[:, :, [names.index(one)]] for one in (ORIGINAL, DEGRADED))
    parts = {"mos": votes, "dmos": votes - reference + _HIGHEST, "gain": votes - degraded}
    values = _by_image(study, np.concatenate(list(parts.values()), axis=2), kinds)
    estimates = iter(bootstrap(values))
    by_part = {part: [_interval_values(next(estimates)) for _ in names] for part in parts}
    found: dict[str, dict[str, Any]] = {}
    for at, name in enumerate(names):
        found[name] = {part: by_part[part][at] for part in parts}
        found[name]["votes"] = int(np.isfinite(_of(study, votes, kinds)[:, :, at]).sum())
        if name == ORIGINAL:
            found[name]["dmos"] = None
        if name == DEGRADED:
            found[name]["gain"] = None
    return found


def _of(study: Study, values: Scores, kinds: Sequence[str]) -> Scores:
    chosen = [not one.training and one.kind in kinds for one in study.contents]
    return values[:, chosen]


def _by_image(study: Study, values: Scores, kinds: Sequence[str]) -> Scores:
    """Means of a rater over the kinds of one image: raters x images x figures.

    The kinds of one image are not independent, so that images are drawn, not contents.
    """
    images: dict[str, list[int]] = {}
    for at, one in enumerate(study.contents):
        if not one.training and one.kind in kinds:
            images.setdefault(one.image, []).append(at)
    return np.stack([mean_over(values[:, own], 1) for own in images.values()], axis=1)


def _pairs(study: Study, ratings: Ratings) -> list[dict[str, Any]]:
    """Mean CCR score of each condition compared with each other one, by the better first."""
    names = [name for name in study.conditions if name != ORIGINAL]
    shape = len(ratings.raters), len(study.contents)
    found = []
    for one, other in combinations(names, 2):
        votes = np.full(shape, np.nan)
        for at, (first, second) in enumerate(study.ccr):
            ours, theirs = study.stimuli[first], study.stimuli[second]
            if (ours.condition, theirs.condition) == (one, other):
                votes[:, ours.content] = ratings.ccr[:, at]
        if np.isfinite(votes).any():
            kinds = [content.kind for content in study.contents]
            mean = bootstrap(_by_image(study, votes[:, :, None], kinds))[0]
            found.append(_pair(one, other, mean, int(np.isfinite(votes).sum())))
    return sorted(found, key=lambda pair: -pair["score"]["mean"])


def _pair(one: str, other: str, mean: Estimate, votes: int) -> dict[str, Any]:
    """A pair in the order better, worse."""
    by_part = _interval_values(mean)
    if mean.mean >= 0:
        return {"condition": other, "compared_with": one, "score": by_part, "votes": votes}
    turned = {"mean": -mean.mean, "low": _turned(by_part["high"]), "high": _turned(by_part["low"])}
    return {"condition": one, "compared_with": other, "score": turned, "votes": votes}


def _turned(value: float | None) -> float | None:
    return None if value is None else -value


def _items(study: Study, votes: Scores) -> list[dict[str, Any]]:
    """MOS and DMOS of every stimulus, with intervals by Student's t."""
    names = list(study.conditions)
    reference = votes[:, :, names.index(ORIGINAL)]
    found = []
    for one in study.acr:
        stimulus = study.stimuli[one]
        content = study.contents[stimulus.content]
        own = votes[:, stimulus.content, names.index(stimulus.condition)]
        against = own - reference[:, stimulus.content] + _HIGHEST
        found.append(
            {
                "stimulus": one,
                "image": content.image,
                "kind": content.kind,
                "condition": stimulus.condition,
                "votes": int(np.isfinite(own).sum()),
                "mos": _interval_values(student_interval(own)),
                "dmos": None
                if stimulus.condition == ORIGINAL
                else _interval_values(student_interval(against)),
            }
        )
    return found


def _viewing(study: Study, ratings: Ratings) -> dict[str, Any]:
    """Conditions under which the votes were given."""
    votes = ratings.votes
    return {
        "votes": {method.value: sum(vote.method is method for vote in votes) for method in Method},
        "median_shown_ms": _median(vote.screen.shown_ms for vote in votes),
        "device_pixel_ratios": sorted({round(vote.screen.dpr, 2) for vote in votes}),
        "window_too_small": sum(_is_too_small(study, vote) for vote in votes),
    }


def _median(values: Iterable[int]) -> float | None:
    there = list(values)
    return float(np.median(there)) if there else None


def _is_too_small(study: Study, vote: Vote) -> bool:
    """True if an image did not fit into the window at one image pixel to a device pixel."""
    screen = vote.screen
    shown = [study.stimuli[one] for one in vote.stimuli]
    return any(
        one.width > screen.width * screen.dpr + 1 or one.height > screen.height * screen.dpr + 1
        for one in shown
    )


def _interval_values(estimate: Estimate) -> dict[str, Any]:
    values: dict[str, Any] = finite(asdict(estimate))
    return values
