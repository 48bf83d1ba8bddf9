"""The command: its files, its order, what it refuses, and that it goes on after an interruption."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.errors import UnavailableError, UsageError
from sharpend.imaging.filters import degrade, unsharp_mask
from tests.conftest import Networks, photograph
from trainer.commands import evaluate as evaluation
from trainer.degradations.reduction import softened
from trainer.evaluation.measurements import (
    CROP_PX,
    ORIGINAL,
    WHOLE,
    restored,
    score_methods,
)
from trainer.evaluation.partial import PartialResults
from trainer.evaluation.scores import score
from trainer.evaluation.sets import Softened
from trainer.evaluation.speed import Cost
from trainer.evaluation.tables import DEGRADED, UNSHARP
from trainer.training.dataset import read_image, write_image
from trainer.training.split import Split, write_split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.degradations.mixture import Pixels

CPU = ["--device", "cpu", "--precision", "float32", "--threads", "1"]


def evaluate(*arguments: object) -> None:
    """The command with its arguments, in this process."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    evaluation.add_arguments(parser)
    evaluation.evaluate(parser.parse_args([str(one) for one in arguments]))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three small originals."""
    folder = tmp_path / "own"
    folder.mkdir()
    for seed in range(3):
        write_image(photograph(40, 52, seed=seed), folder / f"{seed}.png")
    return folder


def softened_picture(height: int = 40, width: int = 52) -> Softened:
    """One in memory."""
    original = photograph(height, width)
    return Softened(*softened(original), original)


def test_everything_is_written_and_printed(
    tmp_path: Path, pictures: Path, networks: Networks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows in the order given, files for programs and people, nothing left behind."""
    to = tmp_path / "found"
    models = ["--model", f"lite={networks.student}", "--teacher", networks.teacher]
    more = ["--pretrained", f"strong={networks.teacher}", "--unsharp", "1.5:80"]
    evaluate("--set", f"hd={pictures}", *models, *more, "--to", to, *CPU)
    told = json.loads((to / "evaluation.json").read_text())
    rows = [DEGRADED, UNSHARP, "lite", "teacher", "strong"]
    assert list(told["sets"]["hd"]["rows"]) == rows
    assert (told["student"], told["teacher"]) == ("lite", "teacher")
    assert told["models"]["lite"]["kind"] == "student"
    assert told["machine"]["device"] == "cpu"
    assert told["unsharp"] == {"radius": 1.5, "percent": 80, "chosen": "as given"}
    assert told["sets"]["hd"]["rows"]["strong"]["agreement"]["mean"] == 1
    assert (to / "evaluation.md").read_text() == capsys.readouterr().out
    assert read_image(to / "contact-hd.png").shape[1] > 6 * 2 * 40
    assert sorted(path.name for path in to.iterdir()) == [
        "contact-hd.png",
        "evaluation.json",
        "evaluation.md",
    ]


def test_numbers_are_those_of_the_pictures(
    tmp_path: Path, pictures: Path, networks: Networks
) -> None:
    """The no-op and the mask in the JSON score as by hand."""
    evaluate("--set", pictures, "--teacher", networks.teacher, "--to", tmp_path, *CPU)
    each = json.loads((tmp_path / "evaluation.json").read_text())["sets"]["own"]["each"]
    original = photograph(40, 52, seed=1)
    soft = degrade(original)
    assert each[1]["picture"] == "1.png"
    assert each[1]["scores"][DEGRADED]["ssim"] == pytest.approx(score(soft, original).ssim)
    masked = score(unsharp_mask(soft), original)
    assert each[1]["scores"][UNSHARP]["psnr"] == pytest.approx(masked.psnr)


def test_pictures_as_they_come(tmp_path: Path, pictures: Path, networks: Networks) -> None:
    """Methods get the originals: nothing done is perfect, and colours are held against those."""
    given = ["--set", f"own={pictures}", "--model", f"lite={networks.student}", *CPU]
    evaluate(*given, "--as-they-come", "--to", tmp_path)
    told = json.loads((tmp_path / "evaluation.json").read_text())["sets"]["own"]
    assert told["as_they_come"]
    assert told["rows"][DEGRADED]["ssim"]["mean"] == 1
    original = photograph(40, 52, seed=1)
    masked = unsharp_mask(original).mean(axis=(0, 1)) - original.mean(axis=(0, 1))
    assert told["each"][1]["scores"][UNSHARP]["shift"] == pytest.approx(abs(masked).max())
    assert "the originals themselves sharpened" in (tmp_path / "evaluation.md").read_text()
    evaluate(*given, "--to", tmp_path)
    told = json.loads((tmp_path / "evaluation.json").read_text())["sets"]["own"]
    assert told["rows"][DEGRADED]["ssim"]["mean"] < 1
    with pytest.raises(UsageError, match="takes reduced images only"):
        evaluate(*given, "--as-they-come", "--pretrained", networks.teacher, "--to", tmp_path)


def test_a_split_finds_the_mask(tmp_path: Path, pictures: Path) -> None:
    """The training side chooses, and the record says what it chose by."""
    paths = tuple(sorted(pictures.iterdir()))
    write_split(Split(paths[:2], paths[2:]), tmp_path / "split.json")
    split = tmp_path / "split.json"
    evaluate("--set", f"held={split}", "--unsharp-split", split, "--to", tmp_path, *CPU)
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert told["sets"]["held"]["pictures"] == 1
    assert told["unsharp"]["chosen"].startswith("the best SSIM on 2 training images")
    assert not list(tmp_path.glob("contact-*"))


def test_every_method_works_on_every_picture_once() -> None:
    """A slow teacher is asked once, its image serves as its own row and as the reference."""
    picture, asked = softened_picture(), []

    def teacher(_: Pixels, degraded: Pixels) -> Pixels:
        asked.append(degraded)
        return picture.original

    measured = score_methods(
        "x.png", picture, {DEGRADED: lambda _, soft: soft, "t": teacher}, teacher="t"
    )
    assert len(asked) == 1
    assert measured.scores["t"].ssim == measured.scores["t"].agreement == 1
    assert measured.scores[DEGRADED].agreement == measured.scores[DEGRADED].ssim


def test_crops_lie_on_the_most_detailed_place() -> None:
    """Every row's crop is of one place, and the whole image is there with a frame around it."""
    original = np.full((300, 400, 3), 128, np.uint8)
    original[200:280, 300:390] = photograph(80, 90)
    picture = Softened(*softened(original), original)
    measured = score_methods("x.png", picture, {"copy": lambda *_: original}, teacher=None)
    assert measured.crops["copy"].shape == (CROP_PX, CROP_PX, 3)
    assert np.array_equal(measured.crops["copy"], measured.crops[ORIGINAL])
    assert (measured.crops[ORIGINAL] != 128).any()
    assert measured.crops[WHOLE].shape == (240, 320, 3)
    assert (measured.crops[WHOLE] == (255, 210, 0)).all(axis=2).sum() > 4 * 100
    assert measured.scores["copy"].agreement is None


def test_what_is_kept_is_the_same(tmp_path: Path) -> None:
    """Scores and crops come back as they were; another image or evaluation finds nothing."""
    picture = softened_picture()
    measured = score_methods("x.png", picture, {DEGRADED: lambda _, soft: soft}, teacher=DEGRADED)
    versions = (picture.original, picture.small)
    kept = PartialResults(tmp_path / "kept", {"rows": {"a": "1"}})
    assert kept.load("x.png", versions) is None
    kept.save("x.png", versions, measured.described(), measured.crops)
    saved = kept.load("x.png", versions)
    assert saved is not None
    found = restored(*saved)
    assert found.described() == measured.described()
    assert list(found.crops) == list(measured.crops)
    for name, crop in measured.crops.items():
        assert np.array_equal(found.crops[name], crop)
    other = PartialResults(tmp_path / "kept", {"rows": {"a": "2"}})
    assert other.load("x.png", versions) is None
    assert kept.load("y.png", versions) is None
    assert kept.load("x.png", [softened_picture(44).original, picture.small]) is None


def test_an_interrupted_evaluation_goes_on(
    tmp_path: Path, pictures: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images that were measured before the interruption are not measured again."""
    asked: list[str] = []

    def counting(fails_at: int) -> Callable[..., object]:
        def measured(name: str, *given: object, **more: object) -> object:
            if len(asked) == fails_at:
                raise KeyboardInterrupt
            asked.append(name)
            return score_methods(name, *given, **more)  # type: ignore[arg-type]

        return measured

    command = ["--set", pictures, "--model", networks.student, "--to", tmp_path / "to", *CPU]
    monkeypatch.setattr(evaluation, "score_methods", counting(2))
    with pytest.raises(KeyboardInterrupt):
        evaluate(*command)
    monkeypatch.setattr(evaluation, "score_methods", counting(99))
    evaluate(*command)
    assert asked == ["0.png", "1.png", "2.png"]
    assert (tmp_path / "to" / "evaluation.json").is_file()


def test_speed_is_measured_for_each_network(
    tmp_path: Path, pictures: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it was opened from, at one and two threads, under the name of its row."""
    asked = []

    def fake(places: dict[str, str], **given: object) -> dict[str, Cost]:
        asked.append((places, given))
        return {row: Cost(1, 2.0, {1: 3.0, 2: 4.0}, 5.0, "a processor") for row in places}

    monkeypatch.setattr(evaluation, "measure_costs", fake)
    rows = ["--model", f"a={networks.student}", "--teacher", f"t={networks.teacher}"]
    evaluate("--set", pictures, *rows, "--speed", "--to", tmp_path, *CPU)
    given = {"against": "t", "device": "cpu", "precision": "float32", "threads": (1, 2)}
    assert asked == [({"a": str(networks.student), "t": str(networks.teacher)}, given)]
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert told["costs"]["a"]["peak_mib"] == 5


def test_ready_pictures_are_scored_alone(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against originals of the same names; files only where they are asked for."""
    outputs = tmp_path / "sharp"
    outputs.mkdir()
    for seed in range(3):
        write_image(degrade(photograph(40, 52, seed=seed)), outputs / f"{seed}.png")
    evaluate("--outputs", outputs, "--originals", pictures)
    assert "## sharp" in capsys.readouterr().out
    evaluate("--outputs", outputs, "--originals", pictures, "--to", tmp_path / "to")
    told = json.loads((tmp_path / "to" / "evaluation.json").read_text())
    assert list(told["sets"]["sharp"]["rows"]) == ["outputs"]
    assert told["models"] == {}
    write_image(photograph(40, 51), outputs / "0.png")
    with pytest.raises(UsageError, match=r"0\.png: cannot compare 51 x 40 with 52 x 40"):
        evaluate("--outputs", outputs, "--originals", pictures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "{own}"], "give --set and --to"),
        (["--to", "{own}"], "give --set and --to"),
        (["--outputs", "{own}"], "--outputs with --originals"),
        (
            ["--outputs", "{own}", "--originals", "{own}", "--set", "{own}"],
            "cannot be combined with --set",
        ),
        (["--set", "{own}", "--set", "own={own}", "--to", "{own}"], "two sets are named own"),
        (
            ["--set", "{own}", "--to", "{own}", "--model", "{net}", "--teacher", "student={net}"],
            "another row is named student",
        ),
        (["--set", "{own}", "--to", "{own}", "--model", "degraded={net}"], "another row is named"),
        (
            ["--set", "{own}", "--to", "{own}", "--model", "{net}", "--student", "other"],
            "no row is named other; rows are student",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(
    pictures: Path, networks: Networks, arguments: list[str], message: str
) -> None:
    """Before hours of measuring, and in words."""
    filled = [one.format(own=pictures, net=networks.student) for one in arguments]
    with pytest.raises(UsageError, match=message):
        evaluate(*filled, *CPU)


@pytest.mark.parametrize("mask", ["2", "-1:50", "2:-3", "nan:50"])
def test_a_mask_is_a_radius_and_an_amount(mask: str) -> None:
    """Anything else is refused by the parser."""
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        evaluate(f"--unsharp={mask}")


def test_a_model_that_is_missing_is_reported(tmp_path: Path, pictures: Path) -> None:
    """Before anything is measured."""
    with pytest.raises(UnavailableError, match="no such model"):
        evaluate("--set", pictures, "--model", "no-x4", "--to", tmp_path / "to", *CPU)
    assert not (tmp_path / "to").exists()
