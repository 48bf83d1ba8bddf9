"""Images for training: found, checked, divided by name, degraded and cut at one place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpend.errors import ImageRefusedError, InputMissingError, UsageError
from sharpend.model.cues import MEASURED, turned
from trainer.degradations.reduction import get_transform
from trainer.training.batches import Place, centre_batch, cut_batch, random_places, shares_of
from trainer.training.crops import Resident
from trainer.training.dataset import (
    Example,
    ImageDataset,
    label_path,
    read_examples,
    read_image,
    write_image,
)
from trainer.training.image_checks import check_images
from trainer.training.split import Split, find_images, read_split, split_images, write_split


def noise(
    height: int, width: int, seed: int = 0
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Pixels without any pattern."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def example(side: int, seed: int) -> Example:
    """Layers in which every pixel says where it comes from."""
    target = noise(side, side + 8, seed)
    return Example(255 - target, target, target // 2)


def test_pictures_are_found_below_all_folders_once(tmp_path: Path) -> None:
    """Known suffixes in any case, whole trees, sorted; hidden and other files are not images."""
    for name in ("b/x.JPG", "a/deep/y.png", "a/.hidden.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_images([tmp_path, tmp_path / "a"])
    assert [path.name for path in found] == ["y.png", "x.JPG"]
    with pytest.raises(InputMissingError, match="no such folder"):
        find_images([tmp_path / "none"])


def test_the_split_moves_no_picture_when_others_are_added() -> None:
    """An image's side follows from its name alone, whatever folder it is in."""
    names = [Path(f"/p/{number}.png") for number in range(60)]
    few, many = (split_images(names[:n], validation=0.3) for n in (30, 60))
    assert set(few.validation) <= set(many.validation)
    assert set(few.train) <= set(many.train)
    assert not set(many.train) & set(many.validation)
    moved = split_images([Path("/q") / path.name for path in names], validation=0.3)
    assert [path.name for path in moved.train] == [path.name for path in many.train]


def test_a_split_with_an_empty_side_is_refused() -> None:
    """One image cannot do both."""
    with pytest.raises(UsageError, match=r"give 0 for training|0 for validation"):
        split_images([Path("one.png")], validation=0.5)


def test_two_pictures_of_one_name_are_refused() -> None:
    """A name decides the side and names the label, so it must be one image's."""
    with pytest.raises(UsageError, match="two images have the same name"):
        split_images([Path("a/x.png"), Path("b/x.png")], validation=0.5)


def test_a_split_comes_back_with_any_name(tmp_path: Path) -> None:
    """Names that are not UTF-8 survive the JSON file."""
    odd = Path(os.fsdecode(b"/p/\xff\n .png"))
    split = Split((odd,), (Path("/p/b.png"),), "f" * 16)
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json") == split
    split_images([odd, *(Path(f"{n}.png") for n in range(30))], validation=0.5)


@pytest.mark.parametrize("content", ["", "[]", '{"train": []}', '{"train": 3, "validation": []}'])
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, content: str) -> None:
    """Anything but a split is a UsageError; nothing at all is a missing input."""
    path = tmp_path / "split.json"
    with pytest.raises(InputMissingError, match="trainer prepare"):
        read_split(path)
    path.write_text(content)
    with pytest.raises(UsageError, match="not a split"):
        read_split(path)


def test_prepare_leaves_out_what_cannot_train(tmp_path: Path) -> None:
    """Small, damaged and doubled images are named with the reason; the rest is divided."""
    for number in range(12):
        write_image(noise(20, 24, number), tmp_path / f"{number}.png")
    write_image(noise(19, 24), tmp_path / "small.png")
    write_image(noise(20, 24, 3), tmp_path / "twin.png")
    (tmp_path / "bad.png").write_bytes(b"no picture at all")
    split, left_out = check_images([tmp_path], validation=0.4, smallest_px=20)
    assert len(split.train) + len(split.validation) == 12
    (tmp_path / "small.png").unlink()
    again, _ = check_images([tmp_path], validation=0.4, smallest_px=20)
    assert again.fingerprint == split.fingerprint
    write_image(noise(20, 24, 77), tmp_path / "0.png")
    other, _ = check_images([tmp_path], validation=0.4, smallest_px=20)
    assert other.fingerprint != split.fingerprint
    assert {one.path.name: one.reason for one in left_out} == {
        "bad.png": "not_an_image",
        "small.png": "24 x 19 pixels is smaller than 20",
        "twin.png": "the same pixels as 3.png",
    }


def test_a_bad_picture_is_named(tmp_path: Path) -> None:
    """Errors say which file; a missing one is a missing input."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x" * 100)
    with pytest.raises(ImageRefusedError, match=r"bad\.png: "):
        read_image(bad)
    with pytest.raises(InputMissingError, match=r"none\.png"):
        read_image(tmp_path / "none.png")


def test_the_dataset_gives_degraded_and_original_tensors(tmp_path: Path) -> None:
    """Item i is (degraded, original), 3 x H x W float32 in [0, 1], by the given transform."""
    write_image(noise(18, 30), tmp_path / "x.png")
    dataset = ImageDataset(find_images([tmp_path]), get_transform(factor=2))
    degraded, original = dataset[0]
    assert len(dataset) == 1
    assert degraded.shape == original.shape == (3, 18, 30)
    assert degraded.dtype == original.dtype == torch.float32
    expected = get_transform(factor=2)(noise(18, 30))
    for tensor, pixels in zip((degraded, original), expected, strict=True):
        torch.testing.assert_close(tensor, torch.from_numpy(pixels).permute(2, 0, 1) / 255)


def test_examples_carry_their_labels(tmp_path: Path) -> None:
    """A label is found by the image's name; a missing or resized one is refused."""
    picture, labels = tmp_path / "x.jpg.png", tmp_path / "labels"
    write_image(noise(16, 20), picture)
    labels.mkdir()
    with pytest.raises(InputMissingError, match=r"labels/x\.jpg\.png\.png"):
        read_examples([picture], labels)
    write_image(noise(16, 20, 5), label_path(labels, picture))
    (read,) = read_examples([picture], labels)
    assert [layer.sum() for layer in read.layers()] == [
        get_transform()(noise(16, 20))[0].sum(),
        noise(16, 20).sum(),
        noise(16, 20, 5).sum(),
    ]
    assert len(read_examples([picture], None)[0].layers()) == 2
    write_image(noise(16, 21), label_path(labels, picture))
    with pytest.raises(UsageError, match="another size"):
        read_examples([picture], labels)


def test_crops_of_all_layers_are_of_one_place_and_orientation() -> None:
    """Whatever is drawn, degraded, target and taught show the same pixels."""
    examples = [example(20, 1), example(31, 2)]
    chance = np.random.default_rng(0)
    places = random_places(examples, shares_of(examples), size=12, count=40, generator=chance)
    batch = cut_batch(examples, places, size=12)
    degraded, target, taught = batch.degraded, batch.target, batch.taught
    assert taught is not None
    assert degraded.shape == (40, 3, 12, 12)
    whole = (target * 255).round()
    assert torch.equal((degraded * 255).round(), 255 - whole)
    assert torch.equal((taught * 255).round(), (whole / 2).floor())
    assert len({crop.numpy().tobytes() for crop in target}) > 30


def test_the_share_of_untouched_pictures_can_be_set() -> None:
    """However many there are of either kind and size, crops come from them in this share."""
    examples = [replace(example(20, 1), kind="none"), example(31, 2), example(40, 3)]
    shares = shares_of(examples, untouched=0.4)
    assert shares[0] == pytest.approx(0.4)
    assert shares[1] / shares[2] == pytest.approx(31**2 / 40**2, rel=0.3)
    plain = shares_of(examples)
    assert plain.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match=r"data\.untouched"):
        shares_of(examples[1:], untouched=0.4)


def test_the_draw_follows_from_the_generator() -> None:
    """The same generator gives the same batch: step n of a resumed run is step n."""
    examples = [example(20, 1), example(31, 2)]
    first, again, other = (
        random_places(
            examples,
            shares_of(examples),
            size=8,
            count=4,
            generator=np.random.default_rng([7, step]),
        )
        for step in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("labelled", [True, False])
def test_crops_cut_on_a_device_are_the_same(*, labelled: bool) -> None:
    """Every layer, at every place and in every orientation, and the energies that belong to it."""
    examples = [
        replace(
            example(20, seed),
            taught=example(20, seed).taught if labelled else None,
            measured=np.random.default_rng(seed).random(MEASURED).astype(np.float32),
        )
        for seed in range(5)
    ]
    places = random_places(
        examples,
        shares_of(examples),
        size=8,
        count=40,
        generator=np.random.default_rng(1),
    )
    assert {place.turn for place in places} == set(range(8))
    on_device = Resident(examples, torch.device("cpu")).cut(places, size=8)
    both = zip(on_device.layers(), cut_batch(examples, places, size=8).layers(), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


def test_crops_have_the_numbers_of_their_orientation() -> None:
    """Of a turned crop the power by direction is turned, too."""
    measured = np.random.default_rng(0).random(MEASURED).astype(np.float32)
    examples = [replace(example(20, 0), measured=measured)]
    batch = cut_batch(examples, [Place(0, 0, 0, turn) for turn in range(8)], size=8)
    assert batch.measured is not None
    expected = turned(torch.from_numpy(measured).repeat(8, 1), torch.arange(8))
    assert torch.equal(batch.measured, expected)
    assert not torch.equal(batch.measured[0], batch.measured[1])


def test_validation_crops_are_the_middle_on_the_grid() -> None:
    """Fixed crops: the middle of each image, starting on a multiple of four pixels."""
    one = example(31, 2)
    target = centre_batch([one], size=12).target
    middle = one.target[8:20, 12:24]
    assert torch.equal(target[0], torch.from_numpy(middle.copy()).permute(2, 0, 1) / 255)
