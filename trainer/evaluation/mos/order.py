"""Order of trials: training first, then the trials of one rater at random, by seed and rater.

Two trials of one image do not follow each other as far as the draw allows (P.910), and which
image of a pair comes first is drawn anew for every rater.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluation.mos.protocol import Method

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trainer.evaluation.mos.study import Study


@dataclass(frozen=True, slots=True)
class Trial:
    """One page of a rater: an image, or two.

    Attributes:
        stimuli: the id that is rated, or (first, second) of a pair.
        training: the vote does not count.
    """

    stimuli: tuple[str, ...]
    training: bool = False

    @property
    def method(self) -> Method:
        """The method, by the number of images."""
        return Method.ACR if len(self.stimuli) == 1 else Method.CCR


def trials_of(study: Study, rater: str) -> list[Trial]:
    """List the trials of a rater in order: training, single images, pairs.

    The result depends on the study and the rater's id alone, so it stays after a restart.
    """
    chance = np.random.default_rng(_seed(f"{study.seed}:{rater}"))
    single = [Trial((one,)) for one in study.acr]
    pairs = [Trial(_turned(pair, chance)) for pair in study.ccr]
    training = [Trial(ids, training=True) for ids in study.training]
    return [
        *training,
        *_spread(study, _shuffled(single, chance)),
        *_spread(study, _shuffled(pairs, chance)),
    ]


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _turned(pair: tuple[str, str], chance: np.random.Generator) -> tuple[str, str]:
    first, second = pair
    return (second, first) if chance.integers(2) else (first, second)


def _shuffled(trials: Sequence[Trial], chance: np.random.Generator) -> list[Trial]:
    return [trials[int(at)] for at in chance.permutation(len(trials))]


def _spread(study: Study, trials: Iterable[Trial]) -> list[Trial]:
    """Keep the order, but take the first trial whose image is not that of the one before it."""
    waiting, done = list(trials), list[Trial]()
    before = ""
    while waiting:
        at = next((n for n, one in enumerate(waiting) if _image(study, one) != before), 0)
        done.append(waiting.pop(at))
        before = _image(study, done[-1])
    return done


def _image(study: Study, trial: Trial) -> str:
    return study.contents[study.stimuli[trial.stimuli[0]].content].image
