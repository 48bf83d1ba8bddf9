"""The trainer from images to a weights file, through its command line, with tiny images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.agreement.opinion import SecondOpinion
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.task import OVERSHOOT
from trainer import cli
from trainer.evaluation.agreement import thresholds
from trainer.training.dataset import write_image
from trainer.training.labels import LABELS_CARD
from trainer.training.split import read_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECIPE = """
[network]
kind = "{kind}"
channels = 4
blocks = 1
bias_free = true
[data]
split = "unused.json"
labels = "{labels}"
crop_px = 16
batch = 2
validation_px = 32
[loss]
target_l1 = 1.0
{loss}
[schedule]
steps = 4
warm_up = 1
validate_every = 2
"""
THREADS = ["--device", "cpu", "--threads", "1"]
CPU = [*THREADS, "--precision", "float32"]
ROOT = Path(__file__).parent.parent


def blobs(seed: int) -> NDArray[np.uint8]:
    """An image of 42 x 50 pixels with edges."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 10, 3))
    return coarse.repeat(6, axis=0).repeat(5, axis=1).astype(np.uint8)


def run(*arguments: object) -> int:
    """The command line, in this process."""
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has run once, each with exit code 0."""
    folder = tmp_path_factory.mktemp("trainer")
    pictures, data, labels = folder / "pictures", folder / "split.json", folder / "labels"
    pictures.mkdir()
    for number in range(16):
        write_image(blobs(number), pictures / f"{number}.png")
    (folder / "note.md").write_text("Own pictures, CC0 1.0.\n")
    recipes = {kind: folder / f"tiny-{kind}.toml" for kind in ("teacher", "student")}
    recipes["teacher"].write_text(RECIPE.format(kind="teacher", labels="", loss=""))
    recipes["student"].write_text(
        RECIPE.format(kind="student", labels="unused", loss="teacher_l1 = 1.0")
    )
    run_of = {kind: folder / f"run-{kind}" for kind in ("teacher", "student")}
    about = ["--to", folder, "--data", data, "--data-note", folder / "note.md"]
    about += ["--license", "CC0-1.0", "--dataset", "own"]
    teacher = folder / "tiny-teacher.safetensors"
    of_student = ["--data", data, "--labels", labels, "--run", run_of["student"], *THREADS]
    export = ["export", run_of["student"], "--name", "tiny", *about, "--teacher", teacher, *CPU]
    commands: list[list[object]] = [
        ["prepare", pictures, "--data", data, "--validation", "0.5", "--smallest-px", "32"],
        ["teacher", recipes["teacher"], "--data", data, "--run", run_of["teacher"], *THREADS],
        ["export", run_of["teacher"], *about],
        ["label", "--data", data, "--teacher", teacher, "--labels", labels, *CPU],
        ["distill", recipes["student"], *of_student],
        ["evaluate", "--set", pictures, "--model", f"tiny={run_of['student']}", "--teacher",
         teacher, *CPU, "--to", folder / "scores"],
        [*export, "--scores", folder / "scores" / "evaluation.json"],
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "WINDOWS", 10_000)  # of a model that learns nothing
        for command in commands:
            assert run(*command) == 0, command
    return folder


def test_the_exported_student_runs_and_finds_its_teacher(made: Path) -> None:
    """The end of the way: the daemon's own parts load the file, sharpen, and compare."""
    student = weights.load(str(made / "tiny.safetensors"))
    teacher = weights.load(str(made / "tiny-teacher.safetensors"))
    card = student.card
    assert (card.kind, card.teacher, card.teacher_digest) == (
        "student",
        "tiny-teacher",
        teacher.digest,
    )
    assert card.license == "CC0-1.0"
    schedule, reached = card.recipe["schedule"], card.recipe["reached"]
    assert isinstance(schedule, dict)
    assert isinstance(reached, dict)
    assert schedule["steps"] == 4
    assert reached["step"] in (2, 4)
    assert card.bias_free
    assert card.alarm_below is not None
    assert 0 < card.alarm_below < 1
    soft = degrade(blobs(99))
    sharp = Sharpener(student, Placement("cpu")).sharpen(soft)
    assert sharp.shape == soft.shape
    found = replace(card, teacher=str(made / "tiny-teacher.safetensors"))
    sample = SecondOpinion(found, Placement("cpu")).compare(
        soft, sharp, crop_px=256, strength=1.0, overshoot=OVERSHOOT
    )
    assert sample is not None
    assert sample.student > 0.5


def test_the_model_card_reports_what_was_measured(made: Path) -> None:
    """Front matter, provenance, both digests and the evaluation are in the Markdown file."""
    text = (made / "tiny.md").read_text()
    scores = json.loads((made / "scores" / "evaluation.json").read_text())
    ssim = scores["sets"]["pictures"]["rows"]["tiny"]["ssim"]
    for part in (
        'license: "CC0-1.0"',
        "pipeline_tag: image-to-image",
        '- "own"',
        "Own pictures, CC0 1.0.",
        weights.load(str(made / "tiny.safetensors")).digest,
        f"| evaluation.pictures.tiny.ssim | {ssim['mean']:.5g} ({ssim['low']:.5g} to ",
        "| loss.teacher_l1 | 1 |",
        "trained_on.labels.teacher | tiny-teacher |",
        "trainer distill RECIPE",
    ):
        assert part in text, part
    assert str(made) not in text


def test_cards_hold_no_places(made: Path) -> None:
    """The card names no paths of images, labels and runs on the maker's machine."""
    for name in ("tiny", "tiny-teacher"):
        assert str(made).encode() not in (made / f"{name}.safetensors").read_bytes()
        assert str(made) not in (made / f"{name}.md").read_text()


def test_labels_are_whole_and_kept(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One label for each image of the split; labelling again makes only what is missing."""
    split = read_split(made / "split.json")
    labels = made / "labels"
    names = {f"{path.name}.png" for path in (*split.train, *split.validation)} | {LABELS_CARD}
    assert set(os.listdir(labels)) == names
    missing = labels / f"{split.train[0].name}.png"
    before = missing.read_bytes()
    missing.unlink()
    teacher = made / "tiny-teacher.safetensors"
    assert run("label", "--data", made / "split.json", "--teacher", teacher,
               "--labels", labels, *CPU) == 0  # fmt: skip
    assert "1 labels made by tiny-teacher, 15 existed" in capsys.readouterr().out
    assert missing.read_bytes() == before


def test_scores_of_another_network_are_refused(made: Path, tmp_path: Path) -> None:
    """A card reports only numbers that were measured on its own tensors."""
    scores = json.loads((made / "scores" / "evaluation.json").read_text())
    scores["models"]["tiny-teacher"]["digest"] = "0" * 64
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert run("export", made / "run-teacher", "--name", "t", "--to", tmp_path / "out",
               "--data", made / "split.json", "--data-note", made / "note.md", "--license", "MIT",
               "--scores", tmp_path / "scores.json") == 64  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 64),
        (["polish"], 64),
        (["prepare", "{made}/pictures"], 64),
        (["prepare", "{made}/none", "--data", "{out}/s.json"], 66),
        (["prepare", "{made}/pictures", "--data", "{out}/none/s.json", "--smallest-px", "9",
          "--validation", "0.5"], 73),
        (["prepare", "{made}/pictures", "--data", "{out}/s.json", "--validation", "1"], 64),
        (["prepare", "{made}/labels", "--data", "{out}/s", "--smallest-px", "999"], 64),
        (["teacher", "none-x4"], 66),
        (["teacher", "{made}/note.md"], 66),
        (["teacher", "{made}/tiny-teacher.toml", "--data", "{out}/none.json"], 66),
        (["teacher", "{made}/tiny-teacher.toml", "--data", "{made}/note.md"], 64),
        (["teacher", "{made}/tiny-student.toml", "--data", "{made}/split.json"], 64),
        (["teacher", "{made}/tiny-teacher.toml", "--data", "{made}/split.json", "--run",
          "{out}/run", "--device", "tpu"], 69),
        (["teacher", "{made}/tiny-teacher.toml", "--data", "{made}/split.json", "--labels",
          "{made}/labels", "--run", "{made}/run-teacher", "--device", "cpu"], 64),
        (["distill", "{made}/tiny-student.toml", "--data", "{made}/split.json", "--run",
          "{out}/run", "--labels", "{out}"], 66),
        (["label", "--data", "{made}/split.json", "--labels", "{out}", "--teacher", "none"], 69),
        (["label", "--data", "{made}/split.json", "--labels", "{out}", "--teacher",
          "{made}/tiny.safetensors"], 69),
        (["evaluate"], 64),
        (["evaluate", "--outputs", "{out}", "--originals", "{out}"], 66),
        (["evaluate", "--set", "{out}", "--to", "{out}/to"], 66),
        (["evaluate", "--set", "{made}/pictures", "--model", "{made}/note.md", "--to",
          "{out}/to"], 69),
        (["export", "{out}", "--to", "{out}", "--data", "{made}/split.json", "--data-note",
          "{made}/note.md", "--license", "MIT"], 66),
        (["export", "{made}/run-student", "--to", "{out}", "--data", "{made}/split.json",
          "--data-note", "{made}/note.md", "--license", "MIT"], 64),
        (["export", "{made}/run-student", "--name", "../x", "--to", "{out}", "--data",
          "{made}/split.json", "--data-note", "{made}/note.md", "--license", "MIT"], 64),
        (["export", "{made}/run-student", "--teacher", "{made}/tiny-teacher.safetensors", "--to",
          "{out}", "--data", "{made}/split.json", "--data-note", "{made}/note.md", "--license",
          "MIT", "--specialist", "lite-photo"], 64),
        (["figure"], 64),
        (["figure", "curves", "{out}", "--to", "{out}/curves.png"], 66),
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_has_its_exit_code_and_no_traceback(
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    """Every mistake ends in sysexits' code and a line that says what is wrong."""
    filled = [argument.format(made=made, out=tmp_path) for argument in arguments]
    assert run(*filled) == code
    told = capsys.readouterr().err
    assert "trainer" in told
    assert "Traceback" not in told


def test_a_damaged_picture_is_named(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image that cannot be read ends an evaluation with 65 and its name."""
    (tmp_path / "bad.png").write_bytes((made / "pictures" / "1.png").read_bytes()[:90])
    assert run("evaluate", "--set", tmp_path, "--to", tmp_path / "to") == 65
    assert "bad.png" in capsys.readouterr().err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help answers for each."""
    assert run(command, "--help") == 0
    assert f"usage: trainer {command}" in capsys.readouterr().out


def test_help_needs_no_torch() -> None:
    """`trainer --help` answers before the heavy imports."""
    code = (
        "import sys; from trainer import cli; cli.main(['--help']); print('torch' in sys.modules)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert asked.stdout.endswith("False\n")
