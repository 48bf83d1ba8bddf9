"""The measure of the alarm: streams are drawn from samples, and the daemon's own alarm judges."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.agreement.alarm import FEWEST_SAMPLES, AlarmOptions
from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import ExitCode, UsageError
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from tests.conftest import photograph
from tests.samples import sample
from tests.students import agreeing
from trainer import cli
from trainer.evaluation.agreement.samples import (
    DEAD,
    HALVED,
    HEALTHY,
    X4_KINDS,
    damaged,
    measure_samples,
    pieces,
    softenings,
    student_of,
    with_noise,
)
from trainer.evaluation.agreement.streams import (
    Streams,
    alarm_figures,
    as_markdown,
    count_alarms,
    samples_until_alarm,
)
from trainer.evaluation.agreement.thresholds import MIXED
from trainer.publishing.rewriting import rewrite
from trainer.training.dataset import write_image

if TYPE_CHECKING:
    from pathlib import Path

CPU = Placement("cpu", "float32", threads=1)
FEW = Streams(healthy=400, damaged=20, longest=60)
LINED = AlarmOptions(residual_above=0.35)


def test_a_stream_s_alarms_are_counted() -> None:
    """Each time that it is raised anew, in a stream of samples drawn with replacement."""
    chance = random.Random(0)
    assert count_alarms([sample(ratio=0.2)], LINED, 500, chance) == 0
    assert count_alarms([sample(ratio=0.5)], LINED, 500, chance) == 1
    to_and_fro = [sample(ratio=0.3), sample(ratio=0.41)]
    assert count_alarms(to_and_fro, replace(LINED, window=5), 500, chance) > 1


def test_samples_until_the_alarm() -> None:
    """Five at the least; never where the samples are good, or not measurable."""
    chance = random.Random(0)
    assert samples_until_alarm([sample(ratio=1.0)], LINED, 60, chance) == FEWEST_SAMPLES
    assert samples_until_alarm([sample(ratio=0.2)], LINED, 60, chance) is None
    assert samples_until_alarm([sample(ratio=1.0, softness=0.5)], LINED, 60, chance) is None


def test_figures_by_kind_and_mixed() -> None:
    """False alarms of the healthy, samples until the alarm of the others, nothing invented."""
    soft, sharp = sample(ratio=0.2), sample(ratio=2.0, softness=0.5)
    dead = [replace(one, student_residual=one.noop_residual) for one in (soft, sharp)]
    measured = {
        HEALTHY: {"x4": [soft], "sharp": [sharp]},
        DEAD: {"x4": [dead[0]], "sharp": [dead[1]]},
    }
    judged = alarm_figures(measured, LINED, FEW)
    assert {kind: one.alarms for kind, one in judged[HEALTHY].items()} == {
        "x4": 0,
        "sharp": 0,
        MIXED: 0,
    }
    x4, never, mixed = (judged[DEAD][kind] for kind in ("x4", "sharp", MIXED))
    assert (x4.until_median, x4.until_p95, x4.never) == (5, 5, 0)
    assert (never.until_median, never.never, never.ratio) == (None, 1, None)
    assert mixed.until_median is not None
    assert mixed.until_median > 5
    table = as_markdown(judged).splitlines()
    assert (
        f"| {DEAD} | sharp | 1 | 0 | 0.9500 | not measurable |  | never | never | 100% |" in table
    )
    assert f"| {HEALTHY} | x4 | 1 | 1 | 0.9500 | 0.200 | 0 |  |  |  |" in table


def test_damaged_students_are_measured_with_one_teacher(tmp_path: Path) -> None:
    """The same crops for all; half an output, none, noise, and another model."""
    student = weights.load(str(agreeing(tmp_path)))
    other = weights.load(str(agreeing(tmp_path, noise=0.05)))
    others = damaged(student, CPU, wrong=[other])
    opinion = SecondOpinion(student.card, CPU)
    found = measure_samples(
        student_of(student, CPU),
        opinion,
        [photograph(70, 80), photograph(8, 80)],
        softenings(["bic4", "sharp"]),
        crop_px=64,
        others=others,
    )
    assert {len(samples) for kinds in found.values() for samples in kinds.values()} == {1}
    (whole,), (half,), (none,) = (found[name]["bic4"] for name in (HEALTHY, HALVED, DEAD))
    soft = degrade(photograph(70, 80))
    expected = opinion.compare(
        soft, student_of(student, CPU)(soft), crop_px=64, strength=1.0, overshoot=48
    )
    assert whole == expected
    assert whole.student_residual == 0
    assert half.student_residual == pytest.approx(whole.noop_residual / 4, rel=0.15)
    assert none.student_residual == none.noop_residual == whole.noop_residual
    tenth, third = (found[f"weights + {share} noise"]["bic4"][0] for share in ("10%", "30%"))
    assert 0 < tenth.student_residual < third.student_residual
    assert found["wrong model: student"]["bic4"][0].student_residual > 0


def test_noise_is_a_share_of_each_tensor_s_spread(tmp_path: Path) -> None:
    """The student itself stays, and the same seed gives the same noise."""
    student = weights.load(str(agreeing(tmp_path)))
    before = weights.digest(student.network.state_dict())
    shipped = weights.load("lite-photo")  # with cues: whatever a model is made of gets its noise
    noised = dict(with_noise(shipped, 0.3).network.named_parameters())
    assert set(noised) == {name for name, _ in shipped.network.named_parameters()}
    assert not torch.equal(noised["mask.gains.weight"], shipped.network.mask.gains.weight)
    noisy, again = (with_noise(student, 0.3).network.state_dict() for _ in range(2))
    assert weights.digest(student.network.state_dict()) == before
    for name, tensor in student.network.state_dict().items():
        assert torch.equal(noisy[name], again[name])
        added, own = (noisy[name] - tensor).std().item(), tensor.std().item()
        assert added == pytest.approx(0.3 * own, rel=0.4)


def test_pieces_cover_the_picture() -> None:
    """Each pixel is in one piece; an image of the size or below stays whole."""
    picture = photograph(100, 190)
    cut = list(pieces(picture, 64))
    assert [piece.shape[:2] for piece in cut] == [(50, 64), (50, 63), (50, 63)] * 2
    assert np.array_equal(np.vstack([np.hstack(cut[:3]), np.hstack(cut[3:])]), picture)
    (whole,) = pieces(picture, 512)
    assert whole is not None
    assert np.array_equal(whole, picture)


# Kinds of softness


@pytest.mark.parametrize("kind", X4_KINDS)
def test_kinds_are_pure(kind: str) -> None:
    """The same shape and depth, the same again, and the original untouched."""
    picture = photograph(40, 52)
    before = picture.copy()
    once, again = (softenings([kind])[kind](picture) for _ in range(2))
    assert once.shape == picture.shape
    assert once.dtype == np.uint8
    assert np.array_equal(once, again)
    assert np.array_equal(picture, before)
    assert np.array_equal(once, picture) is (kind == "sharp")


def test_unknown_kinds_are_named() -> None:
    """With those that there are."""
    with pytest.raises(
        UsageError, match=r"unknown kind of softness x5; known are bic1.5, bic2, bic3, bic4"
    ):
        softenings(["x5"])


# The commands


def test_the_alarm_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON and Markdown, with the lines, the seeds and every damage."""
    student = agreeing(tmp_path)
    (tmp_path / "set").mkdir()
    write_image(photograph(80, 90), tmp_path / "set" / "a.png")
    arguments = ["alarm", student, "--set", tmp_path / "set", "--kind", "bic4", "--to", tmp_path]
    arguments += ["--wrong", student, "--residual-above", 0.2, "--device", "cpu", "--crop-px", 64]
    arguments += ["--samples", 200, "--streams", 5]
    assert cli.main([str(one) for one in arguments]) == 0
    told = json.loads((tmp_path / "alarm.json").read_text())
    assert set(told["figures"]) == {
        *(HEALTHY, HALVED, DEAD, "weights + 10% noise", "weights + 30% noise"),
        "wrong model: student",
    }
    assert told["alarm"]["residual_above"] == 0.2
    assert told["alarm"]["measurable_from"] == 0
    assert told["figures"][DEAD]["bic4"]["until_median"] == FEWEST_SAMPLES
    assert told["figures"][HEALTHY][MIXED]["alarms"] == 0
    assert (tmp_path / "alarm.md").read_text() == capsys.readouterr().out
    assert cli.main([str(one) for one in [*arguments, "--strength", 0]]) == ExitCode.USAGE


@pytest.mark.slow
def test_lines_are_written_into_both_cards(tmp_path: Path) -> None:
    """The tensors stay, the digest with them; what the card for people held otherwise stays too."""
    student = agreeing(tmp_path)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(12):
        write_image(photograph(70, 80, seed=seed), pictures / f"{seed}.png")
    split = tmp_path / "split.json"
    prepare = ["prepare", pictures, "--data", split, "--validation", 0.5, "--smallest-px", 32]
    assert cli.main([str(one) for one in prepare]) == 0
    (student.with_suffix(".md")).write_text(CARD)
    before = weights.load(str(student))
    command = ["line", student, "--data", split, "--crop-px", 64, "--device", "cpu"]
    assert cli.main([str(one) for one in command]) == 0
    after = weights.load(str(student))
    assert after.digest == before.digest
    assert after.card.residual_above != before.card.residual_above
    assert after.card.residual_above is not None
    told = student.with_suffix(".md").read_text()
    assert f"above a residual ratio of {after.card.residual_above} to the teacher" in told
    assert 'datasets:\n- "own: pictures"\n' in told
    assert told.count("| 250 | 0.5 | 27.25 |") == 1
    rewrite(student, before.card)
    assert weights.load(str(student)) is not None
    assert weights.load(str(student)).card == before.card


CARD = """---
license: ""
datasets:
- "own: pictures"
metrics:
- ssim
---

# student

## Curve

| step | minutes | psnr |
|---|---|---|
| 250 | 0.5 | 27.25 |
| 500 | 1 | 27.5 |

## Identity
"""
