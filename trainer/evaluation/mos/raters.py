"""Raters of a running study: who has agreed, and which trial is next for each.

Owns the rule that a vote counts once: only the vote on a rater's next trial is taken. Everything is
read from the file of votes at the start, so that a rater continues after a restart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainer.evaluation.mos.order import trials_of
from trainer.evaluation.mos.votes import Consent, Vote, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.evaluation.mos.order import Trial
    from trainer.evaluation.mos.study import Study
    from trainer.evaluation.mos.votes import Record, Screen, VoteLog

MOST_RATERS = 1000


@dataclass(slots=True)
class Progress:
    """Progress of one rater.

    Attributes:
        trials: all of the rater, in order.
        voted: trials that have a vote.
        withdrawn: wants none of the votes to be used.
    """

    trials: list[Trial]
    voted: int = 0
    withdrawn: bool = field(default=False)

    @property
    def current(self) -> Trial | None:
        """The next trial; None at the end, or after a withdrawal."""
        ended = self.withdrawn or self.voted == len(self.trials)
        return None if ended else self.trials[self.voted]


class Raters:
    """All raters of a study.

    Args:
        study: the study.
        log: its file of votes.
        most: raters that are admitted at most, which bounds file and memory.
        now: seconds since 1970.
    """

    def __init__(
        self,
        study: Study,
        log: VoteLog,
        *,
        most: int = MOST_RATERS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.study = study
        self._log = log
        self._most = most
        self._now = now
        self._progress: dict[str, Progress] = {}
        for record in log.records:
            self._note(record)

    def __len__(self) -> int:
        return len(self._progress)

    def find(self, rater: str) -> Progress | None:
        """The progress of a rater; None before consent."""
        return self._progress.get(rater)

    def admit(self, rater: str) -> bool:
        """Record a rater's consent, once.

        Returns:
            False if the study is full.

        Raises:
            OSError: it could not be written.
        """
        if rater in self._progress:
            return True
        if len(self._progress) >= self._most:
            return False
        self._add(Consent(rater, self.study.digest, self._now()))
        return True

    def vote(self, rater: str, number: int, score: int, screen: Screen) -> bool:
        """Record a vote on the rater's next trial.

        Returns:
            False if `number` is not that trial, as after a double click or on an old page.

        Raises:
            OSError: it could not be written.
        """
        progress = self._progress[rater]
        trial = progress.current
        if trial is None or number != progress.voted:
            return False
        at = self._now()
        self._add(Vote(rater, number, trial.stimuli, score, trial.training, screen, at))
        return True

    def withdraw(self, rater: str) -> None:
        """Record a withdrawal, once.

        Raises:
            OSError: it could not be written.
        """
        if not self._progress[rater].withdrawn:
            self._add(Withdrawal(rater, self._now()))

    def _add(self, record: Record) -> None:
        self._log.append(record)
        self._note(record)

    def _note(self, record: Record) -> None:
        if isinstance(record, Consent):
            self._progress.setdefault(record.rater, Progress(trials_of(self.study, record.rater)))
        elif isinstance(record, Vote):
            self._progress[record.rater].voted += 1
        else:
            self._progress[record.rater].withdrawn = True
