"""The canary with the shipped models: a damaged one is seen within fifty samples."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from skimage import data

from sharpend.attempt import Staged
from sharpend.daemon import assembly
from sharpend.daemon.agreement_samples import Measurements
from sharpend.daemon.engine import LoadedWorkers
from sharpend.daemon.report import Throughput
from sharpend.files.fingerprint import Fingerprint
from sharpend.imaging.files import save_png
from sharpend.logs.events import Event
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.settings.schema import Settings
from sharpend.task import Options, Task
from sharpend.workers.loading import HealthyRatio, LoadedModel
from sharpend.workers.pipeline import Pipeline
from tests.fakes import FakePool, ListLog
from trainer.evaluation.agreement.samples import softenings, with_noise

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.degradations.mixture import Pixels

pytestmark = pytest.mark.slow
CPU = Placement("cpu", "float32", threads=1)
KINDS = {"photo": ("g1.5", "g2"), "x4": ("bic4",)}
"""Softness of the images by the family of models that undoes it."""
WRONG = {"photo": "base-x4", "x4": "lite-photo"}
"""A model of the other family by family."""
PAIRS = [
    ("lite-photo", "lite-photo"),
    ("lite-photo", "base-photo"),
    ("base-photo", "lite-photo"),
    ("lite-x4", "base-x4"),
    ("base-x4", "lite-x4"),
]
"""The model in use, and what the canary was before it was damaged."""
SHARES = {"halved": 0.5, "dead": 0.0}
"""Part of its detail that a damaged model still adds."""
TRUNK = ("channels", "blocks", "halo_px", "cued", "bias_free", "ranges")
"""What a card says of its tensors."""
DAMAGES = ("halved", "noise", "dead", "wrong")
SAMPLES = 50


def family(model: str) -> str:
    """The kind of images that a model is for."""
    return model.partition("-")[2]


@cache
def photographs(family: str) -> list[Pixels]:
    """Photographs of 192 x 192, softened in turn."""
    whole = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]  # type: ignore[no-untyped-call]
    parts = [one[40:232, left : left + 192] for one in whole for left in (0, 200)]
    kinds = cycle(softenings(KINDS[family]).values())
    return [soften(part) for soften, part in zip(kinds, parts, strict=False)]


def canary_of(model: str, damage: str, folder: Path) -> Path:
    """A weights file with a damage, and a card that says nothing of it."""
    sound = weights.load(model)
    card, network = sound.card, sound.network
    if damage == "wrong":
        other = weights.load(WRONG[family(model)])
        network = other.network
        trunk = {name: getattr(other.card, name) for name in TRUNK}
        card = replace(card, **trunk)
    elif damage == "noise":
        network = with_noise(sound, 0.3).network
    elif damage in SHARES:
        layers = (network.tail, network.mask.gains) if network.cued else (network.tail,)
        for tensor in (one for layer in layers for one in layer.state_dict().values()):
            tensor.mul_(SHARES[damage])
    path = folder / "new.safetensors"
    weights.save_network(path, network, replace(card, name="new"))
    return path


def loaded(model: str) -> LoadedModel:
    """Facts about a model, as a worker reports them."""
    card = weights.load(model).card
    return LoadedModel(
        card.name,
        "d",
        "cpu",
        128,
        None,
        card.alarm_below,
        card.teacher,
        residual_above=card.residual_above,
        measurable_from=card.measurable_from,
        teacher_digest=card.teacher_digest,
        healthy=tuple(HealthyRatio(*one) for one in card.healthy_ratios.items()),
    )


def measured(used: str, path: Path, home: Path) -> tuple[int | None, ListLog]:
    """The number of samples until the alarm, of a stream of photographs, and the log."""
    settings = Settings.model_validate(
        {"state": home, "model": {"name": used}, "canary": {"model": str(path), "share": 1.0}}
    )
    canary = assembly._canary(
        settings, LoadedWorkers(FakePool(1), {used: loaded(used)}, loaded(str(path)))
    )
    assert canary is not None
    measurements, log = Measurements(Throughput(0.0), {}, canary), ListLog()
    pipeline = Pipeline(CPU, crop_px=settings.agreement.crop_px)
    outcomes = [outcome(pipeline, pixels, used, path, home) for pixels in photographs(family(used))]
    for count in range(1, SAMPLES + 1):
        task, staged = outcomes[count % len(outcomes)]
        measurements.record(used, task, staged, log)
        if canary.low:
            return count, log
    return None, log


def outcome(
    pipeline: Pipeline, pixels: Pixels, used: str, canary: Path | None, home: Path
) -> tuple[Task, Staged]:
    """What a worker answers for an image."""
    for name in ("in", "out"):
        (home / name).mkdir(exist_ok=True)
    path = home / "in" / "a.png"
    save_png(pixels, path)
    task = Task(
        job_id=1,
        input_root=os.fsencode(home / "in"),
        output_root=os.fsencode(home / "out"),
        relative=b"a.png",
        output_parent=b"",
        temp_name=b".t.tmp",
        fingerprint=Fingerprint.of(path.lstat()),
        options=Options(used),
        canary=None if canary is None else str(canary),
    )
    staged = pipeline.run(task)
    (home / "out" / ".t.tmp").replace(home / "out" / "last.png")
    assert isinstance(staged, Staged)
    assert canary is None or staged.canary is not None, staged.notes
    return task, staged


def test_the_output_does_not_move_by_a_byte(tmp_path: Path) -> None:
    """With a canary that is worse than nothing, of another teacher."""
    path, pipeline = canary_of("base-photo", "noise", tmp_path), Pipeline(CPU, crop_px=256)
    written = []
    for canary in (None, path):
        outcome(pipeline, photographs("photo")[0], "lite-photo", canary, tmp_path)
        written.append((tmp_path / "out" / "last.png").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("used", "model"), PAIRS)
def test_a_damaged_canary_is_seen(used: str, model: str, damage: str, tmp_path: Path) -> None:
    """Half of the output, 30 % noise on the weights, no output, weights for other images."""
    count, log = measured(used, canary_of(model, damage, tmp_path), tmp_path)
    assert count is not None
    (low,) = log.of(Event.CANARY_LOW)
    assert low["verdict"] == "low"


@pytest.mark.parametrize(("used", "model"), PAIRS)
def test_a_sound_canary_is_not(used: str, model: str, tmp_path: Path) -> None:
    """Whatever teacher it has."""
    count, log = measured(used, canary_of(model, "none", tmp_path), tmp_path)
    assert count is None
    assert log.of(Event.CANARY_LOW) == []
