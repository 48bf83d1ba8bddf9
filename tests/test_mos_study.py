"""A study's folder: crops without names, the trials of each rater, and what may not change."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.errors import InputMissingError, UsageError
from tests.conftest import Networks, photograph
from tests.raters import small_study
from trainer.commands import mos as command
from trainer.evaluation.matrix.cells import degraded
from trainer.evaluation.mos.order import trials_of
from trainer.evaluation.mos.protocol import Method
from trainer.evaluation.mos.stimuli import STRONG, STRONG_MASK
from trainer.evaluation.mos.study import (
    CROPS,
    DEGRADED,
    ORIGINAL,
    STUDY,
    check_crops,
    crop_path,
    read_study,
)
from trainer.training.dataset import read_image, write_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.evaluation.mos.order import Trial
    from trainer.evaluation.mos.study import Study


def run(*arguments: object) -> None:
    """The command with its arguments, in this process."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    command.mos(parser.parse_args([str(one) for one in arguments]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared study."""
    made = tmp_path_factory.mktemp("study")
    small_study(made)
    return made


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """What is in it."""
    return read_study(folder)


def test_the_command_writes_a_whole_study(tmp_path: Path, networks: Networks) -> None:
    """Images, a model and kinds of softness become crops at 100 % and a description of each."""
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        write_image(photograph(40, 60, seed=seed), images / f"{seed}.png")
    to, where = tmp_path / "study", ["--device", "cpu", "--threads", 1, "--precision", "float32"]
    kinds = ["--kind", "g1", "--kind", "bic2"]
    given = ["--set", images, "--model", f"ours={networks.student}", "--contact", "Test", *where]
    run("prepare", to, *given, *kinds, "--crop", 32)
    study = read_study(to)
    check_crops(study, to)
    assert list(study.conditions) == [ORIGINAL, DEGRADED, STRONG_MASK, "ours"]
    assert study.conditions["ours"]["role"] == "model"
    assert len(str(study.conditions["ours"]["digest"])) == 64
    assert (len(study.acr), len(study.ccr)) == (3 * 2 * 4, 3 * 2 + 4)
    for name, one in study.stimuli.items():
        content = study.contents[one.content]
        window = np.s_[content.top : content.top + 32, content.left : content.left + 32]
        original = read_image(images / content.image)
        soft = degraded(content.kind, original, name=content.image)
        wanted = {ORIGINAL: original, DEGRADED: soft, STRONG_MASK: STRONG(soft, soft)}
        if one.condition in wanted:
            shown = read_image(crop_path(to, name))
            assert np.array_equal(shown, wanted[one.condition][window]), one


def test_the_command_writes_into_a_new_folder_only(tmp_path: Path) -> None:
    """A folder that has something in it, such as another study's votes, is left alone."""
    (tmp_path / "votes.jsonl").touch()
    with pytest.raises(UsageError, match="is not empty"):
        run("prepare", tmp_path, "--set", tmp_path, "--model", "lite-x4", "--contact", "Test")


def test_two_images_are_too_few(tmp_path: Path) -> None:
    """One image is for training, and an interval over images needs two."""
    for seed in range(2):
        write_image(photograph(40, 60, seed=seed), tmp_path / f"{seed}.png")
    to = tmp_path / "study"
    with pytest.raises(UsageError, match="3 or more"):
        run("prepare", to, "--set", tmp_path, "--model", "lite-x4", "--contact", "Test")


@pytest.mark.parametrize("contact", ["", " ", "line\nbreak", "x" * 501])
def test_the_contact_is_one_line(contact: str) -> None:
    """Texts for the page are bounded and printable."""
    with pytest.raises(SystemExit):
        run("prepare", "study", "--set", ".", "--model", "lite-x4", "--contact", contact)


def test_names_of_crops_reveal_nothing(folder: Path, study: Study) -> None:
    """A file's name contains neither condition nor image, and its bytes have no metadata."""
    for name in study.stimuli:
        assert int(name, 16) >= 0
        content = crop_path(folder, name).read_bytes()
        assert all(chunk not in content for chunk in (b"tEXt", b"iTXt", b"eXIf", b"iCCP"))
    assert {path.stem for path in (folder / CROPS).iterdir()} == set(study.stimuli)


def test_training_shows_an_image_that_is_not_rated(study: Study) -> None:
    """The image of the training trials is in no other trial."""
    rated = [*study.acr, *(one for pair in study.ccr for one in pair)]
    trained = {one for ids in study.training for one in ids}
    images = [
        {study.contents[study.stimuli[one].content].image for one in ids}
        for ids in (rated, trained)
    ]
    assert images[0].isdisjoint(images[1])
    assert {study.stimuli[one].condition for one in trained} > {ORIGINAL, DEGRADED, STRONG_MASK}


def test_there_are_controls_of_equal_images(study: Study) -> None:
    """Some pairs show one image twice, each of another content."""
    controls = [first for first, second in study.ccr if first == second]
    assert len(controls) >= 4
    assert len({study.stimuli[one].content for one in controls}) == len(controls)


def test_every_rater_has_every_trial_in_an_order_of_their_own(study: Study) -> None:
    """Orders differ by rater, stay after a restart, and both sides of pairs come first."""
    orders = [trials_of(study, f"rater {number}") for number in range(20)]
    assert orders[3] == trials_of(study, "rater 3")
    assert len({tuple(order) for order in orders}) == len(orders)
    for order in orders:
        counted = [one for one in order if not one.training]
        single = [one.stimuli[0] for one in counted if one.method is Method.ACR]
        pairs = [frozenset(one.stimuli) for one in counted if one.method is Method.CCR]
        assert sorted(single) == sorted(study.acr)
        assert Counter(pairs) == Counter(map(frozenset, study.ccr))
        assert [one.training for one in order] == sorted([o.training for o in order], reverse=True)
    first = {pair: sum(_has(order, pair) for order in orders) for pair in study.ccr}
    assert all(0 < first[pair] < 20 for pair in study.ccr if pair[0] != pair[1])


def _has(order: Sequence[Trial], pair: tuple[str, str]) -> bool:
    return any(one.stimuli == pair for one in order)


def test_neighbours_show_different_images(study: Study) -> None:
    """Of the trials of all raters, hardly two of one image follow each other."""
    same = total = 0
    for number in range(20):
        shown = [
            study.contents[study.stimuli[one.stimuli[0]].content].image
            for one in trials_of(study, str(number))
            if not one.training
        ]
        same += sum(one == other for one, other in pairwise(shown))
        total += len(shown) - 1
    assert same < total / 50


def test_a_changed_study_is_refused(tmp_path: Path) -> None:
    """Neither rules nor crops can be changed once a study is prepared."""
    study = small_study(tmp_path, images=3)
    told = (tmp_path / STUDY).read_text()
    (tmp_path / STUDY).write_text(told.replace('"least_share": 0.9', '"least_share":  0.1'))
    with pytest.raises(UsageError, match="was changed"):
        read_study(tmp_path)
    (tmp_path / STUDY).write_text(told)
    assert read_study(tmp_path).digest == study.digest == hashlib.sha256(told.encode()).hexdigest()
    crop_path(tmp_path, next(iter(study.stimuli))).write_bytes(b"other")
    with pytest.raises(UsageError, match="was changed"):
        check_crops(study, tmp_path)
    crop_path(tmp_path, next(iter(study.stimuli))).unlink()
    with pytest.raises(InputMissingError, match="is missing"):
        check_crops(study, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', "null", '{"format": 1}'])
def test_something_else_is_no_study(tmp_path: Path, content: str) -> None:
    """A file of that name with other content is refused with the reason."""
    (tmp_path / STUDY).write_text(content)
    with pytest.raises(UsageError, match="not a study"):
        read_study(tmp_path)


def test_a_folder_without_a_study_is_reported(tmp_path: Path) -> None:
    """The command that makes a study is named."""
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputMissingError, match="trainer mos prepare"):
            run("report", place)


def test_rules_are_in_the_study(folder: Path) -> None:
    """The file has the rules of screening, before anybody has voted."""
    rules = json.loads((folder / STUDY).read_text())["rules"]
    assert rules["least_correlation_stimuli"] == 0.75
    assert rules["least_correlation_conditions"] == 0.8
