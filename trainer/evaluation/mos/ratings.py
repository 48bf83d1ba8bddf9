"""Votes as arrays: raters by stimuli and raters by pairs.

Owns which votes count: no training, none of raters who have withdrawn. The score of a pair is
turned to the study's own order of the two, whichever was shown first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import UsageError
from trainer.evaluation.mos.protocol import Method
from trainer.evaluation.mos.votes import Consent, Vote, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trainer.evaluation.mos.study import Study
    from trainer.evaluation.mos.votes import Record

    Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratings:
    """All votes that count.

    Attributes:
        raters: their ids, in the order of their consent.
        acr: raters x `study.acr`, 1 to 5; not a number where there is no vote.
        ccr: raters x `study.ccr`, -3 to 3: the second of a pair compared with the first; not a
            number where there is no vote.
        votes: those votes, as recorded.
        withdrawn: raters who have withdrawn.
    """

    raters: tuple[str, ...]
    acr: Scores
    ccr: Scores
    votes: tuple[Vote, ...]
    withdrawn: int

    def only(self, raters: Sequence[int]) -> Ratings:
        """The same with some of the raters, by their places."""
        names = tuple(self.raters[at] for at in raters)
        votes = tuple(vote for vote in self.votes if vote.rater in names)
        chosen = list(raters)
        return Ratings(names, self.acr[chosen], self.ccr[chosen], votes, self.withdrawn)


def ratings_of(study: Study, records: Sequence[Record], *, without: Sequence[str] = ()) -> Ratings:
    """Gather the votes of a study.

    Args:
        study: what was rated.
        records: of its file of votes.
        without: raters who have withdrawn otherwise than on the page.

    Raises:
        UsageError: such a rater is unknown, or a vote is on a stimulus or pair that the study does
            not have.
    """
    agreed = [one.rater for one in records if isinstance(one, Consent)]
    unknown = set(without) - set(agreed)
    if unknown:
        raise UsageError(f"--without {unknown.pop()}: there is no such rater")
    gone = {*without, *(one.rater for one in records if isinstance(one, Withdrawal))}
    raters = {name: at for at, name in enumerate(name for name in agreed if name not in gone)}
    votes = tuple(
        one for one in records if isinstance(one, Vote) and one.rater in raters and not one.training
    )
    single = {one: at for at, one in enumerate(study.acr)}
    pairs = {pair: at for at, pair in enumerate(study.ccr)}
    acr = np.full((len(raters), len(single)), np.nan)
    ccr = np.full((len(raters), len(pairs)), np.nan)
    for vote in votes:
        row, ids = raters[vote.rater], vote.stimuli
        if vote.method is Method.ACR and ids[0] in single:
            acr[row, single[ids[0]]] = vote.score
        elif ids in pairs:
            ccr[row, pairs[ids[0], ids[1]]] = vote.score
        elif ids[::-1] in pairs:
            ccr[row, pairs[ids[1], ids[0]]] = -vote.score
        else:
            raise UsageError(f"vote {vote.trial} of rater {vote.rater} is on no trial of the study")
    return Ratings(tuple(raters), acr, ccr, votes, len(gone))


def mean_over(values: Scores, axis: int) -> Scores:
    """Mean along an axis without missing values; not a number where there is no value."""
    there = np.isfinite(values)
    sums, counts = np.where(there, values, 0.0).sum(axis=axis), there.sum(axis=axis)
    means: Scores = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means
