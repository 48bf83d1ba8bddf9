"""Figures: right numbers at the right places, nothing drawn over anything else."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.errors import InputMissingError, UnavailableError, UsageError
from sharpend.imaging.files import load_rgb, save_png
from sharpend.model.installed import openvino_version
from tests.conftest import drop, photograph
from trainer.commands.figure import add_arguments, figure
from trainer.degradations.reduction import get_transform
from trainer.evaluation import front
from trainer.evaluation.front import Point
from trainer.figures.canvas import blank
from trainer.figures.curves import draw_curves
from trainer.figures.diagram import Lesson, draw_pipeline
from trainer.figures.front import undominated
from trainer.figures.pair import pair_sheet
from trainer.figures.scene import outlined, read_scene
from trainer.training.record import Record, append_line, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from tests.conftest import Networks
    from trainer.figures.scene import Scene


def written(run: Path, *lines: dict[str, float] | str) -> Path:
    """A run's folder with a record."""
    run.mkdir()
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    (run / "record.jsonl").write_text(text)
    return run


def at(step: int, minutes: float, **values: float) -> dict[str, float]:
    """A line of a record."""
    return {"step": step, "minutes": minutes, "loss": 0.1, **values}


def test_a_repeated_step_counts_as_it_was_measured_last(tmp_path: Path) -> None:
    """A run killed between a record and its checkpoint measures a step again."""
    run = written(tmp_path / "lite", at(2, 9, psnr=1), at(1, 5, psnr=0), at(2, 8, psnr=3))
    record = read_record(run)
    assert record.name == "lite"
    assert record.points("step", "psnr") == ([1, 2], [0, 3])
    assert record.points("minutes", "psnr") == ([5, 8], [0, 3])


def test_a_line_cut_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    """What is not a whole measurement is none."""
    run = written(tmp_path / "run", at(1, 1, psnr=2), '{"step": 2, "min', "3", '{"step": 4}')
    assert read_record(run).points("step", "psnr") == ([1], [2])


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    """What a resumed run writes is not glued to what a kill cut short."""
    run = written(tmp_path / "run", at(1, 1, psnr=2))
    with (run / "record.jsonl").open("a") as file:
        file.write('{"step": 2, "min')
    append_line(run / "record.jsonl", json.dumps(at(2, 2, psnr=3)))
    assert read_record(run).points("step", "psnr") == ([1, 2], [2, 3])


def test_a_run_without_measurements_is_named(tmp_path: Path) -> None:
    """No record, or an empty one, is an error that says which."""
    with pytest.raises(InputMissingError, match=r"record\.jsonl: no such file"):
        read_record(tmp_path)
    with pytest.raises(InputMissingError, match="contains no validation"):
        read_record(written(tmp_path / "run"))


def recorded(name: str, *steps: int, **values: float) -> Record:
    """A run that measured the same each time, but a little more."""
    rows = ({k: v + step / 1e6 for k, v in values.items()} for step in steps)
    return Record(name, tuple(at(s, s / 60, **row) for s, row in zip(steps, rows, strict=True)))


def test_curves_show_what_was_measured() -> None:
    """A row for each measure that a run has; the best is in the legend, none is invented."""
    teacher = recorded("teacher", 250, 500, psnr=28.0, ssim=0.79)
    drawn = draw_curves([teacher, recorded("lite", 250, 900, psnr=27.0, ssim=0.78)])
    assert [one.get_title("left") for one in drawn.axes[::2]] == [
        "PSNR to the original, dB",
        "SSIM to the original",
    ]
    legend = drawn.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "teacher, best 28.00 dB",
        "lite, best 27.00 dB",
    ]
    line = drawn.axes[1].lines[0]
    assert np.asarray(line.get_xdata()).tolist() == pytest.approx([250 / 60, 500 / 60])
    with_agreement = draw_curves([teacher, recorded("base", 250, psnr=27.0, agreement=0.98)])
    assert len(with_agreement.axes) == 6


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        ((250, 8000), ["500", "1,000", "2,000", "5,000"]),
        ((10, 500_000), ["10", "100", "1,000", "10,000", "100,000"]),
    ],
)
def test_steps_are_read_off_as_plain_numbers(steps: tuple[int, int], ticks: list[str]) -> None:
    """No powers of ten, and few enough numbers to stand beside each other."""
    drawn = draw_curves([recorded("run", *steps, psnr=27.0)])
    drawn.draw_without_rendering()
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ticks


def test_a_scene_is_softened_as_training_softens(tmp_path: Path) -> None:
    """The degraded image is the one that models learn from, via the small one beside it."""
    picture = drop(tmp_path, "a.png", height=50, width=71)
    scene = read_scene(picture)
    degraded, original = get_transform()(load_rgb(picture))
    assert np.array_equal(scene.degraded, degraded)
    assert np.array_equal(scene.original, original)
    assert scene.small.shape == (12, 18, 3)
    assert scene.fidelity(original).startswith("SSIM 1.0000, ")
    with pytest.raises(UsageError, match=r"b\.png: a side"):
        read_scene(drop(tmp_path, "b.png", height=10, width=40))


def test_a_frame_hides_nothing_of_what_it_frames() -> None:
    """White beside the part, black beside the white, all else as it was, at the edge too."""
    pixels = photograph(40, 60)
    part = slice(0, 20), slice(30, 60)
    framed = outlined(pixels, part, line_px=2)
    assert np.array_equal(framed[part], pixels[part])
    assert (framed[:20, 28:30] == 255).all()
    assert (framed[:20, 27] == 0).all()
    assert np.array_equal(framed[:, :27], pixels[:, :27])


def scene_of(folder: Path, height: int, width: int) -> Scene:
    """A scene of a size."""
    return read_scene(drop(folder, f"{height}x{width}.png", height=height, width=width))


def test_a_pair_shows_the_very_pixels_of_its_detail(tmp_path: Path) -> None:
    """The detail is the model's output, each pixel repeated, under the whole image."""
    scene = scene_of(tmp_path, 60, 96)
    sheet = pair_sheet("lite-x4", [(scene, scene.original)], zoom=4)
    detail = scene.original[scene.detail(24)].repeat(4, axis=0).repeat(4, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, detail.shape)[..., 0, :, :, :]
    corners = (windows[..., 0, 0, :] == detail[0, 0]).all(axis=-1)
    assert any(np.array_equal(window, detail) for window in windows[corners])
    larger = pair_sheet("lite-x4", [(scene, scene.original)] * 2, zoom=4)
    assert larger.shape[0] > sheet.shape[0] + 2 * 60


def test_large_pictures_are_reduced_to_the_sheet(tmp_path: Path) -> None:
    """A pair stays readable on a page, upright images as well."""
    for height, width in ((60, 1100), (700, 60)):
        scene = scene_of(tmp_path, height, width)
        sheet = pair_sheet("x", [(scene, scene.degraded)], zoom=2)
        assert sheet.shape[1] < 2000
        assert sheet.shape[0] < 1400


def lesson(scene: Scene, *, upscales: bool = False) -> Lesson:
    """A perfect teacher and a student that does nothing."""
    about = ("a-teacher-x4", "1.08 M parameters"), ("a-student-x4", "64.7 K parameters")
    return Lesson(scene, scene.original, scene.degraded, *about, teacher_upscales=upscales)


def texts_apart(drawn: Figure) -> bool:
    """Whether each text is inside the figure and upon no other."""
    drawn.draw_without_rendering()
    boxes = [text.get_window_extent() for text in drawn.axes[0].texts if text.get_text()]
    inside = all(drawn.bbox.x0 < b.x0 and b.x1 < drawn.bbox.x1 for b in boxes) and all(
        drawn.bbox.y0 < b.y0 and b.y1 < drawn.bbox.y1 for b in boxes
    )
    return inside and not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (40, 120), (128, 32)])
@pytest.mark.parametrize("upscales", [False, True])
def test_no_label_of_the_pipeline_covers_another(
    tmp_path: Path, size: tuple[int, int], *, upscales: bool
) -> None:
    """Whatever the image's shape, every label can be read."""
    assert texts_apart(draw_pipeline(lesson(scene_of(tmp_path, *size), upscales=upscales)))


def test_the_pipeline_reports_measured_numbers(tmp_path: Path) -> None:
    """Sizes, names and scores are those of this image and these models."""
    scene = scene_of(tmp_path, 64, 96)
    told = [text.get_text() for text in draw_pipeline(lesson(scene)).axes[0].texts]
    assert {"a-teacher-x4", "64.7 K parameters", "frozen, inference mode", "L1"} <= set(told)
    assert "96 \N{MULTIPLICATION SIGN} 64" in told
    assert "24 \N{MULTIPLICATION SIGN} 16" in told
    assert told.count(scene.fidelity(scene.degraded)) == 2
    assert scene.fidelity(scene.original) in told


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training needs no matplotlib; a figure without it ends with what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UnavailableError, match=r"sharpend\[train\]"):
        blank(1, 1)


def parsed(*arguments: object) -> argparse.Namespace:
    """Options as the command line gives them."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(one) for one in arguments])


def matrix_of(folder: Path, precision: str = "float32", **options: object) -> Path:
    """The parts of a matrix.json that the front needs."""
    gains = {"no-op": 0.0, "mask 1/100": 0.8, "best mask of each cell": 1.2, "mask 2/150": -1.0}
    rows = {row: {"soft": {"psnr_gain": gain}} for row, gain in {**gains, "mine": 1.4}.items()}
    values = {
        "machine": {"precision": precision},
        "models": {"mine": {}},
        "rows": rows,
        "sets": {"hd": {"images": 6}},
        "options": {"crop_px": 384, **options},
    }
    path = folder / f"matrix-{precision}.json"
    path.write_text(json.dumps(values))
    return path


def test_the_front_leaves_out_what_is_no_better_than_a_cheaper_one() -> None:
    """Each model of the front gains more than all that cost less."""
    points = [
        Point(label, ms, gain, is_mask=False)
        for label, ms, gain in (("a", 10, 1.0), ("b", 20, 0.9), ("c", 30, 1.2), ("d", 30, 1.1))
    ]
    assert [point.label for point in undominated(points)] == ["a", "c"]


def test_each_figure_becomes_a_picture(
    tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From real files and real models to a PNG file that can be read."""
    monkeypatch.setattr(front, "HD_PX", (108, 192))  # times are measured, of whatever size
    picture = drop(tmp_path, "a.png")
    run = written(tmp_path / "run", at(1, 1, psnr=20), at(2, 2, psnr=21))
    student, to = ("--student", networks.student), tmp_path / "figure.png"
    for arguments in (
        ("pipeline", picture, "--teacher", networks.teacher, *student),
        ("pair", picture, picture, "--zoom", 2, *student),
        ("curves", run, run),
        ("front", matrix_of(tmp_path), "--model", f"mine={networks.student}"),
    ):
        figure(parsed(*arguments, "--to", to))
        assert min(load_rgb(to).shape[:2]) > 100
        to.unlink()


@pytest.mark.skipif(openvino_version() is None, reason="needs OpenVINO: sharpend[openvino]")
def test_a_matrix_of_int8_adds_points_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model once in bfloat16 and once in int8, the masks once."""
    monkeypatch.setattr(front, "HD_PX", (108, 192))
    both = matrix_of(tmp_path), matrix_of(tmp_path, "int8")
    figure(parsed("front", *both, "--model", "mine=lite-x4", "--to", tmp_path / "front.png"))
    rows = capsys.readouterr().out.splitlines()[2:]
    labels = ["best mask of each cell", "mask 1/100", "mine", "mine, int8"]
    assert sorted(row.split("|")[1].strip() for row in rows) == labels


def test_matrices_of_other_images_make_no_front(tmp_path: Path) -> None:
    """Gains on other crops cannot be compared."""
    both = matrix_of(tmp_path), matrix_of(tmp_path, "int8", crop_px=1024)
    with pytest.raises(UsageError, match="differ in crop_px"):
        figure(parsed("front", *both, "--to", tmp_path / "front.png"))


def test_a_detail_cannot_be_enlarged_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A senseless zoom is refused with the command line."""
    with pytest.raises(SystemExit):
        parsed("pair", "a.png", "--to", "b.png", "--zoom", 0)
    assert "0 must be 1 or more" in capsys.readouterr().err


def test_a_flat_picture_has_a_detail(tmp_path: Path) -> None:
    """An image without any edge has a detail too."""
    save_png(np.full((64, 96, 3), 128, np.uint8), tmp_path / "gray.png")
    rows, columns = read_scene(tmp_path / "gray.png").detail(24)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (16, 24)
