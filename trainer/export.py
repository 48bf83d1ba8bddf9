"""From a finished run to what ships: a weights file with its card, and the card for people.

Owns what a card says and the alarm line of a student. Every number in a card was measured: by the
run's own validation, by `trainer evaluate`, or here.
"""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sharpend.agreement import SecondOpinion
from sharpend.alarm import FEWEST_SAMPLES
from sharpend.atomic import replacing
from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.filters import degrade
from sharpend.job import OVERSHOOT
from sharpend.model import weights
from sharpend.model.weights import Card
from sharpend.sharpener import Sharpener
from trainer.dataset import read_picture
from trainer.matrixcard import MATRIX, matrix_of
from trainer.modelcard import model_card
from trainer.table import DEGRADED, UNSHARP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sharpend.job import AgreementSample
    from sharpend.model.networks import SharpeningNetwork
    from sharpend.model.runtime import Placement
    from sharpend.model.weights import Weights
    from trainer.checkpoint import Checkpoint
    from trainer.degradation import Pixels
    from trainer.record import Record

STANDARD_ERRORS = 4


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


def agreement_samples(
    student: Sharpener, opinion: SecondOpinion, originals: Iterable[Pixels], *, crop_px: int
) -> list[AgreementSample]:
    """What the daemon would measure on these pictures, softened, at strength 1.

    Args:
        student: to be judged.
        opinion: its teacher; the crop is chosen by the very code that the daemon runs.
        originals: sharp pictures that were not trained on, H x W x 3 uint8.
        crop_px: side of the crop, `agreement.crop_px` in the daemon's settings.
    """
    samples = []
    for original in originals:
        soft = degrade(original, factor=student.card.softened_by)
        sharp = student.sharpen(soft)
        samples.append(
            opinion.compare(soft, sharp, crop_px=crop_px, strength=1.0, overshoot=OVERSHOOT)
        )
    return [sample for sample in samples if sample is not None]


def alarm_line(samples: Sequence[AgreementSample]) -> float:
    """The agreement below which the daemon's rolling mean means damage.

    The daemon alarms when the mean of its last 5 to 50 samples is below this line, or no better
    than the mean of doing nothing on the same samples. The line is the smallest of

    - mean - 4 * deviation / sqrt(5): four standard errors of the shortest window, which chance
      alone crosses about once in 30,000 starts, and longer windows hardly ever;
    - the mean of the five lowest samples: no window of healthy validation pictures is lower, even
      where a folder holds nothing but the hardest kind and samples are not independent;
    - (mean + no-op mean) / 2: users' pictures differ more from validation pictures than those do
      from each other, so however small the spread, half the lead over doing nothing is left.

    Rounded down to four digits.

    Args:
        samples: of a healthy student on validation pictures, at least five.

    Raises:
        UsageError: there are fewer.
    """
    if len(samples) < FEWEST_SAMPLES:
        raise UsageError(
            f"the alarm line needs at least {FEWEST_SAMPLES} validation pictures, "
            f"not {len(samples)}"
        )
    values = sorted(sample.student for sample in samples)
    mean = statistics.fmean(values)
    noop = statistics.fmean(sample.noop for sample in samples)
    line = min(
        mean - STANDARD_ERRORS * statistics.stdev(values) / FEWEST_SAMPLES**0.5,
        statistics.fmean(values[:FEWEST_SAMPLES]),
        (mean + noop) / 2,
    )
    return int(max(line, 0.0) * 10_000) / 10_000


def with_teacher(
    student: Weights, teacher: str, originals: Sequence[Path], placement: Placement, *, crop_px: int
) -> Card:
    """The student's card with its teacher, alarm line and the agreement that it rests on.

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
    if found.card.softened_by != student.card.softened_by:
        raise UnavailableError(f"{teacher}: undoes a softening by {found.card.softened_by}")
    asked = replace(student.card, teacher=teacher, teacher_digest=found.digest)
    opinion = SecondOpinion(asked, placement)
    sharpener = Sharpener(student, placement)
    pictures = (read_picture(path) for path in originals)
    samples = agreement_samples(sharpener, opinion, pictures, crop_px=crop_px)
    measured = {
        "crops": len(samples),
        "crop_px": crop_px,
        "mean": round(statistics.fmean(sample.student for sample in samples), 5),
        "least": round(min(sample.student for sample in samples), 5),
        "noop_mean": round(statistics.fmean(sample.noop for sample in samples), 5),
    }
    return replace(
        asked,
        teacher=found.card.name,
        alarm_below=alarm_line(samples),
        scores={**student.card.scores, "agreement": measured},
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
