"""The canary with the shipped models: a damaged one is seen within fifty samples."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from skimage import data

from sharpend.attempt import Staged
from sharpend.daemon import settings_values
from sharpend.daemon.measurements import Canary, Measurements
from sharpend.daemon.throughput import Throughput
from sharpend.files.fingerprint import Fingerprint
from sharpend.imaging.files import save_png
from sharpend.logs.events import Event
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.settings.schema import Settings
from sharpend.task import Options, Task
from sharpend.workers.loading import LoadedModel
from sharpend.workers.pipeline import Pipeline
from tests.fakes import ListLog
from trainer.evaluation.agreement.samples import halved, with_noise
from trainer.evaluation.agreement.softness import softenings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sharpend.model.weights import Card
    from trainer.degradations.mixture import Pixels

pytestmark = pytest.mark.slow
CPU = Placement("cpu", "float32", threads=1)
USED, OTHER = "lite-photo", "base-photo"
"""The other one has a teacher of its own, so that it is measured by the lines of the one in use."""
SAMPLES = 50


def photographs() -> list[Pixels]:
    """Photographs of 192 x 192, softened in two ways."""
    whole = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]  # type: ignore[no-untyped-call]
    parts = [one[40:232, left : left + 192] for one in whole for left in (0, 200)]
    return [soften(part) for soften in softenings(["g1.5", "g2"]).values() for part in parts]


def loaded(card: Card) -> LoadedModel:
    """Facts about a model, as a worker tells them."""
    told = LoadedModel(card.name, "d", "cpu", 128, None, card.alarm_below, card.teacher)
    return replace(
        told,
        residual_above=card.residual_above,
        measurable_from=card.measurable_from,
        teacher_digest=card.teacher_digest,
    )


class Halved(Sharpener):
    """A sharpener whose results are half-way between input and output."""

    def sharpen(self, pixels: NDArray[Any], **how: Any) -> NDArray[Any]:  # noqa: ANN401 - as given
        """Sharpen, and take back half of it."""
        return halved(pixels, super().sharpen(pixels, **how))


class Dead(Sharpener):
    """A sharpener that does nothing."""

    def sharpen(self, pixels: NDArray[Any], **how: Any) -> NDArray[Any]:  # noqa: ANN401, ARG002 - as given
        """Return the input."""
        return pixels.copy()


def with_damage(model: str, damage: str) -> Sharpener:
    """A canary with a damage."""
    whole = weights.load("base-x4" if damage == "wrong" else model)
    kinds: dict[str, type[Sharpener]] = {"halved": Halved, "dead": Dead}
    return kinds.get(damage, Sharpener)(with_noise(whole, 0.3) if damage == "noise" else whole, CPU)


def raised_at(model: str, damage: str, home: Path) -> tuple[int | None, ListLog]:
    """The number of samples until the alarm, of a stream of photographs, and the log."""
    broken = with_damage(model, damage)
    settings = Settings.model_validate({"state": home, "canary": {"model": "new", "share": 1.0}})
    options = settings_values.canary_options(
        settings, loaded(weights.load(USED).card), loaded(broken.card)
    )
    canary, log = Canary("new", USED, broken.card.name, options), ListLog()
    measured = Measurements(Throughput(0.0), {}, canary)
    pipeline = Pipeline(CPU, crop_px=128)
    pipeline.models._sharpeners["new"] = broken
    outcomes = [outcome(pipeline, pixels, home) for pixels in photographs()]
    for count in range(1, SAMPLES + 1):
        task, staged = outcomes[count % len(outcomes)]
        measured.record(USED, task, staged, log)
        if canary.alarm.low:
            return count, log
    return None, log


def outcome(pipeline: Pipeline, pixels: Pixels, home: Path) -> tuple[Task, Staged]:
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
        options=Options(USED),
        canary="new",
    )
    staged = pipeline.run(task)
    (home / "out" / ".t.tmp").unlink()
    assert isinstance(staged, Staged)
    assert staged.canary is not None, staged.notes
    return task, staged


SEEN = [(USED, damage) for damage in ("halved", "noise", "dead", "wrong")]
SEEN += [(OTHER, damage) for damage in ("noise", "dead")]


@pytest.mark.parametrize(("model", "damage"), SEEN)
def test_a_damaged_canary_is_seen(model: str, damage: str, tmp_path: Path) -> None:
    """Half of the output, 30 % noise on the weights, no output, a model for other images."""
    count, log = raised_at(model, damage, tmp_path)
    assert count is not None
    (low,) = log.of(Event.CANARY_LOW)
    assert low["verdict"] == "low"
    assert low["used_residual_ratio"] < low["residual_ratio"]


@pytest.mark.parametrize("model", [USED, OTHER])
def test_a_sound_canary_is_not(model: str, tmp_path: Path) -> None:
    """The larger student is closer to the teacher than the one in use."""
    count, log = raised_at(model, "none", tmp_path)
    assert count is None
    assert log.of(Event.CANARY_LOW) == []
