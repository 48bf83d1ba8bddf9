"""Evaluation sets: what a place means, which images make a pair, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.errors import InputMissingError, UsageError
from sharpend.imaging.filters import resize
from tests.conftest import photograph
from trainer.degradations.reduction import get_transform
from trainer.evaluation.sets import Member, open_set, pair_outputs, read_member, split_name
from trainer.training.dataset import write_image
from trainer.training.split import Split, write_split

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, height: int = 24, width: int = 32) -> Path:
    """An image below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(photograph(height, width), path)
    return path.resolve()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hd=data/hd", ("hd", "data/hd")),
        ("data/hd", ("", "data/hd")),
        ("./a=b", ("", "./a=b")),
        ("hd=a=b", ("hd", "a=b")),
        ("=a", ("", "=a")),
    ],
)
def test_a_name_is_before_the_first_equals_sign(text: str, expected: tuple[str, str]) -> None:
    """A slash before it makes the whole a path."""
    assert split_name(text) == expected


def test_a_folder_of_originals(tmp_path: Path) -> None:
    """Every image below it, softened as training does; the folder's name is the set's."""
    paths = [write(tmp_path / "hd.v2", name, 23, 33) for name in ("a.png", "b/c.png")]
    found = open_set(str(tmp_path / "hd.v2"))
    assert (found.name, found.paired) == ("hd.v2", False)
    assert [member.original for member in found.members] == paths
    picture = read_member(found.members[0])
    degraded, original = get_transform()(photograph(23, 33))
    assert np.array_equal(picture.degraded, degraded)
    assert np.array_equal(picture.original, original)
    assert picture.small.shape == (6, 8, 3)


def test_a_split_means_its_validation_side(tmp_path: Path) -> None:
    """What was trained on is not evaluated."""
    train, validation = write(tmp_path, "train.png"), write(tmp_path, "validation.png")
    write_split(Split((train,), (validation,)), tmp_path / "split.json")
    found = open_set(f"own={tmp_path / 'split.json'}")
    assert (found.name, found.members) == ("own", (Member(validation),))
    assert open_set(str(tmp_path / "split.json")).name == "split"


def test_given_small_pictures_are_used(tmp_path: Path) -> None:
    """The benchmarks' own reduction, not ours; an original's surplus pixels are cut."""
    write(tmp_path, "a_HR.png", 26, 33)
    small = photograph(6, 8, seed=5)
    write_image(small, tmp_path / "a_LR.png")
    found = open_set(f"set14={tmp_path}")
    assert found.paired
    picture = read_member(found.members[0])
    assert np.array_equal(picture.small, small)
    assert np.array_equal(picture.degraded, resize(small, height=24, width=32))
    assert np.array_equal(picture.original, photograph(26, 33)[:24, :32])


@pytest.mark.parametrize("lonely", ["b_HR.png", "b_LR.png", "b.png"])
def test_a_picture_without_partner_is_named(tmp_path: Path, lonely: str) -> None:
    """A benchmark with an image missing would give another number without saying so."""
    for name in ("a_HR.png", "a_LR.png", lonely):
        write(tmp_path, name)
    with pytest.raises(
        InputMissingError, match=rf"{lonely}: the other image of the pair is missing"
    ):
        open_set(str(tmp_path))


def test_pictures_named_like_large_ones_alone_are_originals(tmp_path: Path) -> None:
    """Without any small image there are no pairs."""
    write(tmp_path, "a_HR.png")
    assert not open_set(str(tmp_path)).paired


@pytest.mark.parametrize("size", [(24, 28), (28, 32), (20, 32)])
def test_pairs_that_do_not_fit_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """A small image that is no quarter belongs to another reduction."""
    large, small = write(tmp_path, "a_HR.png", *size), write(tmp_path, "a_LR.png", 6, 8)
    with pytest.raises(UsageError, match=r"a_LR\.png: is not a quarter of"):
        read_member(Member(large, small))


def test_what_cannot_be_scored_is_refused_by_name(tmp_path: Path) -> None:
    """Too small an image, an empty folder, a missing place, a file that is no split."""
    with pytest.raises(UsageError, match=r"tiny\.png: a side is shorter than 19"):
        read_member(Member(write(tmp_path, "tiny.png", 18, 40)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputMissingError, match="contains no images"):
        open_set(str(tmp_path / "empty"))
    with pytest.raises(InputMissingError, match="no such folder"):
        open_set(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="not a split"):
        open_set(str(tmp_path / "tiny.png"))


def test_outputs_are_paired_by_relative_name(tmp_path: Path) -> None:
    """Folders are kept apart, the very name wins over another suffix, doubt is an error."""
    originals, outputs = tmp_path / "originals", tmp_path / "outputs"
    for folder, names in (
        (originals, ("a/x.png", "b/x.jpg", "b/x.png")),
        (outputs, ("a/x.jpg", "b/x.png")),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    paired = pair_outputs(outputs, originals)
    assert [(a.parent.name, b.parent.name, b.name) for a, b in paired] == [
        ("a", "a", "x.png"),
        ("b", "b", "x.png"),
    ]
    (outputs / "b" / "x.webp").touch()
    with pytest.raises(UsageError, match="several originals"):
        pair_outputs(outputs, originals)
    (originals / "b" / "x.jpg").unlink()
    (outputs / "c.png").touch()
    with pytest.raises(InputMissingError, match="has no original of"):
        pair_outputs(outputs, originals)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputMissingError, match="contains no images"):
        pair_outputs(tmp_path / "none", originals)
