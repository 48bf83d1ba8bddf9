"""The trainer from pictures to a weights file, through its command line, with tiny pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.agreement import SecondOpinion
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.runtime import Placement
from sharpend.sharpener import Sharpener
from trainer import cli
from trainer.dataset import read_picture, read_split, write_picture
from trainer.distill import Run
from trainer.losses import LossWeights
from trainer.teacher import LABELS_CARD

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = ["--steps", "4", "--batch", "2", "--crop-px", "16", "--validation-px", "32"]
TINY += ["--validate-every", "2", "--warm-up", "1", "--channels", "4", "--blocks", "1"]
CPU = ["--device", "cpu", "--precision", "float32", "--threads", "1"]
ROOT = Path(__file__).parent.parent


def blobs(seed: int) -> NDArray[np.uint8]:
    """A picture of 42 x 50 pixels with edges."""
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
        write_picture(blobs(number), pictures / f"{number}.png")
    (folder / "note.md").write_text("Own pictures, CC0 1.0.\n")
    run_of = {kind: folder / f"run-{kind}" for kind in ("teacher", "student")}
    about = ["--to", folder, "--data", data, "--data-note", folder / "note.md"]
    about += ["--license", "CC0-1.0", "--dataset", "own"]
    teacher = folder / "tiny-teacher.safetensors"
    student = folder / "tiny.safetensors"
    export = ["export", "--run", run_of["student"], "--name", "tiny", *about, "--teacher", teacher]
    commands: list[list[object]] = [
        ["prepare", pictures, "--data", data, "--validation", "0.5", "--smallest-px", "32"],
        ["teach", "--data", data, "--run", run_of["teacher"], *TINY, *CPU],
        ["export", "--run", run_of["teacher"], "--name", "tiny-teacher", *about],
        ["label", "--data", data, "--teacher", teacher, "--labels", labels, *CPU],
        ["distill", "--data", data, "--labels", labels, "--run", run_of["student"], *TINY, *CPU],
        [*export, *CPU],
        ["evaluate", "--pictures", pictures, "--student", student, "--teacher", teacher, *CPU,
         "--json", folder / "scores.json", "--sheet", folder / "sheet.png", "--sheet-rows", "2"],
        [*export, *CPU, "--scores", folder / "scores.json"],
    ]  # fmt: skip
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
    assert card.recipe["steps"] == 4
    assert card.alarm_below is not None
    assert 0 < card.alarm_below < 1
    soft = degrade(blobs(99))
    sharp = Sharpener(student, Placement("cpu")).sharpen(soft)
    assert sharp.shape == soft.shape
    found = replace(card, teacher=str(made / "tiny-teacher.safetensors"))
    sample = SecondOpinion(found, Placement("cpu")).compare(soft, sharp, crop_px=256, strength=1.0)
    assert sample is not None
    assert sample.student > 0.5


def test_the_model_card_tells_what_was_measured(made: Path) -> None:
    """Front matter, provenance, both digests and the evaluation stand in the Markdown file."""
    text = (made / "tiny.md").read_text()
    scores = json.loads((made / "scores.json").read_text())
    ssim = scores["folders"]["pictures"]["methods"]["student"]["ssim"]
    for part in (
        'license: "CC0-1.0"',
        "pipeline_tag: image-to-image",
        '- "own"',
        "Own pictures, CC0 1.0.",
        weights.load(str(made / "tiny.safetensors")).digest,
        f"| evaluation | pictures, methods, student, ssim | {ssim:.5g} |",
    ):
        assert part in text, part
    assert str(made) not in text


def test_evaluation_measures_every_method(made: Path) -> None:
    """Doing nothing, unsharp mask, teacher and student stand side by side, per folder."""
    scores = json.loads((made / "scores.json").read_text())
    folder = scores["folders"]["pictures"]
    assert list(folder["methods"]) == ["degraded", "unsharp mask", "teacher", "student"]
    assert folder["pictures"] == len(folder["each"]) == 16
    assert folder["speed_at_px"] == [42, 50]
    assert folder["methods"]["teacher"]["agreement"] == pytest.approx(1, abs=1e-5)
    assert folder["methods"]["student"]["fps"] > 0
    assert read_picture(made / "sheet.png").shape[1] > 5 * 50


def test_labels_are_whole_and_kept(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One label for each picture of the split; labelling again makes only what is missing."""
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
    assert "1 labels made by tiny-teacher, 15 were there" in capsys.readouterr().out
    assert missing.read_bytes() == before


def test_outputs_made_elsewhere_are_measured_by_name(made: Path, tmp_path: Path) -> None:
    """Pictures of `sharpend once` are paired with their originals, whatever their suffix."""
    for number in (3, 4):
        write_picture(blobs(number), tmp_path / f"{number}.webp")
    numbers = tmp_path / "numbers.json"
    assert run("evaluate", "--outputs", tmp_path, "--originals", made / "pictures",
               "--json", numbers) == 0  # fmt: skip
    folder = json.loads(numbers.read_text())["folders"][tmp_path.name]
    assert folder["methods"]["outputs"]["ssim"] == 1
    assert folder["methods"]["outputs"]["psnr"] is None  # infinite: JSON has no word for it
    write_picture(blobs(5), tmp_path / "stranger.png")
    assert run("evaluate", "--outputs", tmp_path, "--originals", made / "pictures") == 66


def test_scores_of_another_network_are_refused(made: Path, tmp_path: Path) -> None:
    """A card tells only numbers that were measured on its own tensors."""
    scores = json.loads((made / "scores.json").read_text())
    scores["machine"]["teacher"]["digest"] = "0" * 64
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert run("export", "--run", made / "run-teacher", "--name", "t", "--to", tmp_path / "out",
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
        (["teach", "--data", "{out}/none.json", "--run", "{out}/run"], 66),
        (["teach", "--data", "{made}/note.md", "--run", "{out}/run"], 64),
        (["teach", "--data", "{made}/split.json", "--run", "{out}/run", "--batch", "0"], 64),
        (["teach", "--data", "{made}/split.json", "--run", "{out}/run", "--device", "tpu"], 69),
        (["teach", "--data", "{made}/split.json", "--run", "{out}/run", "--teacher-mse", "1"], 64),
        (["teach", "--data", "{made}/split.json", "--run", "{made}/run-teacher", *TINY, "--seed",
          "5", "--device", "cpu"], 64),
        (["distill", "--data", "{made}/split.json", "--run", "{out}/run", "--labels", "{out}"], 66),
        (["label", "--data", "{made}/split.json", "--labels", "{out}", "--teacher", "none"], 69),
        (["label", "--data", "{made}/split.json", "--labels", "{out}", "--teacher",
          "{made}/tiny.safetensors"], 69),
        (["evaluate"], 64),
        (["evaluate", "--outputs", "{out}", "--originals", "{out}"], 66),
        (["evaluate", "--pictures", "{out}"], 66),
        (["evaluate", "--pictures", "{made}/pictures", "--student", "{made}/note.md"], 69),
        (["export", "--run", "{out}", "--name", "x", "--to", "{out}", "--data",
          "{made}/split.json", "--data-note", "{made}/note.md", "--license", "MIT"], 66),
        (["export", "--run", "{made}/run-student", "--name", "x", "--to", "{out}", "--data",
          "{made}/split.json", "--data-note", "{made}/note.md", "--license", "MIT"], 64),
        (["export", "--run", "{made}/run-student", "--name", "../x", "--to", "{out}", "--data",
          "{made}/split.json", "--data-note", "{made}/note.md", "--license", "MIT"], 64),
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
    """Every mistake ends in sysexits' code, a line that says what is wrong, and nothing written."""
    filled = [argument.format(made=made, out=tmp_path) for argument in arguments]
    assert run(*filled) == code
    told = capsys.readouterr().err
    assert "trainer" in told
    assert "Traceback" not in told


def test_a_damaged_picture_is_named(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture that cannot be read ends an evaluation with 65 and its name."""
    (tmp_path / "bad.png").write_bytes((made / "pictures" / "1.png").read_bytes()[:90])
    assert run("evaluate", "--pictures", tmp_path) == 65
    assert "bad.png" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["prepare", "teach", "label", "distill", "evaluate", "export"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every option with a text."""
    assert run(command, "--help") == 0
    assert "usage: trainer" in capsys.readouterr().out


def test_help_tells_the_defaults_that_hold() -> None:
    """The command line repeats Run's and LossWeights' defaults in words; they are the same."""
    defaults = {field.name: field.default for kind in (Run, LossWeights) for field in fields(kind)}
    for flag, _, text in cli._RUN_FIELDS:
        name = flag.removeprefix("--").replace("-", "_")
        if not name.startswith("teacher"):
            assert f"(default {defaults[name]:g})" in text, flag


def test_help_needs_no_torch() -> None:
    """`trainer --help` answers before the heavy imports."""
    code = (
        "import sys; from trainer import cli; cli.main(['--help']); print('torch' in sys.modules)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert asked.stdout.endswith("False\n")
