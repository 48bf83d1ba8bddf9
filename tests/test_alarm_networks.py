"""The alarm with the shipped models: real images through a worker's pipeline."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from skimage import data

from sharpend.agreement.alarm import FEWEST_SAMPLES, AgreementAlarm, is_measurable
from sharpend.attempt import Staged
from sharpend.daemon import settings_values
from sharpend.files.fingerprint import Fingerprint
from sharpend.imaging.files import save_png
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.shipped import find
from sharpend.settings.schema import Settings
from sharpend.task import Options, Task
from sharpend.workers.loading import LoadedModel
from sharpend.workers.pipeline import Pipeline
from trainer.evaluation.agreement.samples import with_noise

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.attempt import AgreementSample
    from sharpend.model.weights import Card
    from trainer.degradations.mixture import Pixels

pytestmark = pytest.mark.slow
CPU = Placement("cpu", "float32", threads=1)
STUDENTS = ("lite-x4", "base-x4")


def sharp() -> list[Pixels]:
    """Eight sharp images of 200 x 200 with something in them."""
    whole = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]  # type: ignore[no-untyped-call]
    parts = [one[50:250, left : left + 200] for one in whole for left in (0, 200)]
    return [part for part in parts if part.shape == (200, 200, 3)]


def as_set_up(card: Card, home: Path) -> AlarmOptions:
    """The alarm as the daemon sets it up for this card, where nothing is set."""
    told = LoadedModel(card.name, "d", "cpu", 128, card.softened_by, card.alarm_below, card.teacher)
    lines = replace(told, residual_above=card.residual_above, measurable_from=card.measurable_from)
    return settings_values.alarm_options(Settings(state=home / "state"), lines)


def samples(home: Path, model: Path, pictures: list[Pixels]) -> list[AgreementSample]:
    """What a worker measures of these images."""
    pipeline = Pipeline(CPU, crop_px=128)
    for name in ("in", "out"):
        (home / name).mkdir(exist_ok=True)
    found = []
    for number, pixels in enumerate(pictures):
        path = home / "in" / f"{number}.png"
        save_png(pixels, path)
        task = Task(
            job_id=number,
            input_root=os.fsencode(home / "in"),
            output_root=os.fsencode(home / "out"),
            relative=os.fsencode(path.name),
            output_parent=b"",
            temp_name=b".%d.tmp" % number,
            fingerprint=Fingerprint.of(path.lstat()),
            options=Options(str(model)),
            measure_agreement=True,
        )
        outcome = pipeline.run(task)
        assert isinstance(outcome, Staged), outcome
        assert outcome.agreement is not None, outcome.notes
        found.append(outcome.agreement)
    return found


@pytest.fixture(scope="module", params=STUDENTS)
def student(request: pytest.FixtureRequest) -> str:
    """The name of a shipped student."""
    return str(request.param)


@pytest.fixture(scope="module")
def of_sharp(student: str, tmp_path_factory: pytest.TempPathFactory) -> list[AgreementSample]:
    """Samples of the student on sharp images."""
    return samples(tmp_path_factory.mktemp("sharp"), find(student), sharp())


def alarmed_at(options: AlarmOptions, given: list[AgreementSample]) -> int | None:
    """How many samples it took, going round, until the alarm was raised."""
    alarm = AgreementAlarm(options)
    for count in range(1, options.window + 1):
        alarm.add(given[count % len(given)])
        if alarm.low:
            return count
    return None


def test_a_healthy_student_is_quiet_on_sharp_pictures(
    student: str, of_sharp: list[AgreementSample], tmp_path: Path
) -> None:
    """None is measurable; were they, the alarm would be raised by a student that is whole."""
    options = as_set_up(weights.load(student).card, tmp_path)
    assert alarmed_at(options, of_sharp) is None
    assert not any(is_measurable(one, options.measurable_from) for one in of_sharp)
    assert alarmed_at(replace(options, measurable_from=0.0), of_sharp) is not None


def test_a_healthy_student_is_quiet_and_a_dead_one_alarms(
    student: str, of_sharp: list[AgreementSample], tmp_path: Path
) -> None:
    """On a stream of which every other image is sharp: within the window."""
    of_soft = samples(tmp_path, find(student), [degrade(one) for one in sharp()])
    found = [one for pair in zip(of_sharp, of_soft, strict=True) for one in pair]
    options = as_set_up(weights.load(student).card, tmp_path)
    assert alarmed_at(options, found) is None
    dead = [replace(one, student=one.noop, student_residual=one.noop_residual) for one in found]
    count = alarmed_at(options, dead)
    assert count is not None
    assert FEWEST_SAMPLES <= count <= 3 * FEWEST_SAMPLES


@pytest.mark.parametrize("damage", ["dead", "noise"])
def test_damaged_weights_are_seen(damage: str, tmp_path: Path) -> None:
    """A file whose tensors were overwritten, but whose digest was made to fit."""
    base = weights.load("base-x4")
    broken = with_noise(base, 0.5).network
    if damage == "dead":
        with torch.no_grad():
            broken.tail.weight.zero_()
    path = tmp_path / "base-x4.safetensors"
    weights.save_network(path, broken, base.card)
    found = samples(tmp_path, path, [degrade(one) for one in sharp()])
    count = alarmed_at(as_set_up(base.card, tmp_path), found)
    assert count is not None
