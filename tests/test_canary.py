"""The canary: a model beside the one in use, measured on the real images and never written out."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from sharpend.agreement.alarm import FEWEST_SAMPLES, AlarmOptions
from sharpend.attempt import AgreementSample, CanarySample, Staged
from sharpend.cli import main
from sharpend.commands.status import _describe_canary
from sharpend.daemon import settings_values
from sharpend.daemon.measurements import Canary
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.model.device import Placement
from sharpend.model.networks import StudentNet
from sharpend.model.weights import Card, save_network
from sharpend.settings.schema import Settings
from sharpend.task import Options, Task
from sharpend.workers.loading import LoadedModel
from sharpend.workers.pipeline import Pipeline
from tests.conftest import drop
from tests.fakes import Shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

CPU = Placement(device="cpu", precision="float32")
LINES = AlarmOptions(sample=1.0, budget=1.0, residual_above=0.3)


def agreement(ratio: float) -> AgreementSample:
    """A measurable sample with this residual ratio."""
    return AgreementSample(0.98, 0.9, ratio * 100, 100.0, 1.0, 3 * 64 * 64)


def sample(ratio: float, *, ms: float = 4.0) -> CanarySample:
    """A sample of a canary with this residual ratio, beside a model of 0.2."""
    return CanarySample(agreement(ratio), agreement(0.2), 1.5, ms, 10.0)


# Figures


def test_both_models_are_told() -> None:
    """Agreement, speed and difference stand beside those of the model in use."""
    canary = Canary("new", "lite", "new-photo", LINES)
    assert canary.figures()["n"] == 0
    assert _describe_canary(canary.figures()) == ["canary new-photo: not measured yet"]
    for ms in (900.0, 4.0, 5.0, 4.0, 5.0):
        assert not canary.add(sample(0.1, ms=ms))
    told = canary.figures()
    assert told["residual_ratio"] == pytest.approx(0.1)
    assert told["used_residual_ratio"] == pytest.approx(0.2)
    assert (told["difference"], told["crop_ms"], told["used_crop_ms"]) == (1.5, 5.0, 10.0)
    assert (told["model"], told["verdict"]) == ("new-photo", "good")
    first, second = _describe_canary(told)
    assert first == (
        "canary new-photo: SSIM 0.9800 to the teacher on 5 crop(s) (model in use: 0.9800), "
        "5.0 ms a crop (model in use: 10.0), 1.50 levels between both"
    )
    assert "residual ratio 0.100 over 5 measurable crop(s)" in second
    assert _describe_canary(None) == []


def test_lines_are_those_of_its_card_where_the_teacher_is_the_same(tmp_path: Path) -> None:
    """A canary of another teacher is held to the lines of the model in use, which has that one."""
    settings = Settings.model_validate(
        {"state": tmp_path, "canary": {"model": "new", "share": 0.5}}
    )
    used = LoadedModel(
        "lite", "d", "cpu", 128, 4, None, "t", residual_above=0.4, teacher_digest="a"
    )
    new = replace(used, model="new", residual_above=0.2)
    for canary, line in (
        (new, 0.2),
        (replace(new, teacher_digest="b"), 0.4),
        (replace(new, residual_above=None), 0.4),
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
    """A model that changes images strongly, and was taught by nobody."""
    torch.manual_seed(1)
    network = StudentNet(8, 1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.normal_(0, 1)
    path = folder / "loud.safetensors"
    save_network(path, network, Card("loud", "student", 8, 1, network.halo_px))
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


@pytest.mark.parametrize("broken", ["missing", "damaged"])
def test_a_canary_that_fails_costs_no_picture(
    tmp_path: Path, networks: Networks, broken: str
) -> None:
    """The image is finished, and says why the canary was not measured."""
    source = drop(tmp_path / "in", "a.png")
    path = tmp_path / "broken.safetensors"
    if broken == "damaged":
        path.write_bytes(b"no weights")
    outcome, _ = ran(source, networks, path)
    assert outcome.canary is None
    assert [note for note in outcome.notes if note.startswith("the canary was not measured: ")]


# In the daemon


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A dispatcher with a canary beside its model."""
    return Shop(tmp_path, alarms={"lite": LINES}, canary=Canary("new", "lite", "new-photo", LINES))


def finish(shop: Shop, name: str, **staged: Any) -> Task:  # noqa: ANN401 - of any field
    """Let an image come and go."""
    shop.take(name)
    (task,) = shop.pool.tasks
    shop.pool.stage(**staged)
    shop.turn()
    return task


def test_a_bad_canary_is_told_and_harms_nothing(shop: Shop) -> None:
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
        canary=Canary("new", "lite", "new-photo", rare),
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
    shop = Shop(tmp_path, canary=Canary("new", "other", "new-photo", LINES))
    assert finish(shop, "a.png").canary is None


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
    config.write_text(f'{text}"lite-photo"\nshare = 0.25\n')
    assert main(["check", "--config", str(config)]) == 0
    assert "canary: lite-photo, tried on crops of 25% of the main" in capsys.readouterr().out
    config.write_text(f'{text}"lite-photo"\nshare = 2\n')
    assert main(["check", "--config", str(config)]) == 78
    assert "canary.share" in capsys.readouterr().err
