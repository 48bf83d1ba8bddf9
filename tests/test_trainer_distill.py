"""The training loop: its losses, its schedule, and that stopping it changes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.networks import StudentNet
from sharpend.model.ssim import psnr
from sharpend.model.weights import digest
from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.dataset import Example, centre_batch
from trainer.degradation import get_transform
from trainer.distill import Run, learning_rate, train
from trainer.losses import STUDENT_WEIGHTS, LossWeights, training_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CPU = torch.device("cpu")
RUN = Run(
    kind="student",
    channels=4,
    blocks=1,
    steps=6,
    batch=2,
    crop_px=16,
    warm_up=2,
    validate_every=2,
    validation_px=24,
    loss=STUDENT_WEIGHTS,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they give on pictures this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def example(seed: int, *, labelled: bool = True) -> Example:
    """A picture of soft blobs, softened, and a label between the two."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3))
    pixels = coarse.repeat(12, axis=0).repeat(12, axis=1).astype(np.uint8)
    degraded, target = get_transform()(pixels)
    taught = ((degraded.astype(int) + target) // 2).astype(np.uint8)
    return Example(degraded, target, taught if labelled else None)


EXAMPLES = [example(1), example(2), example(3)]


class Interrupted(list[Example]):
    """Pictures that can be looked at a number of times, then the user presses Ctrl-C."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as a list's
        """As a list, while looks are left."""
        self.looks -= 1
        if self.looks < 0:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def trained(folder: Path, run: Run = RUN, examples: Sequence[Example] = EXAMPLES) -> str:
    """Train and return the digest of the last averaged weights and optimiser's step."""
    train(run, examples, [example(9)], folder, device=CPU)
    last = read_checkpoint(folder / "last.safetensors", CPU)
    assert last.step == run.steps
    return digest(last.averaged.state_dict()) + digest(last.network.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_interrupted_run_continues_to_the_same_bits(tmp_path: Path, precision: str) -> None:
    """Stopped in any step and started again, a run ends in the weights of one never stopped."""
    run = replace(RUN, precision=precision)
    stopped = Interrupted(EXAMPLES)
    stopped.looks = 5 * 2 * run.batch - 1  # each crop looks twice: Ctrl-C comes in the fifth step
    with pytest.raises(KeyboardInterrupt):
        train(run, stopped, [example(9)], tmp_path / "stopped", device=CPU)
    assert read_checkpoint(tmp_path / "stopped" / "last.safetensors", CPU).step == 4
    assert trained(tmp_path / "stopped", run) == trained(tmp_path / "whole", run)


def test_the_record_tells_every_validation(tmp_path: Path) -> None:
    """One JSON line for each validation, with the scores and the agreement with the labels."""
    trained(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all({"loss", "psnr", "ssim", "agreement"} <= line.keys() for line in lines)


def test_the_best_checkpoint_is_the_one_of_highest_psnr(tmp_path: Path) -> None:
    """What is exported is the best of the validations, not the last."""
    state = Checkpoint.fresh(asdict(RUN), StudentNet(4, 1), CPU)
    for state.step, psnr_db in ((1, 20.0), (2, 22.5), (3, 21.0)):
        state.keep(tmp_path, {"psnr": psnr_db})
    best, last = (read_checkpoint(tmp_path / f"{n}.safetensors", CPU) for n in ("best", "last"))
    assert (best.step, best.scores["psnr"]) == (2, 22.5)
    assert (last.step, last.best_psnr) == (3, 22.5)


def test_training_learns(tmp_path: Path) -> None:
    """Some dozen steps on one picture bring the output nearer to the original than the input."""
    run = replace(RUN, steps=80, validate_every=80, ema=0.9, channels=16, crop_px=48)
    best = train(run, [example(9)], [example(9)], tmp_path, device=CPU)
    degraded, target, _ = centre_batch([example(9)], size=run.validation_px)
    assert best.scores["psnr"] > psnr(degraded, target).item() + 0.3


def test_another_run_does_not_continue_a_folder(tmp_path: Path) -> None:
    """Only the number of steps may change between start and resumption."""
    trained(tmp_path)
    with pytest.raises(UsageError, match="is of another run"):
        trained(tmp_path, replace(RUN, seed=1))
    trained(tmp_path, replace(RUN, steps=8))


def test_crops_larger_than_a_picture_are_refused(tmp_path: Path) -> None:
    """The error names the field, before anything is written."""
    for wrong in (replace(RUN, crop_px=64), replace(RUN, validation_px=64)):
        with pytest.raises(UsageError, match=r"(crop|validation)_px is 64, but .* 48 pixels"):
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
            read_checkpoint(path, CPU, run=asdict(RUN))


def test_the_rate_warms_up_and_falls_as_a_cosine() -> None:
    """Linear to the peak, half of it in the middle, 1e-6 at the end."""
    run = replace(RUN, steps=110, warm_up=10, learning_rate=1e-3)
    rates = [learning_rate(run, step) for step in range(111)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == rates[9] == rates[10] == 1e-3
    assert rates[60] == pytest.approx(5e-4, rel=0.01)
    assert rates[110] == pytest.approx(1e-6)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_each_term_counts_as_weighted() -> None:
    """L1 and MSE are means over pixels; a weight of zero leaves a term out."""
    output, target, taught = (torch.full((1, 3, 16, 16), value) for value in (0.5, 0.7, 0.4))
    l1 = training_loss(output, target, None, LossWeights(target_l1=2.0))
    mse = training_loss(output, target, taught, LossWeights(target_l1=0.0, teacher_mse=3.0))
    assert l1.item() == pytest.approx(0.4)
    assert mse.item() == pytest.approx(0.03)
    same = LossWeights(target_l1=0.0, target_ssim=1.0, teacher_ssim=1.0)
    assert training_loss(output, output, output, same).item() == pytest.approx(0, abs=1e-5)


def test_losses_are_float32_under_autocast() -> None:
    """Low precision of the output does not lower the precision of the loss."""
    output, target = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = LossWeights(target_ssim=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = training_loss(output.bfloat16(), target, None, weights)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, training_loss(output.bfloat16().float(), target, None, weights))


def test_teacher_terms_without_labels_are_refused() -> None:
    """A loss that weights a teacher needs its pictures."""
    with pytest.raises(ValueError, match="trainer label"):
        training_loss(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), None, STUDENT_WEIGHTS)
