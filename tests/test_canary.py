"""The canary: a model beside the one in use, measured on the real images and never written out."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from sharpend.agreement.alarm import (
    FEWEST_SAMPLES,
    QUOTIENT_MARGIN,
    AlarmOptions,
    PairedAlarm,
    quotient_threshold,
)
from sharpend.attempt import AgreementSample, CanarySample, Staged
from sharpend.cli import main
from sharpend.commands.status import _describe_canary
from sharpend.daemon import settings_values
from sharpend.daemon.agreement_samples import Canary, JudgedModel
from sharpend.daemon.engine import _load_canary
from sharpend.errors import UnavailableError
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.weights import Card, digest, save_network
from sharpend.settings.schema import Settings
from sharpend.task import Options, Task
from sharpend.workers.loading import LoadedModel
from sharpend.workers.models import Models
from sharpend.workers.pipeline import Pipeline
from tests.conftest import drop
from tests.fakes import FakePool, Shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

CPU = Placement(device="cpu", precision="float32")
LINES = AlarmOptions(sample=1.0, budget=1.0, residual_above=0.3)


def beside(used: str, options: AlarmOptions) -> Canary:
    """A canary beside a model, each with a teacher of its own."""
    judged = JudgedModel("new-photo", "teacher-new", options, {})
    return Canary("new", used, judged, JudgedModel(used, "teacher-old", LINES, {}))


def agreement(ratio: float) -> AgreementSample:
    """A measurable sample with this residual ratio."""
    return AgreementSample(0.98, 0.9, ratio * 100, 100.0, 1.0, 3 * 64 * 64)


def sample(ratio: float, *, ms: float = 4.0) -> CanarySample:
    """A sample of a canary with this residual ratio, beside a model of 0.2."""
    return CanarySample(agreement(ratio), agreement(0.2), 1.5, ms, 10.0)


# Figures


def test_both_models_are_reported() -> None:
    """Agreement, speed and difference stand beside those of the model in use."""
    canary = beside("lite", LINES)
    assert canary.figures()["n"] == 0
    assert _describe_canary(canary.figures()) == ["canary new-photo: not measured yet"]
    for ms in (900.0, 4.0, 5.0, 4.0, 5.0):
        assert not canary.add(sample(0.1, ms=ms))
    told = canary.figures()
    assert told["residual_ratio"] == pytest.approx(0.1)
    assert told["used_residual_ratio"] == pytest.approx(0.2)
    assert (told["difference"], told["crop_ms"], told["used_crop_ms"]) == (1.5, 5.0, 10.0)
    assert (told["model"], told["verdict"]) == ("new-photo", "good")
    assert (told["teacher"], told["used_teacher"]) == ("teacher-new", "teacher-old")
    first, second = _describe_canary(told)
    assert first == (
        "canary new-photo: SSIM 0.9800 to teacher-new on 5 crop(s) (model in use: 0.9800 to "
        "teacher-old), 5.0 ms a crop (model in use: 10.0), 1.50 levels of difference"
    )
    assert "residual ratio 0.100 over 5 measurable crop(s)" in second
    assert _describe_canary(None) == []


def test_one_that_is_worse_than_its_card_lets_expect_is_low() -> None:
    """Beside the model in use, on the same crops, though its own line still holds."""
    healthy = {"g1": 0.1, "g2": 0.06}, {"g2": 0.2, "g1": 0.25, "x4": 0.01}
    own, used = (
        JudgedModel(name, "teacher", LINES, ratios)
        for name, ratios in zip(("new", "lite"), healthy, strict=True)
    )
    canary = Canary("new", "lite", own, used)
    assert canary.figures()["quotient_above"] == pytest.approx(0.4 * QUOTIENT_MARGIN)
    for _ in range(2 * FEWEST_SAMPLES):
        assert not canary.add(sample(0.4 * 0.2))
    changes = [canary.add(sample(0.2)) for _ in range(LINES.window)]
    assert changes.count(True) == 1
    told = canary.figures()
    assert (told["residual_ratio"], told["residual_above"]) == (pytest.approx(0.2), 0.3)
    assert (told["quotient"], told["verdict"]) == (pytest.approx(1.0), "low")
    assert "1.000 times that of the model in use" in _describe_canary(told)[1]
    changes = [canary.add(sample(0.4 * 0.2)) for _ in range(LINES.window)]
    assert (changes.count(True), canary.low) == (1, False)


def test_models_without_common_kinds_are_not_compared() -> None:
    """The quotient is reported, not judged; crops that are not measurable for one are left out."""
    assert quotient_threshold({"g1": 0.1}, {"x4": 0.1}) is None
    assert quotient_threshold({}, {}) is None
    paired = PairedAlarm(LINES, replace(LINES, measurable_from=1e9), 0.5)
    for _ in range(LINES.window):
        paired.add(sample(0.9))
    assert (paired.quotient, paired.low) == (None, False)


def test_lines_are_those_of_its_card(tmp_path: Path) -> None:
    """They hold for its teacher; a card without lines borrows those of a model of the same one."""
    settings = Settings.model_validate(
        {"state": tmp_path, "canary": {"model": "new", "share": 0.5}}
    )
    used = LoadedModel(
        "lite", "d", "cpu", 128, 4, None, "t", residual_above=0.4, teacher_digest="a"
    )
    new = replace(used, model="new", residual_above=0.2)
    for canary, line in (
        (new, 0.2),
        (replace(new, teacher_digest="b"), 0.2),
        (replace(new, residual_above=None), 0.4),
        (replace(new, residual_above=None, teacher_digest="b"), None),
    ):
        options = settings_values.canary_options(settings, used, canary)
        assert (options.residual_above, options.sample) == (line, 0.5)


# In a worker


def task_for(source: Path, networks: Networks, canary: Path | None) -> Task:
    """A task for an image, with a canary."""
    home = source.parent.parent
    (home / "out").mkdir(exist_ok=True)
    return Task(
        job_id=1,
        input_root=os.fsencode(source.parent),
        output_root=os.fsencode(home / "out"),
        relative=os.fsencode(source.name),
        output_parent=b"",
        temp_name=b".t.tmp",
        fingerprint=Fingerprint.of(source.lstat()),
        options=Options(str(networks.student)),
        canary=None if canary is None else str(canary),
    )


def ran(source: Path, networks: Networks, canary: Path | None) -> tuple[Staged, bytes]:
    """The outcome and the output's bytes."""
    outcome = Pipeline(CPU, crop_px=64).run(task_for(source, networks, canary))
    assert isinstance(outcome, Staged), outcome
    staged = source.parent.parent / "out" / ".t.tmp"
    content = staged.read_bytes()
    staged.unlink()
    return outcome, content


def loud(folder: Path) -> Path:
    """A model that changes images strongly, as the teacher beside it does, which it equals."""
    torch.manual_seed(1)
    student, teacher = StudentNet(8, 1), TeacherNet(8, 1)
    with torch.no_grad():
        for tensor in student.state_dict().values():
            tensor.normal_(0, 1)
    teacher.load_state_dict(student.state_dict())
    card = Card("own-teacher", "teacher", 8, 1, teacher.halo_px)
    save_network(folder / "own-teacher.safetensors", teacher, card)
    path = folder / "loud.safetensors"
    taught = digest(teacher.state_dict())
    card = replace(card, name="loud", kind="student", teacher=card.name, teacher_digest=taught)
    save_network(path, student, card)
    return path


def recarded(model: Path, path: Path, **changed: Any) -> Path:  # noqa: ANN401 - of any field
    """A copy of a model with another card."""
    loaded = weights.load(str(model))
    save_network(path, loaded.network, replace(loaded.card, **changed))
    return path


def test_the_output_does_not_move_by_a_byte(tmp_path: Path, networks: Networks) -> None:
    """Whatever the canary does to its crop."""
    source = drop(tmp_path / "in", "a.png", height=96, width=120)
    _, without = ran(source, networks, None)
    outcome, with_it = ran(source, networks, loud(tmp_path))
    assert with_it == without
    assert outcome.canary is not None
    assert outcome.canary.difference > 1
    assert outcome.canary.canary_ms > 0
    assert outcome.stages_s["canary"] > 0
    assert outcome.agreement is None


def test_a_canary_that_is_the_model_in_use_differs_by_nothing(
    tmp_path: Path, networks: Networks
) -> None:
    """Both are measured alike, and as the agreement measures the one in use."""
    source = drop(tmp_path / "in", "a.png", height=96, width=120)
    task = replace(task_for(source, networks, networks.student), measure_agreement=True)
    outcome = Pipeline(CPU, crop_px=64).run(task)
    assert isinstance(outcome, Staged)
    assert outcome.canary is not None
    assert outcome.canary.difference == 0
    assert outcome.canary.canary == outcome.canary.used == outcome.agreement


def test_each_is_judged_by_its_own_teacher(tmp_path: Path, networks: Networks) -> None:
    """A canary that equals its teacher agrees, however far both are from the model in use."""
    source = drop(tmp_path / "in", "a.png", height=96, width=120)
    task = replace(task_for(source, networks, loud(tmp_path)), measure_agreement=True)
    outcome = Pipeline(CPU, crop_px=64).run(task)
    assert isinstance(outcome, Staged)
    assert outcome.canary is not None
    assert (outcome.canary.canary.student_residual, outcome.canary.canary.student) == (0, 1)
    assert outcome.canary.used == outcome.agreement
    assert outcome.canary.used.student_residual > 0


def test_a_teacher_of_several_models_is_loaded_once(tmp_path: Path, networks: Networks) -> None:
    """Under whichever path its students name it; another one is loaded beside it."""
    twin = recarded(networks.student, tmp_path / "twin.safetensors", name="twin")
    models = Models(CPU)
    one, other, own = (
        models.student(str(path)) for path in (networks.student, twin, loud(tmp_path))
    )
    assert one.teacher is other.teacher
    assert one.teacher is not own.teacher


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ("missing", "no such model"),
        ("damaged", "not a sharpend weights file"),
        ("untaught", "its card names no teacher"),
        ("taught by a missing one", "no such model"),
        ("taught by another one", "was distilled from another"),
    ],
)
def test_a_canary_that_fails_costs_no_picture(
    tmp_path: Path, networks: Networks, broken: str, cause: str
) -> None:
    """The image is finished, and says why the canary was not measured, with the setting."""
    source = drop(tmp_path / "in", "a.png")
    path = tmp_path / "broken.safetensors"
    if broken == "damaged":
        path.write_bytes(b"no weights")
    elif broken == "untaught":
        recarded(networks.student, path, teacher=None, teacher_digest=None)
    elif broken == "taught by a missing one":
        recarded(networks.student, path, teacher="away", teacher_digest="0" * 64)
    elif broken == "taught by another one":
        recarded(networks.student, path, teacher_digest="0" * 64)
    outcome, _ = ran(source, networks, path)
    assert outcome.canary is None
    (note,) = [one for one in outcome.notes if one.startswith("the canary was not measured: ")]
    assert note.startswith("the canary was not measured: canary.model: ")
    assert cause in note


# In the daemon


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A dispatcher with a canary beside its model."""
    return Shop(tmp_path, alarms={"lite": LINES}, canary=beside("lite", LINES))


def finish(shop: Shop, name: str, **staged: Any) -> Task:  # noqa: ANN401 - of any field
    """Let an image come and go."""
    shop.take(name)
    (task,) = shop.pool.tasks
    shop.pool.stage(**staged)
    shop.turn()
    return task


def test_a_bad_canary_is_reported_and_harms_nothing(shop: Shop) -> None:
    """One event when its alarm is raised, one when it is cleared; health is that of the folder."""
    for number in range(2 * FEWEST_SAMPLES):
        task = finish(shop, f"{number}.png", canary=sample(0.9))
        assert task.canary == "new"
    (low,) = shop.log.of(Event.CANARY_LOW)
    assert (low["model"], low["verdict"], low["n"]) == ("new-photo", "low", FEWEST_SAMPLES)
    assert low["used_residual_ratio"] == pytest.approx(0.2)
    now = shop.dispatcher.snapshot()
    assert now.health == "ok"
    assert now.canary is not None
    assert now.canary["verdict"] == "low"
    for number in range(LINES.window):
        finish(shop, f"again{number}.png", canary=sample(0.1))
    assert len(shop.log.of(Event.CANARY_RECOVERED)) == 1
    assert shop.log.of(Event.AGREEMENT_LOW) == []
    assert shop.count(State.DISPOSED) == 2 * FEWEST_SAMPLES + LINES.window


def test_its_share_is_its_own(tmp_path: Path) -> None:
    """A canary on each second image, the agreement on each fourth; what fails is made up for."""
    rare = replace(LINES, sample=0.5)
    shop = Shop(
        tmp_path,
        alarms={"lite": replace(LINES, sample=0.25)},
        canary=beside("lite", rare),
    )
    told = [
        finish(shop, f"{n}.png", canary=sample(0.1), agreement=agreement(0.1)) for n in range(8)
    ]
    assert [task.canary is not None for task in told] == [True, False] * 4
    assert [task.measure_agreement for task in told] == [True, False, False, False] * 2
    assert finish(shop, "failed.png").canary == "new"
    assert finish(shop, "next.png").canary == "new"


def test_only_images_of_the_main_model_are_tried(tmp_path: Path) -> None:
    """A teacher belongs to one model: other folders' models may have another."""
    shop = Shop(tmp_path, canary=beside("other", LINES))
    assert finish(shop, "a.png").canary is None


@pytest.mark.parametrize(
    ("untaught", "cause"),
    [("lite", "the card of lite names no teacher"), ("new", "the card of new names no teacher")],
)
def test_nothing_begins_without_both_teachers(untaught: str, cause: str) -> None:
    """The start is refused with the setting, and what to do."""

    class Crew(FakePool):
        def load_model(self, model: str, **given: Any) -> LoadedModel:  # noqa: ANN401 - as given
            loaded = super().load_model(model, **given)
            return replace(loaded, teacher=None) if model == untaught else loaded

    pool = Crew(1)
    used = {"lite": pool.load_model("lite", teacher=True)}
    with pytest.raises(UnavailableError, match=f"^canary.model: {cause}; .*none"):
        _load_canary("new", pool, used, lambda: True)


# Settings


def test_a_canary_that_does_not_exist_is_refused(
    tmp_path: Path, networks: Networks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything starts, with the setting named; a relative path counts from the file."""
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    config = tmp_path / "sharpend.toml"
    text = (
        f'state = "{tmp_path}/state"\n[[folder]]\nname = "in"\ninput = "{tmp_path}/in"\n'
        f'output = "{tmp_path}/out"\n[model]\nname = "{networks.student}"\n[canary]\nmodel = '
    )
    config.write_text(f'{text}"./away.safetensors"\n')
    assert main(["check", "--config", str(config)]) == 78
    error = capsys.readouterr().err
    assert f"canary.model: {tmp_path}/away.safetensors: no such model" in error
    path = tmp_path / "new.safetensors"
    for changed, cause in (
        ({"teacher": None}, "its card names no teacher"),
        ({"teacher": "lost"}, "its teacher lost: no such model"),
    ):
        recarded(networks.student, path, **changed)
        config.write_text(f'{text}"./new.safetensors"\n')
        assert main(["check", "--config", str(config)]) == 78
        assert f"canary.model: {path}: {cause}" in capsys.readouterr().err
    config.write_text(f'{text}"lite-photo"\nshare = 0.25\n')
    assert main(["check", "--config", str(config)]) == 0
    told = "canary: lite-photo, judged by teacher-photo, tried on crops of 25% of the main"
    assert told in capsys.readouterr().out
    config.write_text(f'{text}"lite-photo"\nshare = 2\n')
    assert main(["check", "--config", str(config)]) == 78
    assert "canary.share" in capsys.readouterr().err
