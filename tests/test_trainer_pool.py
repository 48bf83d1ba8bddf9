"""Pools: windows made once, the same from the same seed, and trained on with their cues."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.measuring import measure
from sharpend.model.networks import StudentNet
from trainer.cli import main
from trainer.training.checkpoint import best_network
from trainer.training.dataset import write_image
from trainer.training.pool import (
    POOL_CARD,
    PoolCard,
    label_pool,
    make_pool,
    read_pool,
    read_pool_card,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import Networks

CARD_OF = PoolCard("photo", seed=3, window_px=64, windows={"train": 12, "validation": 4}, split="f")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two photographs to train on, one to validate."""
    folder = tmp_path_factory.mktemp("originals")
    makers: dict[str, Callable[[], NDArray[np.uint8]]] = {
        "a": data.astronaut,
        "b": data.coffee,
        "c": data.chelsea,
    }
    for name, make in makers.items():
        write_image(make()[:300, :400], folder / f"{name}.png")
    paths = sorted(folder.iterdir())
    return {"train": paths[:2], "validation": paths[2:]}


@pytest.fixture(name="pool")
def small_pool(tmp_path: Path, images: dict[str, list[Path]]) -> Path:
    """A small pool."""
    make_pool(tmp_path / "pool", CARD_OF, images)
    return tmp_path / "pool"


@pytest.mark.usefixtures("pool")
def test_the_same_seed_makes_the_same_windows(
    tmp_path: Path, images: dict[str, list[Path]]
) -> None:
    """Window n depends on the seed and n alone: a larger pool begins with the smaller one's."""
    larger = replace(CARD_OF, windows={"train": 20, "validation": 4})
    make_pool(tmp_path / "larger", larger, images)
    other = replace(CARD_OF, seed=4)
    make_pool(tmp_path / "other", other, images)
    first, same, unlike = (
        read_pool(tmp_path / name, "train", taught=False) for name in ("pool", "larger", "other")
    )
    for one, two in zip(first, same[:12], strict=True):
        assert np.array_equal(one.degraded, two.degraded)
        assert np.array_equal(one.target, two.target)
    assert any(
        not np.array_equal(one.degraded, two.degraded)
        for one, two in zip(first, unlike, strict=True)
    )


@pytest.mark.slow
def test_several_processes_make_the_same_pool(
    tmp_path: Path, pool: Path, images: dict[str, list[Path]]
) -> None:
    """Window n follows from its number, whoever makes it, and each has its own measurements."""
    card = replace(CARD_OF, windows={"train": 40, "validation": 4})
    for name, workers in (("one", 1), ("two", 2)):
        make_pool(tmp_path / name, card, images, workers=workers)
    files = sorted(path.relative_to(pool) for path in pool.rglob("*") if path.is_file())
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_windows_carry_the_cues_of_the_whole_window(pool: Path) -> None:
    """The cues of the model at training are those that the daemon would measure."""
    for example in read_pool(pool, "train", taught=False):
        assert example.measured is not None
        expected = measure(np.ascontiguousarray(example.degraded)).tensor()[0].numpy()
        assert np.array_equal(example.measured, expected)
        assert example.kind


def test_an_interrupted_pool_leaves_the_old_one(pool: Path, images: dict[str, list[Path]]) -> None:
    """A new pool is made beside the old one, which is used until the new one is whole."""
    too_large = replace(CARD_OF, window_px=290)
    with pytest.raises(UsageError, match=r"shorter than the 322 pixels of a window"):
        make_pool(pool, too_large, images)
    assert read_pool_card(pool) == CARD_OF
    assert len(read_pool(pool, "validation", taught=False)) == 4


def test_labels_lie_beside_the_windows(pool: Path) -> None:
    """The teacher's image of each window; its name and digest in the card."""
    with pytest.raises(InputMissingError, match="contains no labels"):
        read_pool(pool, "train", taught=True)
    label_pool(pool, {"name": "large", "digest": "1"}, lambda: lambda pixels: 255 - pixels)
    for example in read_pool(pool, "train", taught=True):
        assert example.taught is not None
        assert np.array_equal(example.taught, 255 - example.degraded)
    assert read_pool_card(pool).taught_by == {"name": "large", "digest": "1"}


def test_no_pool_and_a_damaged_card_are_reported(tmp_path: Path) -> None:
    """Both name the folder."""
    with pytest.raises(InputMissingError, match="no such pool"):
        read_pool_card(tmp_path / "none")
    (tmp_path / POOL_CARD).write_text("{")
    with pytest.raises(UsageError, match="not a pool's card"):
        read_pool_card(tmp_path)


RECIPE = """
[network]
kind = "student"
channels = 4
blocks = 1
bias_free = true
cued = true
[data]
degradation = "photo"
pool = "pool"
crop_px = 32
batch = 2
validation_px = 32
[loss]
target_charbonnier = 1.0
teacher_charbonnier = 0.5
[schedule]
steps = 4
validate_every = 2
"""


def test_a_cued_student_trains_on_a_labelled_pool(
    tmp_path: Path,
    images: dict[str, list[Path]],
    networks: Networks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the command line: prepare, pool, label, distill; the run's model has its cues."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    originals = str(images["train"][0].parent)
    assert main(["prepare", originals, "--validation", "0.4"]) == 0
    made = ["pool", "photo", "--to", "pool", "--windows", "6", "--validation", "2", "--size", "64"]
    several = [f"--sharpened-by={one}" for one in (networks.student, networks.teacher)]
    assert main([*made, *several]) == 0
    assert main(["label", "--pool", "pool", "--teacher", str(networks.teacher)]) == 0
    assert main(["distill", "tiny.toml"]) == 0
    network, recipe = best_network(tmp_path / "runs" / "tiny", torch.device("cpu"))
    assert recipe.data.degradation == "photo"
    assert isinstance(network, StudentNet)
    assert network.cued
    card = read_pool_card(tmp_path / "pool")
    assert card.sharpened_by is not None
    assert sorted(card.sharpened_by) == ["student", "teacher"]


def test_a_pool_of_other_images_is_refused(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pool belongs to its split and its mixture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    write_image(np.zeros((300, 300, 3), np.uint8), tmp_path / "x.png")
    write_image(np.ones((300, 300, 3), np.uint8), tmp_path / "y.png")
    assert main(["prepare", str(tmp_path), "--validation", "0.5"]) == 0
    assert main(["distill", "tiny.toml", "--pool", str(pool)]) == 64
    assert "was made by the photo mixture from split f" in capsys.readouterr().err
