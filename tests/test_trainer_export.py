"""The alarm line: a healthy student stays above it, a damaged one falls below."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpend.agreement import SecondOpinion
from sharpend.alarm import AgreementAlarm, AlarmOptions
from sharpend.errors import UnavailableError, UsageError
from sharpend.job import AgreementSample
from sharpend.model import weights
from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.runtime import Placement
from sharpend.model.weights import Card, Weights, save_network
from sharpend.sharpener import Sharpener
from trainer.dataset import write_picture
from trainer.export import agreement_samples, alarm_line, with_evaluation, with_teacher
from trainer.modelcard import model_card
from trainer.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

RECORD = Record("run", ({"step": 2, "minutes": 0.1, "psnr": 20.0, "ssim": 0.5},))
CPU = Placement("cpu", "float32", threads=1)


def scene(seed: int) -> NDArray[np.uint8]:
    """A picture of 64 x 72 pixels with edges."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    return coarse.repeat(8, axis=0).repeat(9, axis=1).astype(np.uint8)


def pair(tmp_path: Path) -> tuple[Path, StudentNet]:
    """A teacher that clearly changes pictures, and a student that is nearly the same network."""
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


def alarmed(samples: Iterable[AgreementSample], line: float | None) -> bool:
    """Whether the daemon's alarm is raised at any of these samples."""
    alarm = AgreementAlarm(AlarmOptions(below=line))
    raised = False
    for sample in samples:
        alarm.add(sample)
        raised = raised or alarm.low
    return raised


def test_a_healthy_student_is_quiet_and_a_damaged_one_alarms(tmp_path: Path) -> None:
    """Measured as the daemon measures, on pictures that the line was not drawn from."""
    teacher, student = pair(tmp_path)
    originals = []
    for seed in range(8):
        originals.append(tmp_path / f"{seed}.png")
        write_picture(scene(seed), originals[-1])
    card = with_teacher(as_weights(student), str(teacher), originals, CPU, crop_px=64)
    assert card.teacher == "large"
    assert card.alarm_below is not None
    opinion = SecondOpinion(replace(card, teacher=str(teacher)), CPU)
    unseen = [scene(seed) for seed in range(100, 108)]

    def samples() -> list[AgreementSample]:
        return agreement_samples(Sharpener(as_weights(student), CPU), opinion, unseen, crop_px=64)

    assert not alarmed(samples(), card.alarm_below)
    with torch.no_grad():
        student.tail.weight.copy_(student.tail.weight.roll(5, 0))
    assert alarmed(samples(), card.alarm_below)
    with torch.no_grad():
        student.tail.weight.zero_()
        student.tail.bias.zero_()  # type: ignore[union-attr,unused-ignore]
    assert alarmed(samples(), None), "a student that does nothing agrees as much as doing nothing"


SAMPLES = st.lists(
    st.tuples(st.floats(0.2, 1.0), st.floats(0.2, 1.0)).map(
        lambda pair: AgreementSample(student=max(pair), noop=min(pair))
    ),
    min_size=5,
    max_size=40,
)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_no_window_of_the_validation_pictures_is_below_the_line(
    samples: list[AgreementSample], chance: object
) -> None:
    """In whatever order they come, a healthy student's own samples do not cross its line."""
    line = alarm_line(samples)
    chance.shuffle(samples)  # type: ignore[attr-defined]
    alarm = AgreementAlarm(AlarmOptions(below=line))
    for sample in samples:
        alarm.add(sample)
        assert not (alarm.low and (alarm.rolling or 0) > (alarm.rolling_noop or 0) + 1e-9)


def test_the_line_leaves_half_the_lead_over_doing_nothing() -> None:
    """With hardly any spread the line stands midway between student and no-op."""
    samples = [AgreementSample(student=0.98 + i * 1e-6, noop=0.94) for i in range(20)]
    assert alarm_line(samples) == pytest.approx(0.96, abs=2e-4)


def test_the_line_is_four_standard_errors_of_the_shortest_window() -> None:
    """With a wide spread the deviation decides."""
    values = [0.9, 0.92] * 20
    samples = [AgreementSample(student=value, noop=0.9) for value in values]
    expected = 0.91 - 4 * float(np.std(values, ddof=1)) / 5**0.5
    assert expected < 0.9
    assert alarm_line(samples) == pytest.approx(expected, abs=1e-4)


def test_too_few_samples_draw_no_line() -> None:
    """The daemon judges no window below five samples, so a line needs as many."""
    with pytest.raises(UsageError, match="at least 5"):
        alarm_line([AgreementSample(0.9, 0.8)] * 4)


def test_a_teacher_of_another_softening_is_refused(tmp_path: Path) -> None:
    """Student and teacher must undo the same."""
    teacher, student = pair(tmp_path)
    other = as_weights(student)
    card = replace(other.card, softened_by=2)
    with pytest.raises(UnavailableError, match="softening by 4"):
        with_teacher(replace(other, card=card), str(teacher), [], CPU, crop_px=64)


@pytest.mark.parametrize(
    "content", [[], {}, {"models": 3}, {"models": {"n": {"digest": "d"}}, "sets": {"s": {}}}]
)
def test_scores_that_evaluate_did_not_write_are_refused(content: object) -> None:
    """Numbers go into a card only from the evaluation's own file."""
    with pytest.raises(UsageError, match="not what `trainer evaluate` writes"):
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
