"""The second opinion compares what the student made with what the teacher would have made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import UnavailableError
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.tensors import to_tensor
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.model.networks import TeacherNet
from sharpend.model.sharpener import Sharpener, keep_hidden
from sharpend.model.ssim import compute_ssim
from sharpend.model.weights import Card, save_network
from sharpend.task import OVERSHOOT
from tests.conftest import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

CPU = Placement(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sharpener, SecondOpinion]:
    """A teacher that changes much, and the opinion of a student that names it."""
    torch.manual_seed(1)
    network = TeacherNet(8, 1)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.uniform_(-0.2, 0.2)
    path = tmp_path_factory.mktemp("strong") / "teacher.safetensors"
    save_network(path, network, Card("teacher", "teacher", 8, 1, network.halo_px))
    loaded = weights.load(str(path))
    student = Card("s", "student", 8, 1, 0, teacher=str(path), teacher_digest=loaded.digest)
    return Sharpener(loaded, CPU), SecondOpinion(student, CPU)


@pytest.mark.parametrize("size", [(150, 210), (64, 64), (97, 301)])
def test_the_crop_is_what_the_whole_pass_gives(
    strong: tuple[Sharpener, SecondOpinion], size: tuple[int, int]
) -> None:
    """The teacher sees the crop with its full halo: the numbers are those of the whole image."""
    teacher, opinion = strong
    pixels = photograph(*size)
    student = np.clip(pixels.astype(int) + 9, 0, 255).astype(np.uint8)
    sample = opinion.compare(pixels, student, crop_px=62, strength=1.0, overshoot=OVERSHOOT)
    rows, columns = most_detailed(pixels, height=min(62, size[0]), width=min(62, size[1]))
    taught = to_tensor(teacher.sharpen(pixels)[rows, columns])
    assert sample is not None
    assert sample.student == compute_ssim(to_tensor(student[rows, columns]), taught).item()
    assert sample.noop == compute_ssim(to_tensor(pixels[rows, columns]), taught).item()
    assert sample.student != sample.noop


def test_residuals_are_sums_over_the_crop(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """Of squared differences over R, G and B, in double precision, of finished pixels."""
    teacher, opinion = strong
    pixels = photograph(97, 130)
    student = np.clip(pixels.astype(int) + 9, 0, 255).astype(np.uint8)
    sample = opinion.compare(pixels, student, crop_px=62, strength=1.0, overshoot=OVERSHOOT)
    crop = most_detailed(pixels, height=62, width=62)
    given, made, taught = (
        one[crop].astype(np.float64) / 255 for one in (pixels, student, teacher.sharpen(pixels))
    )
    assert sample is not None
    assert sample.values == 62 * 62 * 3
    assert sample.student_residual == pytest.approx(((made - taught) ** 2).sum(), rel=1e-6)
    assert sample.noop_residual == pytest.approx(((given - taught) ** 2).sum(), rel=1e-6)
    padded = np.pad(given, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    nine = [padded[y : y + 62, x : x + 62] for y in range(3) for x in range(3)]
    detail = ((given - np.nanmean(nine, axis=0)) ** 2).sum()
    assert sample.detail == pytest.approx(detail, rel=1e-6)


def test_detail_goes_with_the_strength(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """At half the strength the teacher adds half, so half the detail is as much to it."""
    _, opinion = strong
    pixels = photograph(64, 64)
    whole, half = (
        opinion.compare(pixels, pixels, crop_px=64, strength=strength, overshoot=OVERSHOOT)
        for strength in (1.0, 0.5)
    )
    assert whole is not None
    assert half is not None
    assert half.detail == whole.detail / 4


def test_what_is_hidden_is_the_input_of_both(
    strong: tuple[Sharpener, SecondOpinion],
) -> None:
    """A student that keeps unseen pixels is not held against a teacher that does not."""
    teacher, opinion = strong
    pixels = photograph(64, 64)
    visible = np.ones((64, 64), bool)
    visible[:, :40] = False
    finished = keep_hidden(teacher.sharpen(pixels), pixels, visible)
    sample = opinion.compare(
        pixels, finished, crop_px=64, strength=1.0, overshoot=OVERSHOOT, visible=visible
    )
    plain = opinion.compare(pixels, finished, crop_px=64, strength=1.0, overshoot=OVERSHOOT)
    assert sample is not None
    assert plain is not None
    assert sample.student_residual == 0 < plain.student_residual
    assert 0 < sample.noop_residual < plain.noop_residual


def test_the_teacher_agrees_with_itself(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """A student that gives the teacher's pixels scores 1, and doing nothing scores less."""
    teacher, opinion = strong
    pixels = photograph(100, 120)
    sample = opinion.compare(
        pixels, teacher.sharpen(pixels), crop_px=64, strength=1.0, overshoot=OVERSHOOT
    )
    assert sample is not None
    assert sample.student == pytest.approx(1, abs=1e-5)
    assert sample.noop < 0.999
    assert sample.student_residual == 0 < sample.noop_residual


def test_strength_concerns_the_teacher_too(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """At half strength the student is held against the teacher at half strength."""
    teacher, opinion = strong
    pixels = photograph(100, 120)
    half = teacher.sharpen(pixels, strength=0.5)
    sample = opinion.compare(pixels, half, crop_px=64, strength=0.5, overshoot=OVERSHOOT)
    assert sample is not None
    assert sample.student == pytest.approx(1, abs=1e-5)


def test_overshoot_concerns_the_teacher_too(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """A bounded student is held against the teacher within the same bounds."""
    teacher, opinion = strong
    pixels = photograph(100, 120)
    bounded = teacher.sharpen(pixels, overshoot=0)
    sample = opinion.compare(pixels, bounded, crop_px=64, strength=1.0, overshoot=0)
    loose = opinion.compare(pixels, bounded, crop_px=64, strength=1.0, overshoot=255)
    assert sample is not None
    assert loose is not None
    assert sample.student == pytest.approx(1, abs=1e-5)
    assert loose.student < 0.999


def test_crispness_concerns_neither(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """A student whose result bears a mask sharpens the crop again without: models compare."""
    teacher, opinion = strong
    pixels = photograph(100, 120)
    plain, again, masked = (
        opinion.compare(pixels, student, crop_px=64, strength=1.0, overshoot=OVERSHOOT)
        for student in (teacher.sharpen(pixels), teacher, teacher.sharpen(pixels, crispness=1.0))
    )
    assert plain == again
    assert plain is not None
    assert masked is not None
    assert masked.student < plain.student


def test_the_teacher_knows_the_whole(tmp_path: Path) -> None:
    """A cued teacher that sees a crop gets the cues of the whole image."""
    torch.manual_seed(1)
    network = TeacherNet(8, 1, bias_free=True, cued=True)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.uniform_(-0.2, 0.2)
    path = tmp_path / "teacher.safetensors"
    card = Card("teacher", "teacher", 8, 1, network.halo_px, bias_free=True, cued=True)
    save_network(path, network, card)
    loaded = weights.load(str(path))
    student = Card("s", "student", 8, 1, 0, teacher=str(path), teacher_digest=loaded.digest)
    teacher, opinion = Sharpener(loaded, CPU), SecondOpinion(student, CPU)
    pixels = photograph(300, 320)
    pixels[:, 160:] //= 8
    made = teacher.sharpen(pixels)
    for cues in (None, measure(pixels)):
        sample = opinion.compare(
            pixels, made, crop_px=64, strength=1.0, overshoot=OVERSHOOT, cues=cues
        )
        assert sample is not None
        assert sample.student == pytest.approx(1, abs=1e-5)


def test_pictures_of_16_bits_are_compared(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """The same image at either depth gives the same numbers, but for the rounding."""
    _, opinion = strong
    pixels = photograph(100, 120)
    student = np.clip(pixels.astype(int) + 9, 0, 255).astype(np.uint8)
    shallow, deep = (
        opinion.compare(before, after, crop_px=64, strength=1.0, overshoot=OVERSHOOT)
        for before, after in (
            (pixels, student),
            (pixels.astype(np.uint16) * 257, student.astype(np.uint16) * 257),
        )
    )
    assert shallow is not None
    assert deep is not None
    assert (deep.student, deep.noop) == pytest.approx((shallow.student, shallow.noop), abs=1e-3)
    assert deep.noop_residual == pytest.approx(shallow.noop_residual, rel=0.02)
    assert deep.detail == pytest.approx(shallow.detail)
    assert deep.values == shallow.values


def test_gray_pictures_are_compared(strong: tuple[Sharpener, SecondOpinion]) -> None:
    """One channel is as good as three."""
    _, opinion = strong
    gray = photograph(64, 64)[..., :1]
    sample = opinion.compare(gray, gray, crop_px=64, strength=1.0, overshoot=OVERSHOOT)
    assert sample is not None
    assert sample.student == sample.noop
    assert sample.values == 64 * 64 * 3


@pytest.mark.parametrize("size", [(10, 64), (64, 10), (1, 1)])
def test_too_small_to_compare(
    strong: tuple[Sharpener, SecondOpinion], size: tuple[int, int]
) -> None:
    """Below SSIM's window there is no number, rather than a wrong one."""
    pixels = photograph(*size)
    assert strong[1].compare(pixels, pixels, crop_px=64, strength=1.0, overshoot=OVERSHOOT) is None


def test_the_right_teacher_or_none(networks: Networks, tmp_path: Path) -> None:
    """A student without a teacher, with a lost one, or with another one gets no opinion."""
    card = weights.load(str(networks.student)).card
    with pytest.raises(UnavailableError, match="names no teacher"):
        SecondOpinion(replace(card, teacher=None), CPU)
    with pytest.raises(UnavailableError, match="no such model"):
        SecondOpinion(replace(card, teacher=str(tmp_path / "lost.safetensors")), CPU)
    with pytest.raises(UnavailableError, match="install both from one training"):
        SecondOpinion(replace(card, teacher_digest="0" * 64), CPU)
