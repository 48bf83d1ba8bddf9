"""Models of an evaluation by row, opened in the order of the rows.

Owns the names of rows: the name of the model, or ROW of ROW=MODEL; each is unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.model.trial import FLOAT32
from trainer.evaluation.sets import split_name
from trainer.training.models import open_model

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sharpend.model.device import Placement
    from trainer.training.models import Model


@dataclass(frozen=True, slots=True)
class Lineup:
    """The models of an evaluation by row, and the arguments they were opened by."""

    models: Mapping[str, Model]
    places: Mapping[str, str]
    student: str | None
    teacher: str | None

    @property
    def precision(self) -> str:
        """Precision of sharpend's own models, as a table shows it; a trial may choose two."""
        ours = {model.precision for model in self.models.values() if model.card is not None}
        return " and ".join(sorted(ours)) or FLOAT32

    @property
    def identities(self) -> dict[str, dict[str, object]]:
        """Name, digest, kind and size of each model, by row."""
        return {row: _identity(model) for row, model in self.models.items()}


@dataclass(frozen=True, slots=True)
class RequestedModels:
    """The models of a command line, each `[ROW=]MODEL`."""

    models: Sequence[str]
    teacher: str | None = None
    pretrained: str | None = None
    student: str | None = None
    """The row that contact sheets show; None takes the first of `models`."""


def open_lineup(
    asked: RequestedModels, where: Placement, *, reserved: Collection[str], crispness: float = 0.0
) -> Lineup:
    """Open every model, in the order of the rows.

    Args:
        asked: the models.
        where: device and precision.
        reserved: names that no row may have.
        crispness: of sharpend's own models, 0..1.

    Raises:
        UsageError: two rows of one name, or `student` is no row.
        UnavailableError, InputMissingError: a model cannot be opened.
    """
    models: dict[str, Model] = {}
    places: dict[str, str] = {}

    def opened(given: str) -> str:
        row, place = split_name(given)
        model = open_model(place, where, crispness=crispness)
        row = row or model.name
        if row in models or row in reserved:
            raise UsageError(f"{given}: another row is named {row}; give ROW=MODEL")
        models[row], places[row] = model, place
        return row

    students = [opened(given) for given in asked.models]
    teacher = opened(asked.teacher) if asked.teacher else None
    if asked.pretrained:
        opened(asked.pretrained)
    student = asked.student or next(iter(students), None)
    if student and student not in models:
        raise UsageError(f"--student: no row is named {student}; rows are {', '.join(models)}")
    return Lineup(models, places, student, teacher)


def _identity(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "digest": model.digest,
        "kind": model.kind,
        "parameters": model.parameters,
    }
