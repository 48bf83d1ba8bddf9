"""Models and the mask: whatever is named opens, and does what its file does elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sharpend.errors import InputMissingError, UnavailableError, UsageError
from sharpend.imaging.filters import unsharp_mask
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.model.weights import Card, save_network
from tests.conftest import Networks, photograph
from trainer.degradations.reduction import get_transform, softened
from trainer.evaluation.scores import score
from trainer.evaluation.unsharp import CROP_PX, IMAGES, Unsharp, middle_crops, search_mask
from trainer.training.checkpoint import Checkpoint, best_network
from trainer.training.dataset import write_image
from trainer.training.losses import LossWeights
from trainer.training.models import open_model
from trainer.training.recipe import NetworkConfig, Recipe, Schedule

if TYPE_CHECKING:
    from pathlib import Path

CPU = Placement("cpu", "float32", threads=1)


def run_folder(folder: Path, network: NetworkConfig) -> Path:
    """A run that has validated once."""
    folder.mkdir()
    recipe = Recipe("tiny", network, loss=LossWeights(target_l1=1), schedule=Schedule(steps=1))
    state = Checkpoint.fresh(recipe, torch.device("cpu"))
    state.judge(folder, {"validation_loss": 1.0})
    return folder


def test_a_weights_file_sharpens_as_the_daemon_does(networks: Networks) -> None:
    """The degraded image goes through the daemon's own tiles; students and teachers alike."""
    small, degraded = softened(photograph(41, 50))
    for path in (networks.student, networks.teacher):
        model = open_model(str(path), CPU)
        expected = Sharpener(weights.load(str(path)), CPU)
        assert np.array_equal(model.sharpen(small, degraded), expected.sharpen(degraded))
        assert (model.name, model.digest) == (expected.card.name, expected.digest)
        assert model.kind == expected.card.kind
        assert model.parameters == sum(
            p.numel() for p in weights.load(str(path)).network.parameters()
        )


def test_a_run_is_measured_as_its_export_would_be(tmp_path: Path) -> None:
    """The best checkpoint, branches folded, has the digest and the pixels of the file to come."""
    folder = run_folder(tmp_path / "run", NetworkConfig("student", 8, blocks=1, branches=4))
    network, _ = best_network(folder, torch.device("cpu"))
    path = tmp_path / "exported.safetensors"
    save_network(path, network, Card("x", "student", 8, 1, network.halo_px))  # type: ignore[arg-type]
    ran, exported = open_model(str(folder), CPU), open_model(str(path), CPU)
    assert (ran.digest, ran.parameters) == (exported.digest, exported.parameters)
    assert (ran.name, ran.kind) == ("tiny", "student")
    small, degraded = softened(photograph(30, 41))
    assert np.array_equal(ran.sharpen(small, degraded), exported.sharpen(small, degraded))


@pytest.mark.parametrize(
    ("kind", "channels", "parameters"),
    [("report-student", 16, 883), ("report-teacher", 64, 40_451)],
)
def test_the_reports_own_networks_run(
    tmp_path: Path, kind: str, channels: int, parameters: int
) -> None:
    """They have no weights file, only a run; any size of image goes through them whole."""
    folder = run_folder(tmp_path / "run", NetworkConfig(kind, channels))
    model = open_model(str(folder), CPU)
    assert (model.kind, model.parameters) == (kind, parameters)
    small, degraded = softened(photograph(30, 41))
    sharpened = model.sharpen(small, degraded)
    assert sharpened.shape == degraded.shape
    assert not np.array_equal(sharpened, degraded)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    """A run that has not validated, and a name that nothing has."""
    with pytest.raises(InputMissingError):
        open_model(str(tmp_path), CPU)
    with pytest.raises(UnavailableError, match="no such model"):
        open_model(str(tmp_path / "nowhere.safetensors"), CPU)


@pytest.mark.slow
def test_a_pretrained_upscaler_is_fed_the_small_picture(tmp_path: Path) -> None:
    """What is degraded afterwards does not matter to it but for its size."""
    architectures = pytest.importorskip("spandrel.architectures.Compact.__arch.SRVGG")
    network = architectures.SRVGGNetCompact(num_feat=4, num_conv=1, upscale=4)
    path = tmp_path / "compact.pth"
    torch.save(network.state_dict(), path)
    model = open_model(str(path), CPU)
    assert (model.name, model.kind) == ("compact", "pretrained")
    small, degraded = softened(photograph(30, 41))
    first, second = (model.sharpen(small, soft) for soft in (degraded, degraded // 2))
    assert np.array_equal(first, second)
    assert first.shape == degraded.shape


def test_the_mask_is_a_method() -> None:
    """It sees the degraded image alone, and is Pillow's."""
    small, degraded = softened(photograph(30, 41))
    made = Unsharp(1.5, 80)(small, degraded)
    assert np.array_equal(made, unsharp_mask(degraded, radius=1.5, percent=80))
    assert np.array_equal(Unsharp(percent=0)(small, degraded), degraded)


def test_the_best_mask_of_the_grid_is_found(tmp_path: Path) -> None:
    """No other mask of the grid has a higher mean SSIM; doing nothing is reported beside it."""
    originals = [photograph(40, 52, seed=seed) for seed in range(3)]
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for path, original in zip(paths, originals, strict=True):
        write_image(original, path)
    radii, percents = (1.0, 2.0), (40, 150, 500)
    found = search_mask(paths, radii=radii, percents=percents)

    def mean_ssim(mask: Unsharp) -> float:
        return float(np.mean([score(mask(*softened(one)), one).ssim for one in originals]))

    masks = [Unsharp(radius, percent) for radius in radii for percent in percents]
    assert found.best == max(masks, key=mean_ssim)
    assert found.ssim == pytest.approx(mean_ssim(found.best))
    assert found.degraded_ssim == pytest.approx(mean_ssim(Unsharp(percent=0)))
    assert found.images == 3


def test_masks_are_judged_on_the_middle_of_whole_degraded_pictures(tmp_path: Path) -> None:
    """Degradation comes before the crop, as in training; images below SSIM's window are not."""
    large, tiny = tmp_path / "large.png", tmp_path / "tiny.png"
    write_image(photograph(300, 270), large)
    write_image(photograph(8, 30), tiny)
    [(degraded, original)] = middle_crops([large, tiny])
    expected = get_transform()(photograph(300, 270))
    assert np.array_equal(degraded, expected[0][22 : 22 + CROP_PX, 7 : 7 + CROP_PX])
    assert np.array_equal(original, expected[1][22 : 22 + CROP_PX, 7 : 7 + CROP_PX])
    with pytest.raises(UsageError, match="no training image is large enough"):
        search_mask([tiny] * (IMAGES + 1))
