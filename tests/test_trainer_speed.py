"""What a network costs: right counts, honest memory, speeds that a busy machine cannot skew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.errors import ExitCode, UnavailableError, UsageError
from sharpend.model.runtime import Placement
from trainer import bench, speed
from trainer.bench import COUNT, SHARPEN, main, serve
from trainer.memory import MIB, Memory
from trainer.methods import PRETRAINED, Model
from trainer.speed import Cost, Turn, compare_speed, compared, measure_speed, paced

if TYPE_CHECKING:
    from tests.conftest import Networks
    from trainer.degradation import Pixels

ON_CPU = Placement("cpu", "float32", threads=1)


def test_a_slow_network_is_asked_for_two_pictures_only() -> None:
    """Time is budgeted, but a median of less than two would be chance."""
    slow, quick = iter([9.0, 9.0, 9.0]), iter([1.0] * 9)
    assert paced(lambda: next(slow), pictures=5, budget_s=5) == [9.0, 9.0]
    assert paced(lambda: next(quick), pictures=5, budget_s=5) == [1.0] * 5
    assert paced(lambda: next(quick), pictures=1, budget_s=5) == [1.0] * 2


def test_a_disturbed_round_does_not_change_the_ratio() -> None:
    """Networks are compared within rounds: what slows a whole round slows all of them alike."""
    quiet, busy = {"lite": 0.25, "teacher": 3.0}, {"lite": 1.0, "teacher": 12.0}
    turns = compared([quiet, busy, {"lite": 9.0, "teacher": 3.0}], against="teacher")
    assert turns["lite"] == Turn(fps=1.0, times=12.0)
    assert turns["teacher"].times == 1


def test_what_is_not_compared_cannot_be_the_reference() -> None:
    """The mistake is told before any process starts."""
    with pytest.raises(UsageError, match="teacher-x4: is none"):
        compare_speed(["lite-x4"], against="teacher-x4", device="cpu", precision="float32")
    with pytest.raises(UsageError, match="at least one"):
        measure_speed("lite-x4", device="cpu", precision="float32", threads=())


class FakeBench:
    """A process whose seconds and memory follow from its threads."""

    parameters, device, idle_mib = 7, "a machine, float32", 100.0

    def __init__(self, model: str, placement: Placement) -> None:
        self.seconds = {"slow": 6.0, "fast": 1.0}[model] / (placement.threads or 1)
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
        return self.seconds


def test_each_number_of_threads_has_its_speed_and_the_highest_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process for each number of threads is merged to one cost."""
    monkeypatch.setattr(speed, "Bench", FakeBench)
    cost = measure_speed("fast", device="cpu", precision="float32", threads=(1, 2))
    assert cost == Cost(7, 8.5, {1: 1.0, 2: 2.0}, 20.0, "a machine, float32", 100.0)
    uncounted = measure_speed("slow", device="cpu", precision="float32", threads=(1,))
    assert uncounted.gmac_1080p is None
    turns = compare_speed(["fast", "slow"], against="slow", device="cpu", precision="float32")
    assert turns["fast"].times == 6


def test_the_process_counts_and_sharpens_as_it_is_told(networks: Networks) -> None:
    """Multiplications are those of the convolutions at 1080p: every cell of the folded grid."""
    who, made, counted = serve(str(networks.student), ON_CPU, [SHARPEN, COUNT])
    per_cell = 9 * (48 * 8 + 2 * 8 * 8 + 8 * 48)
    assert counted["gmac"] == pytest.approx(per_cell * 270 * 480 / 1e9)
    assert who["parameters"] == per_cell + 3 * 8 + 48
    assert str(who["device"]).endswith(", float32")
    assert float(made["seconds"]) > 0
    assert 1920 * 1080 * 3 / MIB < float(made["peak_mib"]) < 1000


def test_a_foreign_network_is_counted_at_the_true_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention does not grow with the area, so nothing is scaled; the small picture goes in."""
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


def test_memory_counts_what_was_freed_again() -> None:
    """The highest counts, beyond what was there; earlier peaks do not."""
    np.ones(64 * MIB, np.uint8)
    memory = Memory(torch.device("cpu"))
    before = memory.added_bytes
    np.ones(32 * MIB, np.uint8)
    assert before < 8 * MIB
    assert 30 * MIB < memory.added_bytes < 40 * MIB


def test_the_process_says_why_it_cannot(capfd: pytest.CaptureFixture[str]) -> None:
    """A network that is not there is one sentence and its exit code."""
    assert main([json.dumps({"model": "nothing"})], []) == ExitCode.UNAVAILABLE
    assert capfd.readouterr().err.startswith("nothing: no such network")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_real_processes_take_turns(networks: Networks) -> None:
    """Each network has a process of its own, and what it says reaches the caller."""
    student, teacher = str(networks.student), str(networks.teacher)
    turns = compare_speed(
        [student, teacher], against=student, device="cpu", precision="float32", threads=1, rounds=1
    )
    assert turns[student].times == 1
    assert turns[teacher].fps > 0.05
    with pytest.raises(UnavailableError, match="nothing: cannot be measured: nothing: no such"):
        measure_speed("nothing", device="cpu", precision="float32", threads=(1,))
