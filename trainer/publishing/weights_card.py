"""Export of a run: the weights file with its card, and the model card.

Owns the content of the card; `thresholds` computes the alarm thresholds of a student. Every number
in a card was measured: by the validation of the run, by `trainer evaluate`, or here.
"""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sharpend.agreement.alarm import AlarmOptions
from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import UnavailableError, UsageError
from sharpend.files.atomic import write_atomically
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.weights import Card
from trainer.evaluation.agreement.samples import (
    HALVED,
    HEALTHY,
    KINDS,
    X4_KINDS,
    measure_samples,
    softenings,
    student_of,
)
from trainer.evaluation.agreement.thresholds import alarm_threshold, residual_threshold
from trainer.evaluation.tables import DEGRADED, UNSHARP
from trainer.publishing.matrix_section import MATRIX, matrix_of
from trainer.publishing.model_card import model_card
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sharpend.model.device import Placement
    from sharpend.model.networks import SharpeningNetwork
    from sharpend.model.weights import Weights
    from trainer.evaluation.agreement.samples import Softening, StudentSamples
    from trainer.training.checkpoint import Checkpoint
    from trainer.training.record import Record

MIDDLE_CELL = "g1"
WINDOW = AlarmOptions().window
"""Default of the daemon's `agreement.window`."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Information on a run that its folder does not contain.

    Attributes:
        name: of the model, and of its files.
        license: of the weights, an SPDX identifier or a name.
        data: the images it was trained on, their sources and licences, as Markdown.
        datasets: short names of the data sets, for the front matter.
    """

    name: str
    license: str
    data: str
    datasets: tuple[str, ...] = ()


def card_of(
    state: Checkpoint,
    network: SharpeningNetwork,
    about: RunInfo,
    trained_on: Mapping[str, object],
) -> Card:
    """The card of a run's best checkpoint, without the keys that only students have.

    Args:
        state: the checkpoint.
        network: its moving average, branches folded.
        about: the run.
        trained_on: the run's origin: images, labels, weights to begin with and commit.
    """
    return Card(
        name=about.name,
        kind=network.kind,
        channels=network.channels,
        blocks=network.blocks,
        halo_px=network.halo_px,
        bias_free=network.bias_free,
        cued=network.cued,
        degradation=state.recipe.data.degradation,
        softened_by=state.recipe.data.factor,
        data=about.data,
        license=about.license,
        commit=str(trained_on["commit"]),
        recipe=_recipe(state, trained_on),
        scores={"validation": state.scores},
    )


def _recipe(state: Checkpoint, trained_on: Mapping[str, object]) -> dict[str, object]:
    """The recipe as it ran; without the paths of images and labels."""
    recipe = state.recipe.described()
    for place in ("split", "labels", "pool"):
        del recipe["data"][place]
    reached = {"step": state.step, "minutes": round(state.seconds / 60, 1)}
    return {**recipe, "reached": reached, "trained_on": dict(trained_on)}


def with_evaluation(card: Card, digest: str, evaluation: Mapping[str, Any]) -> Card:
    """Add the rows of this model, the no-op and the mask from evaluation.json to the card.

    Args:
        card: so far.
        digest: of the network's tensors.
        evaluation: the parsed evaluation.json.

    Raises:
        UsageError: it is no such file, or does not contain this model.
    """
    try:
        rows = [row for row, model in evaluation["models"].items() if model["digest"] == digest]
        if not rows:
            raise UsageError(f"--scores: does not contain {card.name}")
        sets = {
            name: {row: one["rows"][row] for row in (DEGRADED, UNSHARP, rows[0])}
            for name, one in evaluation["sets"].items()
        }
        values: dict[str, object] = {**sets, "machine": evaluation["machine"]}
        if rows[0] in evaluation["costs"]:
            values["cost"] = evaluation["costs"][rows[0]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("--scores: not an evaluation.json of `trainer evaluate`") from error
    return replace(card, scores={**card.scores, "evaluation": values})


def with_matrix(card: Card, digest: str, matrix: Mapping[str, Any]) -> Card:
    """Add the part of this model from matrix.json to the card.

    Args:
        card: so far.
        digest: of the network's tensors.
        matrix: the parsed matrix.json.

    Raises:
        UsageError: it is no such file, or does not contain this model.
    """
    return replace(card, scores={**card.scores, MATRIX: matrix_of(matrix, digest)})


def with_teacher(
    student: Weights, teacher: str, originals: Sequence[Path], placement: Placement, *, crop_px: int
) -> Card:
    """Add the teacher, the alarm thresholds and their figures to the card of a student.

    Args:
        student: the network with the card so far.
        teacher: a shipped teacher's name or the path of its weights file.
        originals: validation images.
        placement: where to measure.
        crop_px: as the daemon's `agreement.crop_px`.

    Raises:
        UnavailableError: the teacher cannot be loaded, or was trained for another softening.
        UsageError: too few validation images.
    """
    found = weights.load(teacher)
    theirs = found.card
    if student.card.undoes_factor != theirs.undoes_factor:  # mixtures of photographs may differ
        raise UnavailableError(
            f"{teacher}: was trained for another softening: {theirs.degradation}, factor"
            f" {theirs.softened_by}"
        )
    asked = replace(student.card, teacher=teacher, teacher_digest=found.digest)
    measured = measure_samples(
        student_of(student, placement),
        SecondOpinion(asked, placement),
        (read_image(path) for path in originals),
        kinds_for(asked),
        crop_px=crop_px,
    )
    return with_thresholds(replace(asked, teacher=found.card.name), measured, crop_px=crop_px)


def kinds_for(card: Card) -> dict[str, Softening]:
    """The kinds of softness that lines rest on; the line of SSIM is of the first one.

    For a model of any softness these are the soft cells of the matrix and sharp images, a Gaussian
    of sigma 1 first; for a model of one factor fewer, its own reduction first.
    """
    if card.undoes_factor is None:
        return softenings((MIDDLE_CELL, *KINDS))
    own: Softening = partial(degrade, factor=card.softened_by)
    return {f"bic{card.softened_by}": own} | softenings(X4_KINDS)


def with_thresholds(
    card: Card, measured: StudentSamples, *, crop_px: int, window: int = WINDOW
) -> Card:
    """Add the alarm thresholds of these samples to the card.

    Args:
        card: a student's.
        measured: its samples, healthy and halved, by kind; the line of SSIM is of the first kind.
        crop_px: side of the crops.
        window: as the daemon's `agreement.window`.

    Raises:
        UsageError: too few samples.
    """
    healthy = measured[HEALTHY]
    meant_for = next(iter(healthy.values()))
    below = alarm_threshold(meant_for)
    threshold = residual_threshold(healthy, measured[HALVED], window=window)
    values = {
        "crops": len(meant_for),
        "crop_px": crop_px,
        "mean": round(statistics.fmean(sample.student for sample in meant_for), 5),
        "least": round(min(sample.student for sample in meant_for), 5),
        "noop_mean": round(statistics.fmean(sample.noop for sample in meant_for), 5),
        "residual": threshold.described() if threshold is not None else {},
    }
    return replace(
        card,
        alarm_below=below,
        residual_above=threshold.above if threshold is not None else None,
        measurable_from=threshold.measurable_from if threshold is not None else None,
        scores={**card.scores, "agreement": values},
    )


def write_weights(
    folder: Path, network: SharpeningNetwork, card: Card, about: RunInfo, record: Record
) -> Weights:
    """Write `<name>.safetensors` and `<name>.md`, and read the weights back.

    Raises:
        UnavailableError: the file does not contain the trained tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.safetensors"
    weights.save_network(path, network, card)
    written = weights.load(str(path))
    if written.digest != weights.digest(network.state_dict()):
        raise UnavailableError(f"{path}: verification failed: the written tensors differ")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = model_card(written, about.datasets, sha256, record)
    write_atomically(folder / f"{card.name}.md", text.encode())
    return written
