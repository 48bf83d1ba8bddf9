"""What a model costs: right counts, honest memory, speeds that a busy machine cannot skew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.benchmark.memory import MIB
from sharpend.errors import UnavailableError
from sharpend.model.device import Placement
from trainer.evaluation import bench, speed
from trainer.evaluation.bench import COUNT, SHARPEN, serve
from trainer.evaluation.speed import Cost, measure_costs
from trainer.training.models import PRETRAINED, Model

if TYPE_CHECKING:
    from tests.conftest import Networks
    from trainer.degradations.mixture import Pixels

ON_CPU = Placement("cpu", "float32", threads=1)


class FakeBench:
    """A process whose seconds and memory follow from its threads."""

    parameters, device, idle_mib = 7, "a machine, float32", 100.0

    def __init__(self, model: str, placement: Placement) -> None:
        self.seconds = {"slow": 18.0, "fast": 1.0}[model] / (placement.threads or 1)
        self.pictures = 0
        self.peak_mib = 10.0 * (placement.threads or 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def count(self) -> float:
        """Nothing that torch can count in the slow one."""
        return 0.0 if self.seconds > 5 else 8.5

    def sharpen(self) -> float:
        """Its seconds."""
        self.pictures += 1
        return self.seconds


def test_each_number_of_threads_has_its_speed_and_the_highest_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process for each model and number of threads; each model's are one cost."""
    monkeypatch.setattr(speed, "Bench", FakeBench)
    models = {"a": "fast", "t": "slow"}
    costs = measure_costs(models, against="t", device="cpu", precision="float32", threads=(1, 2))
    told = "a machine, float32"
    assert costs["a"] == Cost(7, 8.5, {1: 1.0, 2: 2.0}, 20.0, told, 100.0, {1: 18.0, 2: 18.0})
    assert costs["t"].gmac_1080p is None
    alone = measure_costs({"a": "fast"}, against=None, device="cpu", precision="float32")
    assert alone["a"].times == {}


def test_the_process_counts_and_sharpens_as_it_is_asked(networks: Networks) -> None:
    """Multiplications are those of the convolutions at 1080p: every cell of the folded grid."""
    who, made, counted = serve(str(networks.student), ON_CPU, [SHARPEN, COUNT])
    per_cell = 9 * (48 * 8 + 2 * 8 * 8 + 8 * 48)
    assert counted["gmac"] == pytest.approx(per_cell * 270 * 480 / 1e9)
    assert who["parameters"] == per_cell + 3 * 8 + 48
    assert str(who["device"]).endswith(", float32")
    assert float(made["seconds"]) > 0
    assert 1920 * 1080 * 3 / MIB < float(made["peak_mib"]) < 1000


def test_a_foreign_network_is_counted_at_the_true_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention does not grow with the area, so nothing is scaled; the small image goes in."""
    kernel = torch.zeros(3, 3, 5, 5)

    def upscale(small: Pixels, degraded: Pixels) -> Pixels:
        F.conv2d(torch.tensor(small).permute(2, 0, 1)[None].float(), kernel, padding=2)
        return degraded

    def opened(_: str, placement: Placement) -> Model:
        assert placement == ON_CPU
        return Model("x4", "", PRETRAINED, None, upscale)

    monkeypatch.setattr(bench, "open_model", opened)
    who, counted = serve("x4.pth", ON_CPU, [COUNT])
    assert counted["gmac"] == pytest.approx(270 * 480 * 3 * 3 * 25 / 1e9)
    assert who["parameters"] == 0


@pytest.mark.slow
def test_real_processes_take_turns(networks: Networks) -> None:
    """Each model has a process of its own, and what it says reaches the caller."""
    models = {"student": str(networks.student), "teacher": str(networks.teacher)}
    costs = measure_costs(
        models, against="student", device="cpu", precision="float32", threads=(1,), rounds=1
    )
    assert costs["student"].times == {1: 1.0}
    assert costs["teacher"].fps[1] > 0.05
    assert costs["teacher"].gmac_1080p == pytest.approx(costs["student"].gmac_1080p)
    with pytest.raises(UnavailableError, match="nothing: cannot be measured: nothing: no such"):
        measure_costs({"n": "nothing"}, against=None, device="cpu", precision="float32")
