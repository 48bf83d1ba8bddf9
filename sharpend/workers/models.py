"""Models of a worker process: each is loaded at its first use, and stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.agreement.opinion import SecondOpinion, Student
from sharpend.model import weights
from sharpend.model.precision import place
from sharpend.model.shipped import find

if TYPE_CHECKING:
    from sharpend.model.device import Placement
    from sharpend.model.sharpener import Sharpener
    from sharpend.model.trial import Trial


class Models:
    """Models and their teachers on one device, by name or path."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._sharpeners: dict[str, Sharpener] = {}
        self._opinions: dict[str | None, SecondOpinion] = {}
        """By the teacher's digest: several students may share one."""

    def follow(self, trial: Trial) -> None:
        """Take the answer of another worker's trial for models that are not loaded yet."""
        self._placement = replace(self._placement, trials=(trial, *self._placement.trials))

    def sharpener(self, model: str) -> Sharpener:
        """Return the model of this name or path, loaded at its first use.

        Raises:
            UnavailableError: it cannot be loaded, or the device is not there.
        """
        if model not in self._sharpeners:
            self._sharpeners[model] = place(weights.load(model), self._placement)
        return self._sharpeners[model]

    def opinion(self, model: str) -> SecondOpinion:
        """Return the teacher of a student, loaded at its first use.

        Raises:
            UnavailableError: there is none, or not the right one.
        """
        card = self.sharpener(model).card
        if card.teacher_digest not in self._opinions:
            # An out-of-memory student has shrunk its tile for its own model only.
            opinion = SecondOpinion(card, self._placement, beside=find(model).parent)
            self._opinions[card.teacher_digest] = opinion
        return self._opinions[card.teacher_digest]

    def student(self, model: str) -> Student:
        """Return a model with its teacher; errors as of both."""
        return Student(self.sharpener(model), self.opinion(model))
