"""Teachers: which file is what, what is refused, and that labels are on their images."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.sharpener import Sharpener
from sharpend.model.weights import Card
from trainer.degradations.reduction import get_transform, shrunk, softened
from trainer.training.dataset import read_image, write_image
from trainer.training.labels import LABELS_CARD, label
from trainer.training.models import Model, open_teacher
from trainer.training.teacher import load_teacher_model, upscaled

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CPU = torch.device("cpu")


def blobs(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """An image of smooth patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    return coarse.repeat(6, axis=0).repeat(6, axis=1)[:height, :width].astype(np.uint8)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A tiny teacher's weights file."""
    torch.manual_seed(0)
    network = TeacherNet(4, 1)
    path = tmp_path / "ours.safetensors"
    weights.save_network(path, network, Card("tiny", "teacher", 4, 1, network.halo_px))
    return path


class Nearest(nn.Module):
    """An upscaler that repeats pixels."""

    def forward(self, small: torch.Tensor) -> torch.Tensor:
        """Enlarge four times."""
        return F.interpolate(small, scale_factor=4, mode="nearest")


def test_our_weights_load_as_a_teacher_in_inference_mode(ours: Path) -> None:
    """The report's loader gives a TeacherNet that does not train."""
    model = load_teacher_model(ours, CPU)
    assert isinstance(model, TeacherNet)
    assert not model.training
    assert not any(values.requires_grad for values in model.parameters())


def test_a_student_is_no_teacher(tmp_path: Path) -> None:
    """Learning from a student would go unnoticed; it is refused."""
    path = tmp_path / "student.safetensors"
    weights.save_network(path, StudentNet(4, 1), Card("s", "student", 4, 1, 16))
    with pytest.raises(UnavailableError, match="is a student, not a teacher"):
        load_teacher_model(path, CPU)


def test_our_damaged_weights_are_reported_as_ours(ours: Path) -> None:
    """A cut weights file is not passed on to a loader of foreign models."""
    ours.write_bytes(ours.read_bytes()[:50])
    with pytest.raises(UnavailableError, match="not a sharpend weights file"):
        load_teacher_model(ours, CPU)


def test_without_spandrel_a_foreign_model_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretrained models need an optional package; the error says how to get it."""
    path = tmp_path / "foreign.pth"
    path.touch()
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UnavailableError, match=r"pip install 'sharpend\[zoo\]'"):
        load_teacher_model(path, CPU)


@pytest.mark.slow
def test_a_foreign_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Whatever spandrel says about a file, it becomes one clear error."""
    pytest.importorskip("spandrel")
    path = tmp_path / "foreign.pth"
    path.write_bytes(b"no model")
    with pytest.raises(UnavailableError, match="not a model that spandrel can load"):
        load_teacher_model(path, CPU)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UnavailableError, match="not a model that spandrel can load"):
        load_teacher_model(path, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 4])
def test_a_pretrained_model_must_enlarge_four_times(tmp_path: Path, scale: int) -> None:
    """A real foreign model loads through spandrel at x4, and is refused at any other scale."""
    architectures = pytest.importorskip("spandrel.architectures.Compact.__arch.SRVGG")
    network = architectures.SRVGGNetCompact(num_feat=4, num_conv=1, upscale=scale)
    path = tmp_path / "compact.pth"
    torch.save(network.state_dict(), path)
    if scale != 4:
        with pytest.raises(UnavailableError, match=r"x2 .*a teacher is x4 RGB"):
            load_teacher_model(path, CPU)
        return
    model = load_teacher_model(path, CPU)
    small = torch.rand(1, 3, 9, 12)
    assert model(small).shape == (1, 3, 36, 48)
    with torch.inference_mode():
        torch.testing.assert_close(model(small), network.eval()(small).clamp(0, 1))
    teacher = open_teacher(str(path), Placement("cpu"))
    original = blobs(37, 50)
    assert teacher.name == "compact"
    assert teacher.parameters == sum(values.numel() for values in network.parameters())
    assert teacher.sharpen(*softened(original)).shape == original.shape


def test_our_teacher_works_on_the_degraded_picture(ours: Path) -> None:
    """It teaches what the daemon's own sharpener would make of the softened image."""
    teacher = open_teacher(str(ours), Placement("cpu", "float32"))
    original = blobs(30, 41)
    expected = Sharpener(weights.load(str(ours)), Placement("cpu", "float32"))
    small, soft = softened(original)
    assert np.array_equal(teacher.sharpen(small, soft), expected.sharpen(soft))
    assert (teacher.name, teacher.digest) == ("tiny", expected.digest)


@pytest.mark.parametrize("size", [(48, 64), (37, 50), (6, 9)])
def test_labels_of_an_upscaler_lie_on_the_original(size: tuple[int, int]) -> None:
    """At any size the enlarged small image has the original's shape and is not shifted."""
    original = blobs(*size)
    label_of = upscaled(Nearest(), shrunk(original), CPU, size=original.shape[:2])
    assert label_of.shape == original.shape
    there = np.abs(label_of.astype(int) - degrade(original)).mean()
    shifted = np.abs(np.roll(label_of, 2, axis=(0, 1)).astype(int) - degrade(original)).mean()
    assert there < shifted


@pytest.mark.parametrize("size", [(48, 64), (37, 50), (1, 6)])
def test_methods_are_given_what_training_softens_to(size: tuple[int, int]) -> None:
    """The degraded image is training's own, and the small one is what it was enlarged from."""
    original = blobs(*size)
    small, soft = softened(original)
    assert np.array_equal(soft, get_transform()(original)[0])
    assert np.array_equal(small, shrunk(original))


def halved(_: NDArray[np.uint8], degraded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A teacher that is easy to recognise."""
    return degraded // 2


def test_labels_are_written_once_and_resumed(tmp_path: Path) -> None:
    """Each image's label is under its name; what exists is not made again."""
    pictures = [tmp_path / "a.png", tmp_path / "b.jpg.png"]
    for seed, path in enumerate(pictures):
        write_image(blobs(20, 24, seed), path)
    labels = tmp_path / "new" / "labels"
    teacher = Model("halver", "1" * 64, "teacher", None, halved)
    made = list(label(pictures[:1], teacher, labels))
    assert made == [labels / "a.png.png"]
    assert list(label(pictures, teacher, labels)) == [labels / "b.jpg.png.png"]
    assert np.array_equal(read_image(made[0]), degrade(blobs(20, 24, 0)) // 2)
    assert json.loads((labels / LABELS_CARD).read_text())["teacher"] == "halver"


def test_labels_of_two_teachers_are_not_mixed(tmp_path: Path) -> None:
    """A folder holds one teacher's labels; another teacher's are refused before any is made."""
    list(label([], Model("one", "1" * 64, "teacher", None, halved), tmp_path))
    with pytest.raises(UsageError, match="contains labels by one"):
        list(label([], Model("two", "2" * 64, "teacher", None, halved), tmp_path))
