"""From a finished run to what ships: a weights file with its card, and the card for people.

Owns what a card says; the lines of a student's alarm are drawn in `lines`. Every number in a card
was measured: by the run's own validation, by `trainer evaluate`, or here.
"""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sharpend.agreement import SecondOpinion
from sharpend.alarm import AlarmOptions
from sharpend.atomic import replacing
from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.weights import Card
from trainer.degradations.registry import PHOTO
from trainer.evaluation.agreement.lines import alarm_line, residual_line
from trainer.evaluation.agreement.samples import HALVED, HEALTHY, measure, running
from trainer.evaluation.agreement.softness import CELLED, softenings
from trainer.evaluation.tables import DEGRADED, UNSHARP
from trainer.publishing.matrix_section import MATRIX, matrix_of
from trainer.publishing.model_card import model_card
from trainer.training.dataset import read_picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sharpend.model.networks import SharpeningNetwork
    from sharpend.model.runtime import Placement
    from sharpend.model.weights import Weights
    from trainer.evaluation.agreement.samples import Measured
    from trainer.evaluation.agreement.softness import Softening
    from trainer.training.checkpoint import Checkpoint
    from trainer.training.record import Record

MIDDLE_CELL = "g1"
WINDOW = AlarmOptions().window
"""The daemon's `agreement.window` where nobody sets it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a run cannot know of itself.

    Attributes:
        name: of the network, and of its files.
        license: of the weights, an SPDX identifier or a name.
        data: the pictures it was trained on, their sources and licences, as Markdown.
        datasets: short names of the data sets, for the front matter.
    """

    name: str
    license: str
    data: str
    datasets: tuple[str, ...] = ()


def card_of(
    state: Checkpoint,
    network: SharpeningNetwork,
    about: Provenance,
    trained_on: Mapping[str, object],
) -> Card:
    """The card of a run's best checkpoint, without what only students have.

    Args:
        state: the checkpoint.
        network: what ships: its moving average, branches folded.
        about: the run.
        trained_on: the run's origin: pictures, labels, weights to begin with and commit.
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
    """The recipe as it ran; where pictures and labels lay is nobody's business."""
    recipe = state.recipe.described()
    for place in ("split", "labels", "pool"):
        del recipe["data"][place]
    reached = {"step": state.step, "minutes": round(state.seconds / 60, 1)}
    return {**recipe, "reached": reached, "trained_on": dict(trained_on)}


def with_evaluation(card: Card, digest: str, evaluation: Mapping[str, Any]) -> Card:
    """The card with this network's rows of what `trainer evaluate` wrote, and the no-op's beside.

    Args:
        card: so far.
        digest: of the network's tensors.
        evaluation: the parsed evaluation.json.

    Raises:
        UsageError: it is no such file, or does not measure this network.
    """
    try:
        rows = [row for row, model in evaluation["models"].items() if model["digest"] == digest]
        if not rows:
            raise UsageError(f"--scores: measures other networks than {card.name}")
        sets = {
            name: {row: one["rows"][row] for row in (DEGRADED, UNSHARP, rows[0])}
            for name, one in evaluation["sets"].items()
        }
        told: dict[str, object] = {**sets, "machine": evaluation["machine"]}
        if rows[0] in evaluation["costs"]:
            told["cost"] = evaluation["costs"][rows[0]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("--scores: not what `trainer evaluate` writes") from error
    return replace(card, scores={**card.scores, "evaluation": told})


def with_matrix(card: Card, digest: str, matrix: Mapping[str, Any]) -> Card:
    """The card with this network's part of what `trainer evaluate --matrix` wrote.

    Args:
        card: so far.
        digest: of the network's tensors.
        matrix: the parsed matrix.json.

    Raises:
        UsageError: it is no such file, or does not measure this network.
    """
    return replace(card, scores={**card.scores, MATRIX: matrix_of(matrix, digest)})


def with_teacher(
    student: Weights, teacher: str, originals: Sequence[Path], placement: Placement, *, crop_px: int
) -> Card:
    """The student's card with its teacher, the alarm's lines and what they rest on.

    Args:
        student: the network with the card so far.
        teacher: a shipped teacher's name or the path of its weights file.
        originals: validation pictures.
        placement: where to measure.
        crop_px: as the daemon's `agreement.crop_px`.

    Raises:
        UnavailableError: the teacher cannot be loaded, or undoes another softening.
        UsageError: too few validation pictures.
    """
    found = weights.load(teacher)
    ours, theirs = ((one.degradation, one.softened_by) for one in (student.card, found.card))
    if ours != theirs:
        raise UnavailableError(
            f"{teacher}: undoes another softening: {theirs[0]}, factor {theirs[1]}"
        )
    asked = replace(student.card, teacher=teacher, teacher_digest=found.digest)
    measured = measure(
        running(student, placement),
        SecondOpinion(asked, placement),
        (read_picture(path) for path in originals),
        kinds_for(asked),
        crop_px=crop_px,
    )
    return with_lines(replace(asked, teacher=found.card.name), measured, crop_px=crop_px)


def kinds_for(card: Card) -> dict[str, Softening]:
    """The kinds of softness that lines rest on: first the one that the network is for.

    For a photo network the cells of the matrix, of which the line of SSIM is of sigma 1.
    """
    if card.degradation == PHOTO:
        return {MIDDLE_CELL: CELLED[MIDDLE_CELL], **CELLED}
    own: Softening = partial(degrade, factor=card.softened_by)
    return {f"x{card.softened_by}": own} | softenings()


def with_lines(card: Card, measured: Measured, *, crop_px: int, window: int = WINDOW) -> Card:
    """The card with the lines that these samples draw.

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
    below = alarm_line(meant_for)
    line = residual_line(healthy, measured[HALVED], window=window)
    told = {
        "crops": len(meant_for),
        "crop_px": crop_px,
        "mean": round(statistics.fmean(sample.student for sample in meant_for), 5),
        "least": round(min(sample.student for sample in meant_for), 5),
        "noop_mean": round(statistics.fmean(sample.noop for sample in meant_for), 5),
        "residual": line.described() if line is not None else {},
    }
    return replace(
        card,
        alarm_below=below,
        residual_above=line.above if line is not None else None,
        measurable_from=line.measurable_from if line is not None else None,
        scores={**card.scores, "agreement": told},
    )


def write(
    folder: Path, network: SharpeningNetwork, card: Card, about: Provenance, record: Record
) -> Weights:
    """Write `<name>.safetensors` and `<name>.md`, and read the weights back.

    Raises:
        UnavailableError: what was written is not what was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.safetensors"
    weights.save_network(path, network, card)
    written = weights.load(str(path))
    if written.digest != weights.digest(network.state_dict()):
        raise UnavailableError(f"{path}: reads back differently")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = model_card(written, about.datasets, sha256, record)
    with replacing(folder / f"{card.name}.md") as file:
        file.write(text.encode())
    return written
