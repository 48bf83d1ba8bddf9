"""`trainer figure`: draw a figure into a PNG file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpend.errors import UsageError
from sharpend.model.device import Placement
from trainer.commands.options import count
from trainer.evaluation.front import points_of, table_of
from trainer.figures.canvas import write_png
from trainer.figures.curves import draw_curves
from trainer.figures.diagram import Lesson, draw_pipeline
from trainer.figures.front import draw_front
from trainer.figures.pair import pair_sheet
from trainer.figures.scene import read_scene
from trainer.training.dataset import write_image
from trainer.training.models import PRETRAINED, open_model
from trainer.training.record import read_record

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from trainer.evaluation.front import Point
    from trainer.training.models import Model

    Adding = Callable[..., argparse.ArgumentParser]


_A_MODEL = "shipped name, weights file, run's folder or pretrained x4 file (default %(default)s)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each kind of figure."""
    kinds = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    add = kinds.add_parser
    pipeline = _kind(add, "pipeline", "Diagram of a training step, computed on a real image.")
    pair = _kind(add, "pair", "Degraded beside sharpened image, whole and detail, with scores.")
    curves = _kind(add, "curves", "Validation scores of runs, over steps and minutes.")
    front = _kind(add, "front", "Gain of models by their cost on this CPU, and a table of both.")
    pipeline.add_argument("image", type=Path, metavar="IMAGE", help="a sharp original")
    pipeline.add_argument("--teacher", default="teacher-x4", metavar="MODEL", help=_A_MODEL)
    pair.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="sharp originals")
    pair.add_argument("--zoom", type=count, default=4, help="enlargement of the detail (default 4)")
    for one in (pipeline, pair):
        one.add_argument("--student", default="lite-x4", metavar="MODEL", help=_A_MODEL)
        one.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    curves.add_argument(
        "runs", nargs="+", type=Path, metavar="DIR", help="folders of runs, one curve each"
    )
    a_matrix = "matrix.json of `trainer evaluate --matrix`; one of --precision int8 adds points"
    front.add_argument("matrices", nargs="+", type=Path, metavar="FILE", help=a_matrix)
    a_model = "model of this row (default: a shipped model of its name); repeatable"
    front.add_argument("--model", action="append", default=[], metavar="ROW=MODEL", help=a_model)


def _kind(add: Adding, name: str, text: str) -> argparse.ArgumentParser:
    parser = add(name, help=text, description=text)
    parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="PNG to write")
    return parser


def figure(options: argparse.Namespace) -> None:
    """Draw the figure that was chosen.

    Raises:
        UnavailableError: a model cannot be opened, or matplotlib is not installed.
        InputMissingError, ImageRefusedError, UsageError: an image or a run cannot be read, or
            matrices are not of the same images.
        OSError: the figure cannot be written.
    """
    drawn = {"pipeline": _pipeline, "pair": _pair, "curves": _curves, "front": _front}
    drawn[options.figure](options)


def _pipeline(options: argparse.Namespace) -> None:
    scene = read_scene(options.image)
    teacher, student = (_opened(name, options) for name in (options.teacher, options.student))
    lesson = Lesson(
        scene,
        target=teacher.sharpen(scene.small, scene.degraded),
        output=student.sharpen(scene.small, scene.degraded),
        teacher=_lines(teacher),
        student=_lines(student),
        teacher_upscales=teacher.kind == PRETRAINED,
    )
    write_png(draw_pipeline(lesson), options.to)


def _pair(options: argparse.Namespace) -> None:
    student = _opened(options.student, options)
    scenes = [read_scene(image) for image in options.images]
    pairs = [(scene, student.sharpen(scene.small, scene.degraded)) for scene in scenes]
    write_image(pair_sheet(student.name, pairs, zoom=options.zoom), options.to)


def _curves(options: argparse.Namespace) -> None:
    records = [read_record(run) for run in options.runs]
    write_png(draw_curves(records), options.to)


def _front(options: argparse.Namespace) -> None:
    matrices = [json.loads(path.read_text()) for path in options.matrices]
    _check_same_images(matrices)
    given = dict(each.split("=", 1) for each in options.model)
    found: dict[str, Point] = {}
    for matrix in matrices:  # the masks are in each of them
        models = {row: given.get(row, row) for row in matrix["models"]}
        found |= {point.label: point for point in points_of(matrix, models)}
    points = list(found.values())
    print(table_of(points))
    write_png(draw_front(points), options.to)


def _check_same_images(matrices: Sequence[Mapping[str, Any]]) -> None:
    """Check that the gains of matrices can be compared.

    Raises:
        UsageError: they were measured on other images, crops or with another crispness.
    """
    first, *others = ({"sets": one["sets"], **one["options"]} for one in matrices)
    for other in others:
        unlike = [key for key, value in first.items() if other[key] != value]
        if unlike:
            raise UsageError(f"figure front: the matrices differ in {', '.join(unlike)}")


def _opened(model: str, options: argparse.Namespace) -> Model:
    return open_model(model, Placement(device=options.device))


def _lines(model: Model) -> tuple[str, ...]:
    """Name and size, for example `lite-x4` and `65 K parameters`."""
    if model.parameters is None:
        return (model.name,)
    for unit, size in (("M", 1e6), ("K", 1e3)):
        if model.parameters >= size:
            return model.name, f"{model.parameters / size:.3g} {unit} parameters"
    return model.name, f"{model.parameters} parameters"
