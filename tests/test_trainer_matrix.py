"""`trainer evaluate --matrix` from images to files, and the matrix in a model card."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.errors import InputMissingError, UsageError
from sharpend.model import weights
from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.weights import Card, Weights, save_network
from tests.conftest import photograph
from trainer.commands import evaluate as evaluation
from trainer.commands import matrix as by_kind
from trainer.evaluation.matrix import comparison
from trainer.evaluation.matrix.cells import CELLS, SHARP, SOFT
from trainer.evaluation.matrix.comparison import BASELINES, BEST_MASK, NOOP, MatrixImage
from trainer.evaluation.matrix.sheets import most_changed
from trainer.publishing.matrix_section import MATRIX
from trainer.publishing.model_card import KINDS_TITLE, model_card
from trainer.publishing.weights_card import with_evaluation, with_matrix
from trainer.training import models
from trainer.training.dataset import read_image, write_image
from trainer.training.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.degradations.mixture import Pixels

pytestmark = pytest.mark.slow
CPU = ["--device", "cpu", "--precision", "float32", "--threads", "1"]
ROWS = [*BASELINES, "small", "x4", "large"]


def evaluate(*arguments: object) -> None:
    """The command with its arguments, in this process."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    evaluation.add_arguments(parser)
    evaluation.evaluate(parser.parse_args([str(one) for one in arguments]))


def network(folder: Path, name: str, *, seed: int, degradation: str = "photo") -> Path:
    """An untrained model of 8 channels, a cued one for photographs."""
    torch.manual_seed(seed)
    made = (TeacherNet if name == "large" else StudentNet)(8, 1, cued=degradation == "photo")
    with torch.no_grad():
        made.tail.weight.mul_(3)
    cued = degradation == "photo"
    card = Card(name, made.kind, 8, 1, made.halo_px, cued=cued, degradation=degradation)
    save_network(folder / f"{name}.safetensors", made, card)
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for three photographs, three models and two real images."""
    folder = tmp_path_factory.mktemp("matrix")
    for place, name in (("one", "coffee"), ("one", "chelsea"), ("two", "astronaut")):
        pixels = getattr(data, name)()[100:156, 120:184]
        (folder / place).mkdir(exist_ok=True)
        write_image(pixels, folder / place / f"{name}.png")
    small, large = network(folder, "small", seed=0), network(folder, "large", seed=1)
    x4 = network(folder, "x4", seed=2, degradation="bicubic")
    sets = ["--set", folder / "one", "--set", folder / "two", "--real", folder / "one"]
    models = ["--model", small, "--model", x4, "--teacher", large]
    evaluate("--matrix", *sets, *models, "--crop", 48, "--to", folder / "to", *CPU)
    return folder


@pytest.fixture(scope="module")
def told(found: Path) -> Any:  # noqa: ANN401 - parsed JSON
    """The JSON."""
    return json.loads((found / "to" / "matrix.json").read_text())


def test_files_and_rows(found: Path, told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """Rows in the order given; sheets for sets, models and real photographs; nothing else."""
    assert list(told["rows"]) == ROWS
    assert told["sets"] == {"one": {"images": 2}, "two": {"images": 1}}
    assert sorted(path.name for path in (found / "to").iterdir()) == [
        *("contact-cells-one.png", "contact-cells-two.png", "contact-real-1.png"),
        *("contact-sharp-large.png", "contact-sharp-small.png", "contact-sharp-x4.png"),
        *("matrix.json", "matrix.md"),
    ]
    assert read_image(found / "to" / "contact-sharp-small.png").shape[2] == 3


def test_the_no_op_gains_nothing(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """Zero gain, equal to its input, no harm, in every cell."""
    row = told["rows"][NOOP]
    for cell in CELLS:
        one = row["cells"][cell]
        assert one["distance"] == one["distance_worst"] == 100
        assert cell == SHARP or one["psnr_gain"] == one["ssim_gain_worst"] == 0
    assert row["soft"]["psnr_gain"] == 0
    assert row["harm"]["noise_worst"] == row["harm"]["blocks"] == 1
    assert set(row["harm"]["overshoot"].values()) == {0}
    assert len(set(row["passes"]["g1"])) == 1


def test_means_are_over_images(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """A set counts by its images; the worst image is named."""
    each = {one["name"]: one["rows"] for one in told["each"]}
    assert len(each) == 3
    gains = {
        name: rows["small"]["cells"]["g1"]["psnr"] - rows[NOOP]["cells"]["g1"]["psnr"]
        for name, rows in each.items()
    }
    one = told["rows"]["small"]["cells"]["g1"]
    assert one["psnr_gain"] == pytest.approx(np.mean(list(gains.values())))
    assert one["psnr_gain_worst"] == pytest.approx(min(gains.values()))
    assert one["psnr_gain_worst_image"] == min(gains, key=lambda name: gains[name])
    soft = told["rows"]["small"]["cells"]
    assert told["rows"]["small"]["soft"]["psnr_gain"] == pytest.approx(
        np.mean([soft[cell]["psnr_gain"] for cell in SOFT])
    )


def test_the_best_mask_is_no_worse_than_the_best_single_one(told: Any) -> None:  # noqa: ANN401
    """It is chosen on these images; crops are the whole here but for a few pixels."""
    rows = told["rows"]
    for cell in SOFT:
        singles = [rows[row]["cells"][cell]["psnr_gain"] for row in ("mask 1/100", "mask 2/150")]
        assert rows[BEST_MASK]["cells"][cell]["psnr_gain"] >= max(singles) - 1e-9


def test_agreement_with_the_teacher(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """Of models and the no-op only; the no-op's residual ratio is one."""
    rows = told["rows"]
    assert rows[NOOP]["cells"]["g2"]["residual_ratio"] == 1
    assert 0 < rows["small"]["cells"]["g2"]["agreement"] < 1
    same = [rows[row]["cells"]["g2"]["agreement_noop"] for row in ("small", "x4", NOOP)]
    assert len(set(same)) == 1
    assert "agreement" not in rows["large"]["cells"]["g2"]
    assert "agreement" not in rows[BEST_MASK]["cells"]["g2"]


def test_targets_judge_photo_students(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """By size, against the x4 model of the same size; teachers and x4 models are not judged."""
    judged = {row for row, one in told["rows"].items() if "targets" in one}
    assert judged == {"small"}
    targets = told["rows"]["small"]["targets"]
    assert targets["column"] == "lite"
    cells = {row: told["rows"][row]["cells"]["bic4"]["psnr_gain"] for row in ("x4", "small")}
    below = next(one for one in targets["checks"] if "x4 network" in one["what"])
    assert below["found"] == pytest.approx(cells["x4"] - cells["small"])
    assert {one["row"] for one in told["order"]} == {"small", "large"}


def test_real_photographs(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """Every photograph as it is, by every method but the no-op and the cells' masks."""
    assert [one["image"] for one in told["real"]] == ["chelsea.png", "coffee.png"]
    assert list(told["real"][0]["rows"]) == ["mask 1/100", "mask 2/150", "small", "x4", "large"]
    assert told["real"][0]["rows"]["mask 2/150"]["slope"] > 1.1
    assert told["rows"]["small"]["real"]["noise_worst"] > 0


def test_the_markdown_holds_every_section(found: Path) -> None:
    """Every table has as many fields in each line as in its first."""
    text = (found / "to" / "matrix.md").read_text()
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        *("Gain over the input, PSNR in dB", "Gain in the worst image, PSNR in dB"),
        *("Gain over the input, SSIM", "PSNR of the output to the input, dB", "Sharp originals"),
        *("By set", "Agreement with the teacher", "Harm elsewhere", "Repeated passes"),
        *("The cue, for `skip_sharp`", "Real photographs", "Targets"),
    ]
    for part in text.split("\n\n"):
        lines = part.splitlines()
        if lines[0].startswith("|"):
            assert len({line.count("|") for line in lines}) == 1, part


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured before is not measured again, and nothing is left behind."""
    (tmp_path / "own").mkdir()
    for seed in range(2):
        write_image(photograph(40, 48, seed=seed), tmp_path / "own" / f"{seed}.png")
    asked: list[str] = []

    def measured(image: MatrixImage, *given: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on
        asked.append(image.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return comparison.measure_image(image, *given, **more)

    monkeypatch.setattr(by_kind, "measure_image", measured)
    command = ["--matrix", "--set", tmp_path / "own", "--to", tmp_path / "to", *CPU]
    with pytest.raises(KeyboardInterrupt):
        evaluate(*command)
    evaluate(*command)
    assert asked == ["0.png", "1.png", "1.png"]
    assert not (tmp_path / "to" / "unfinished-matrix").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--matrix"], "give --set and --to"),
        (
            ["--matrix", "--set", "x", "--to", "y", "--as-they-come"],
            "--as-they-come cannot be combined",
        ),
        (["--matrix", "--set", "x", "--to", "y", "--unsharp-split", "z"], "--unsharp-split cannot"),
        (["--set", "x", "--to", "y", "--real", "z"], "--real needs --matrix"),
        (["--set", "x", "--to", "y", "--crop", "0"], "--crop needs --matrix"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], message: str) -> None:
    """Nothing is ignored."""
    with pytest.raises(UsageError, match=message):
        evaluate(*options)


def test_sets_and_folders_are_checked_first(tmp_path: Path) -> None:
    """Two sets of one name, an empty folder of photographs, an image that is too small."""
    for folder in ("own", "none"):
        (tmp_path / folder).mkdir()
    write_image(photograph(20, 48), tmp_path / "own" / "a.png")
    own = ["--matrix", "--set", tmp_path / "own", "--to", tmp_path / "to", *CPU]
    with pytest.raises(UsageError, match="two sets are named own"):
        evaluate(*own, "--set", tmp_path / "own")
    (tmp_path / "twice" / "below").mkdir(parents=True)
    for folder in ("twice", "twice/below"):
        write_image(photograph(40, 48), tmp_path / folder / "a.png")
    with pytest.raises(UsageError, match="two images named a"):
        evaluate("--matrix", "--set", tmp_path / "twice", "--to", tmp_path / "to", *CPU)
    with pytest.raises(InputMissingError, match="contains no images"):
        evaluate(*own, "--real", tmp_path / "none")
    with pytest.raises(UsageError, match="shorter than 32 pixels"):
        evaluate(*own)


class Plain:
    """A sharpener without taste."""

    def sharpen(self, pixels: Pixels) -> Pixels:
        """Return the input."""
        return pixels


class Crisp:
    """A sharpener whose output shows its option."""

    def sharpen(self, pixels: Pixels, *, crispness: float = 0.0) -> Pixels:
        """Add the option in levels."""
        return pixels + np.uint8(100 * crispness)


def test_crispness_reaches_the_sharpener() -> None:
    """Where it has the option; elsewhere it is refused, unless it is zero."""
    pixels = np.zeros((2, 2, 3), np.uint8)
    plain, crisp = Plain(), Crisp()
    assert models.with_options(crisp.sharpen, crispness=0.5)(pixels).max() == 50
    assert models.with_options(crisp.sharpen, crispness=0.0)(pixels).max() == 0
    assert models.with_options(plain.sharpen, crispness=0.0)(pixels).max() == 0
    with pytest.raises(UsageError, match="--crispness"):
        models.with_options(plain.sharpen, crispness=0.5)


def test_where_an_image_changed_most() -> None:
    """The window that holds the change."""
    before = np.zeros((64, 64, 3), np.uint8)
    after = before.copy()
    after[40:44, 50:54] = 9
    rows, columns = most_changed(before, after, side=16)
    assert rows.start <= 40 < rows.stop
    assert columns.start <= 50 < columns.stop


def test_a_card_carries_its_matrix(found: Path, told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """The model's own row with the no-op beside it, shown as a section of its own."""
    loaded = weights.load(str(found / "small.safetensors"))
    card = with_matrix(loaded.card, loaded.digest, told)
    kept: Any = card.scores[MATRIX]
    assert kept["cells"] == told["rows"]["small"]["cells"]
    assert kept["noop"]["g1"] == told["rows"][NOOP]["cells"]["g1"]["psnr"]
    assert kept["cue"]["kinds"]["g1"]["auc"] == told["cue"]["kinds"]["g1"]["auc"]
    record = Record("run", ({"step": 2, "minutes": 0.1, "psnr": 20.0, "ssim": 0.5},))
    text = model_card(Weights(loaded.network, card, loaded.digest), [], "e" * 64, record)
    section = text.split(f"## {KINDS_TITLE}")[1].split("## Training data")[0]
    assert section.count("| g1+n3+q88 |") == 3
    assert "noise on flat gray" in section
    assert "reduced bicubically to" not in text
    assert "matrix." not in text.split("## Scores")[1]


def test_a_matrix_of_other_networks_is_refused(told: Any) -> None:  # noqa: ANN401 - parsed JSON
    """So is another file."""
    card = Card("a", "student", 8, 1, 52)
    with pytest.raises(UsageError, match="does not contain this model"):
        with_matrix(card, "0" * 64, told)
    contents: list[Any] = [{}, [], {"models": {"a": {"digest": "d"}}}]
    for content in contents:
        with pytest.raises(UsageError, match="not a matrix"):
            with_matrix(card, "d", content)
    with pytest.raises(UsageError, match="not an evaluation"):
        with_evaluation(card, told["models"]["small"]["digest"], told)
