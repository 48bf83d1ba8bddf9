"""The training loop: its losses, its schedule, and that stopping it changes nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.ssim import compute_ssim, psnr
from sharpend.model.weights import digest
from trainer.degradations.reduction import get_transform
from trainer.training.batches import centre_batch
from trainer.training.checkpoint import Checkpoint, best_network, read_checkpoint
from trainer.training.dataset import Example
from trainer.training.distributed import ProcessGroup
from trainer.training.loop import learning_rate, train, validate
from trainer.training.losses import LEAST_MSE, LossWeights, training_loss
from trainer.training.precision import NOTE
from trainer.training.recipe import Data, NetworkConfig, Recipe, Schedule
from trainer.training.signals import TrainingStoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALONE = ProcessGroup(torch.device("cpu"))
CPU = ALONE.device
LOSS = LossWeights(target_l1=1.0, teacher_mse=10.0, teacher_ssim=0.05)
TINY = Recipe(
    name="tiny",
    network=NetworkConfig("student", channels=4, blocks=1),
    data=Data(labels="labels", crop_px=16, batch=2, validation_px=24),
    loss=LOSS,
    schedule=Schedule(steps=6, warm_up=2, validate_every=2, precision="float32"),
)


def planned(recipe: Recipe = TINY, **changes: Any) -> Recipe:  # noqa: ANN401 - fields of Schedule
    """The recipe with another schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **changes))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they give on images this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def example(seed: int, *, labelled: bool = True) -> Example:
    """An image of soft blobs, softened, and a label between the two."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3))
    pixels = coarse.repeat(12, axis=0).repeat(12, axis=1).astype(np.uint8)
    degraded, target = get_transform()(pixels)
    taught = ((degraded.astype(int) + target) // 2).astype(np.uint8)
    return Example(degraded, target, taught if labelled else None)


EXAMPLES = [example(1), example(2), example(3)]


class Terminated(list[Example]):
    """Images that can be looked at a number of times, then someone sends SIGTERM."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as a list's
        """As a list, and the signal at one look."""
        self.looks -= 1
        if self.looks == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


def trained(folder: Path, recipe: Recipe = TINY, examples: Sequence[Example] = EXAMPLES) -> str:
    """Train and return a digest of the last weights and of their moving average."""
    train(recipe, examples, [example(9)], folder, ALONE)
    last = read_checkpoint(folder / "last.safetensors", CPU)
    assert last.step == recipe.schedule.steps
    return digest(last.averaged.state_dict()) + digest(last.network.state_dict())


@pytest.mark.parametrize(
    "recipe",
    [
        planned(precision="float32"),
        planned(precision="bfloat16"),
        planned(ema=0.0, clip=0.0, shape="constant", warm_up=0),
        replace(TINY, network=NetworkConfig("student", 4, 1, bias_free=True, branches=3)),
        replace(TINY, network=NetworkConfig("report-student", 4)),
    ],
    ids=["float32", "bfloat16", "plain", "branches", "report"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, recipe: Recipe) -> None:
    """SIGTERM in any step saves that step; started again, a run ends as one never stopped."""
    stopped = Terminated(EXAMPLES)
    stopped.looks = 5 * 2 * recipe.data.batch  # a crop looks twice: the signal comes in step five
    with pytest.raises(TrainingStoppedError, match="step 5; run the same command") as stop:
        train(recipe, stopped, [example(9)], tmp_path / "stopped", ALONE)
    assert stop.value.exit_code == 128 + signal.SIGTERM
    assert read_checkpoint(tmp_path / "stopped" / "last.safetensors", CPU).step == 5
    assert trained(tmp_path / "stopped", recipe) == trained(tmp_path / "whole", recipe)


def test_a_killed_run_goes_on_from_its_last_validation(tmp_path: Path) -> None:
    """Without a chance to save, what was validated is the start; the end is the same."""

    class Killed(Terminated):
        def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as a list's
            self.looks -= 1
            if self.looks == 0:
                raise MemoryError
            return list.__getitem__(self, index)

    stopped = Killed(EXAMPLES)
    stopped.looks = 6 * 2 * TINY.data.batch
    with pytest.raises(MemoryError):
        train(TINY, stopped, [example(9)], tmp_path / "killed", ALONE)
    assert read_checkpoint(tmp_path / "killed" / "last.safetensors", CPU).step == 4
    assert trained(tmp_path / "killed") == trained(tmp_path / "whole")


def test_a_run_without_a_budget_is_the_mean_of_two_models(tmp_path: Path) -> None:
    """Two trainings of one architecture are averaged and validated; others are refused."""
    folders = [str(tmp_path / name) for name in ("one", "other")]
    for folder, seed in zip(folders, (1, 2), strict=True):
        train(replace(TINY, seed=seed), EXAMPLES, [example(9)], Path(folder), ALONE)
    network = replace(TINY.network, start=folders[0], start_average=folders[1])
    recipe = planned(replace(TINY, network=network), steps=0)
    best = train(recipe, EXAMPLES, [example(9)], tmp_path / "mean", ALONE)
    means = best_network(tmp_path / "mean", CPU)[0].state_dict()
    for name, value in best_network(Path(folders[0]), CPU)[0].state_dict().items():
        other = best_network(Path(folders[1]), CPU)[0].state_dict()[name]
        assert torch.equal(means[name], (value + other) / 2)
    assert best.step == 0
    assert best.scores["psnr"] > 0
    larger = replace(recipe, network=replace(network, start_average="lite-x4"))
    with pytest.raises(UsageError, match="lite-x4 has other layers"):
        train(larger, EXAMPLES, [example(9)], tmp_path / "none", ALONE)


def test_a_budget_of_minutes_counts_all_parts(tmp_path: Path) -> None:
    """A run that was stopped has only the rest of its minutes left."""
    recipe = planned(steps=0, minutes=1.0)
    stopped = Terminated(EXAMPLES)
    stopped.looks = 5 * 2 * recipe.data.batch
    with pytest.raises(TrainingStoppedError):
        train(recipe, stopped, [example(9)], tmp_path, ALONE)
    last = tmp_path / "last.safetensors"
    first = read_checkpoint(last, CPU)
    assert 0 < first.seconds < 60
    first.seconds = 59.9  # as if the part had taken so long
    first.keep(tmp_path)
    train(recipe, EXAMPLES, [example(9)], tmp_path, ALONE)
    both = read_checkpoint(last, CPU)
    assert both.step > first.step
    assert 60 <= both.seconds < 119


def test_a_kill_between_two_files_loses_no_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best weights are on disk before anything says that they were the best."""
    state = Checkpoint.fresh(TINY, CPU)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        state.judge(tmp_path, {"validation_loss": 0.5})
    assert read_checkpoint(tmp_path / "best.safetensors", CPU).best_loss == 0.5


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    """Hours are not spent on nothing; the error names the step and the setting."""
    with pytest.raises(UsageError, match=r"nan at step 2: lower schedule\.learning_rate"):
        train(planned(learning_rate=1e30, clip=0.0), EXAMPLES, [example(9)], tmp_path, ALONE)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """With a tiny largest norm Adam's second moments stay tiny."""
    moments = []
    for name, clip in (("free", 0.0), ("clipped", 1e-6)):
        train(planned(clip=clip), EXAMPLES, [example(9)], tmp_path / name, ALONE)
        adam = read_checkpoint(tmp_path / name / "last.safetensors", CPU).adam
        moments.append(max(s["exp_avg_sq"].max().item() for s in adam.state.values()))
    assert moments[1] < 1e-12 < moments[0]


def test_the_record_reports_every_validation(tmp_path: Path) -> None:
    """One JSON line for each validation, with the scores and the agreement with the labels."""
    trained(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    keys = {"loss", "minutes", "validation_loss", "psnr", "ssim", "agreement"}
    assert all(keys <= line.keys() for line in lines)


def test_tensorboard_finds_curves(tmp_path: Path) -> None:
    """Where TensorBoard is installed, every validation is a point of its curves."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trained(tmp_path)
    curves = events.EventAccumulator(str(tmp_path / "curves")).Reload()
    assert {"loss", "psnr", "ssim", "agreement"} <= set(curves.Tags()["scalars"])
    assert [point.step for point in curves.Scalars("psnr")] == [2, 4, 6]


def test_a_terminal_sees_a_bar_and_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """People get a progress bar on stderr with the last PSNR; programs the record's lines."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trained(tmp_path)
    told = capsys.readouterr()
    assert told.out == ""
    assert "tiny 100%" in told.err
    assert "psnr=" in told.err


def test_the_best_checkpoint_is_the_one_of_lowest_loss(tmp_path: Path) -> None:
    """What is exported is the best of the validations, not the last."""
    state = Checkpoint.fresh(TINY, CPU)
    for state.step, loss in ((1, 0.3), (2, 0.1), (3, 0.2)):
        state.judge(tmp_path, {"validation_loss": loss})
    best, last = (read_checkpoint(tmp_path / f"{n}.safetensors", CPU) for n in ("best", "last"))
    assert (best.step, best.scores["validation_loss"]) == (2, 0.1)
    assert (last.step, last.best_loss) == (3, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("bias_free", [False, True])
def test_training_learns(tmp_path: Path, *, bias_free: bool) -> None:
    """A few seconds on one image: the loss falls, and the agreement with the teacher rises."""
    recipe = replace(
        planned(steps=120, validate_every=30, ema=0.9),
        network=NetworkConfig("student", channels=16, blocks=1, bias_free=bias_free),
        data=replace(TINY.data, crop_px=48),
        loss=LossWeights(teacher_mse=10.0, teacher_ssim=0.1),
    )
    train(recipe, [example(9)], [example(9)], tmp_path, ALONE)
    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines]
    agreements = [line["agreement"] for line in lines]
    assert losses == sorted(losses, reverse=True)
    assert agreements == sorted(agreements)
    crops = centre_batch([example(9)], size=24)
    degraded, target, taught = crops.degraded, crops.target, crops.taught
    assert taught is not None
    assert lines[-1]["psnr"] > psnr(degraded, target).item() + 0.2
    assert agreements[-1] > compute_ssim(degraded, taught).item() + 0.01
    network, _ = best_network(tmp_path, CPU)
    scores = validate(network, crops, recipe.loss)
    assert scores["psnr"] == pytest.approx(max(line["psnr"] for line in lines), abs=1e-4)


def test_another_recipe_does_not_go_on_in_a_folder(tmp_path: Path) -> None:
    """The error names the first key that differs; the budget alone may change."""
    trained(tmp_path)
    with pytest.raises(UsageError, match="written with seed = 0, and the recipe says 1"):
        trained(tmp_path, replace(TINY, seed=1))
    trained(tmp_path, planned(steps=8))


def test_crops_larger_than_a_picture_are_refused(tmp_path: Path) -> None:
    """The error names the key, before anything is written."""
    data = {
        "crop_px": replace(TINY.data, crop_px=64),
        "validation_px": replace(TINY.data, validation_px=64),
    }
    for key, wrong_data in data.items():
        wrong = replace(TINY, data=wrong_data)
        with pytest.raises(UsageError, match=rf"data\.{key} is 64, but .* 48 pixels"):
            trained(tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists()


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    """A missing checkpoint is a missing input; a cut or foreign one a UsageError."""
    path = tmp_path / "last.safetensors"
    with pytest.raises(InputMissingError, match="no such file"):
        read_checkpoint(path, CPU)
    trained(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:4], whole.replace(b'"checkpoint"', b'"checkpaint"')):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match="not a whole checkpoint"):
            read_checkpoint(path, CPU, recipe=TINY)


def test_the_rate_warms_up_and_falls_as_a_cosine() -> None:
    """Linear to the peak, half of it in the middle of the budget, 1e-6 at the end."""
    plan = Schedule(steps=100, warm_up=10, learning_rate=1e-3)
    rates = [learning_rate(plan, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == 1e-3
    assert rates[50] == pytest.approx(5e-4, rel=0.01)
    assert rates[100] == pytest.approx(1e-6)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    constant = replace(plan, shape="constant", warm_up=0)
    assert {learning_rate(constant, step, step / 100) for step in range(101)} == {1e-3}


def test_each_term_counts_as_weighted() -> None:
    """L1 and MSE are means over pixels; a weight of zero leaves a term out."""
    output, target, taught = (torch.full((1, 3, 16, 16), value) for value in (0.5, 0.7, 0.4))

    def loss(**weights: float) -> float:
        return training_loss(output, target, taught, LossWeights(**weights)).item()

    assert loss(target_l1=2.0) == pytest.approx(0.4)
    assert loss(target_mse=2.0) == pytest.approx(0.08)
    assert loss(target_log_mse=2.0) == pytest.approx(2 * np.log10(0.04 + LEAST_MSE))
    assert loss(teacher_l1=2.0) == pytest.approx(0.2)
    assert loss(teacher_mse=3.0) == pytest.approx(0.03)
    assert loss(teacher_log_mse=2.0) == pytest.approx(2 * np.log10(0.01 + LEAST_MSE))
    assert loss(target_l1=2.0, teacher_mse=3.0) == pytest.approx(0.43)
    same = LossWeights(target_ssim=1.0, teacher_ssim=1.0, target_fft=1.0)
    assert training_loss(output, output, output, same).item() == pytest.approx(0, abs=1e-5)


def test_the_fourier_term_is_that_of_numpy() -> None:
    """The mean over the half spectrum of both parts' magnitudes, orthonormal."""
    output, target = torch.rand(2, 1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    spectrum = np.fft.rfft2((output - target).numpy(), norm="ortho")
    expected = np.abs(np.stack([spectrum.real, spectrum.imag])).mean()
    loss = training_loss(output, target, None, LossWeights(target_fft=1.0))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_ssim_term_is_the_mean_over_images_and_channels() -> None:
    """One image that is the opposite in one channel is clipped there, and weighs as any other."""
    output, target = torch.rand(2, 2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    output[0] = target[0] + 0.1 * output[0]
    output[1, 1] = 1 - target[1, 1]
    clipped = [
        max(0.0, compute_ssim(*(one[None, None] for one in channels)).item())
        for image in zip(output, target, strict=True)
        for channels in zip(*image, strict=True)
    ]
    assert min(clipped) == 0
    loss = training_loss(output, target, None, LossWeights(target_ssim=1.0))
    assert loss.item() == pytest.approx(1 - np.mean(clipped), abs=1e-5)


def test_losses_are_float32_under_autocast() -> None:
    """Low precision of the output does not lower the precision of the loss."""
    output, target = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = LossWeights(target_ssim=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = training_loss(output.bfloat16(), target, None, weights)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, training_loss(output.bfloat16().float(), target, None, weights))


def test_teacher_terms_without_labels_are_refused() -> None:
    """A loss that weights a teacher needs its images."""
    with pytest.raises(ValueError, match="have no labels"):
        training_loss(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), None, LOSS)


def test_auto_is_measured_once_in_a_run(tmp_path: Path) -> None:
    """The first start notes what is faster and alike here; the run is one of that precision."""
    run = trained(tmp_path / "auto", planned(precision="auto"))
    noted = json.loads((tmp_path / "auto" / NOTE).read_text())
    assert noted["precision"] in {"float32", "bfloat16"}
    assert "times as fast as float32" in noted["because"]
    assert run == trained(tmp_path / "set", planned(precision=noted["precision"]))


@pytest.mark.parametrize("noted", ["float32", "bfloat16"])
def test_a_resumed_run_keeps_its_precision(tmp_path: Path, noted: str) -> None:
    """What a run has begun with is not measured again, whatever is faster now."""
    (tmp_path / "auto").mkdir()
    (tmp_path / "auto" / NOTE).write_text(json.dumps({"precision": noted}))
    run = trained(tmp_path / "auto", planned(precision="auto"))
    assert run == trained(tmp_path / "set", planned(precision=noted))
