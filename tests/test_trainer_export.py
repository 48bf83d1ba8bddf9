"""The export: what a card says was measured, and its lines tell a healthy student from others."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.agreement.alarm import AgreementAlarm, AlarmOptions
from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.weights import Card, Weights, save_network
from trainer.evaluation.agreement.samples import HEALTHY, measure_samples, student_of
from trainer.publishing.model_card import model_card
from trainer.publishing.weights_card import with_evaluation, with_teacher
from trainer.training.dataset import write_image
from trainer.training.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from sharpend.attempt import AgreementSample

RECORD = Record("run", ({"step": 2, "minutes": 0.1, "psnr": 20.0, "ssim": 0.5},))
CPU = Placement("cpu", "float32", threads=1)


def scene(seed: int) -> NDArray[np.uint8]:
    """An image of 64 x 72 pixels with edges."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    return coarse.repeat(8, axis=0).repeat(9, axis=1).astype(np.uint8)


def pair(tmp_path: Path) -> tuple[Path, StudentNet]:
    """A teacher that clearly changes images, and a student that is nearly the same model."""
    torch.manual_seed(0)
    teacher = TeacherNet(8, 1)
    with torch.no_grad():
        teacher.tail.weight.mul_(12)
    student = StudentNet(8, 1)
    student.load_state_dict(teacher.state_dict())
    with torch.no_grad():
        for values in student.parameters():
            values.mul_(1 + 0.1 * torch.randn_like(values))
    path = tmp_path / "large.safetensors"
    save_network(path, teacher, Card("large", "teacher", 8, 1, teacher.halo_px))
    return path, student


def as_weights(network: StudentNet) -> Weights:
    """A student with a plain card."""
    card = Card("small", "student", 8, 1, network.halo_px)
    return Weights(network, card, weights.digest(network.state_dict()))


def alarmed(samples: Iterable[AgreementSample], options: AlarmOptions) -> bool:
    """Whether the daemon's alarm is raised at any of these samples."""
    alarm = AgreementAlarm(options)
    return any(alarm.add(sample) and alarm.low for sample in samples)


@pytest.mark.slow
def test_a_healthy_student_is_quiet_and_a_damaged_one_alarms(tmp_path: Path) -> None:
    """Measured as the daemon measures, on images that the line was not drawn from."""
    teacher, student = pair(tmp_path)
    originals = []
    for seed in range(8):
        originals.append(tmp_path / f"{seed}.png")
        write_image(scene(seed), originals[-1])
    card = with_teacher(as_weights(student), str(teacher), originals, CPU, crop_px=64)
    assert card.teacher == "large"
    assert card.alarm_below is not None
    assert card.residual_above is not None
    assert card.measurable_from is not None
    rests_on = card.scores["agreement"]
    assert isinstance(rests_on, dict)
    assert rests_on["residual"]["healthy_quantile"]["mixed"] < card.residual_above
    opinion = SecondOpinion(replace(card, teacher=str(teacher)), CPU)
    unseen = [scene(seed) for seed in range(100, 108)]
    options = AlarmOptions(residual_above=card.residual_above, measurable_from=card.measurable_from)

    def samples() -> list[AgreementSample]:
        kinds = {"x4": partial(degrade, factor=4)}
        run = student_of(as_weights(student), CPU)
        return measure_samples(run, opinion, unseen, kinds, crop_px=64)[HEALTHY]["x4"]

    assert not alarmed(samples(), options)
    with torch.no_grad():
        student.tail.weight.copy_(student.tail.weight.roll(5, 0))
    assert alarmed(samples(), options)
    with torch.no_grad():
        student.tail.weight.zero_()
        student.tail.bias.zero_()  # type: ignore[union-attr,unused-ignore]
    nothing = AlarmOptions(measurable_from=0.0)
    assert alarmed(samples(), nothing), "a student that does nothing is no better than that"


def test_a_teacher_of_another_softening_is_refused(tmp_path: Path) -> None:
    """Student and teacher must undo the same."""
    teacher, student = pair(tmp_path)
    other = as_weights(student)
    card = replace(other.card, softened_by=2)
    with pytest.raises(UnavailableError, match="another softening: bicubic, factor 4"):
        with_teacher(replace(other, card=card), str(teacher), [], CPU, crop_px=64)


def test_a_teacher_of_another_mixture_of_photographs_is_taken(tmp_path: Path) -> None:
    """Mixtures differ in shares; only the number of images is at fault here."""
    teacher, student = pair(tmp_path)
    network = weights.load(str(teacher)).network
    card = Card("large", "teacher", 8, 1, network.halo_px, degradation="photo")
    save_network(teacher, network, card)
    other = as_weights(student)
    card = replace(other.card, degradation="photo-slight")
    with pytest.raises(UsageError, match="images"):
        with_teacher(replace(other, card=card), str(teacher), [], CPU, crop_px=64)


@pytest.mark.parametrize(
    "content", [[], {}, {"models": 3}, {"models": {"n": {"digest": "d"}}, "sets": {"s": {}}}]
)
def test_scores_that_evaluate_did_not_write_are_refused(content: object) -> None:
    """Numbers go into a card only from the evaluation's own file."""
    with pytest.raises(UsageError, match=r"not an evaluation\.json of `trainer evaluate`"):
        with_evaluation(Card("n", "student", 4, 1, 16), "d", content)  # type: ignore[arg-type]


def test_the_front_matter_is_closed_and_quotes_names() -> None:
    """Names with colons or quotes cannot break the YAML."""
    network = StudentNet(4, 1)
    card = Card("n", "student", 4, 1, 16, license='a: "b"', data="d", recipe={"loss": {"x": 1}})
    text = model_card(Weights(network, card, "d" * 64), ["set: one"], "e" * 64, RECORD)
    front, body = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert 'license: "a: \\"b\\""' in front
    assert '- "set: one"' in front
    assert "{" not in body.replace('{"x": 1}', "")
