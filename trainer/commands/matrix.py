"""`trainer evaluate --matrix`: every method on every kind of softness, gains and harm.

Owns its options and the order of its steps. An interrupted evaluation resumes when the same command
is run again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import write_atomically
from sharpend.model.device import choose_device
from trainer.commands.options import count, count_or_none, fraction, placement
from trainer.evaluation.lineup import RequestedModels, open_lineup
from trainer.evaluation.matrix import cell_masks
from trainer.evaluation.matrix.cells import CELLS
from trainer.evaluation.matrix.comparison import (
    BASELINES,
    BEST_MASK,
    NOOP,
    SINGLE_MASKS,
    MatrixImage,
    measure_image,
    methods_of,
    restored,
)
from trainer.evaluation.matrix.real_photos import measure_real
from trainer.evaluation.matrix.result import MatrixMeasurements, build_result, measure_harm
from trainer.evaluation.matrix.sheets import cell_sheet, real_sheets, worst_sheet
from trainer.evaluation.matrix.tables import as_markdown
from trainer.evaluation.matrix.targets import COLUMNS
from trainer.evaluation.partial import PartialResults, forget
from trainer.evaluation.sets import open_sets
from trainer.training.dataset import write_image
from trainer.training.progress import with_progress
from trainer.training.split import find_images

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from trainer.evaluation.lineup import Lineup
    from trainer.evaluation.matrix.comparison import CellMethod, ImageFigures
    from trainer.evaluation.matrix.real_photos import RealImage

CROP_PX = 1024
_UNFINISHED = "unfinished-matrix"
_ALONE = (
    *("pretrained", "student", "unsharp", "unsharp_split", "as_they_come", "speed"),
    *("outputs", "originals"),
)
"""Options of `trainer evaluate` that cannot be combined with `--matrix`."""
_OWN = ("real", "crispness", "crop", "limit", "targets")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the matrix's options into the parser of `trainer evaluate`."""
    group = parser.add_argument_group(
        "by kind of softness",
        "needs --set and --to; writes matrix.json, matrix.md and contact-*.png",
    )
    add = group.add_argument
    add("--matrix", action="store_true", help="measure by kind of softness instead")
    add(
        "--real",
        type=Path,
        metavar="DIR",
        help="folder of photographs, measured without degradation",
    )
    crisp = "0..1, crispness of every model (default 0)"
    add("--crispness", type=fraction, metavar="X", help=crisp)
    crop = f"side of the middle crops that are measured; 0: whole images (default {CROP_PX})"
    add("--crop", type=count_or_none, metavar="PX", help=crop)
    add("--limit", type=count, metavar="N", help="measure N images of each set, evenly spread")
    judged = "targets for every student (default by size, photo models only)"
    add("--targets", choices=list(COLUMNS), help=judged)


def refuse_alone(options: argparse.Namespace) -> None:
    """Check that no option of the matrix is given without `--matrix`.

    Raises:
        UsageError: one is.
    """
    given = [name for name in _OWN if getattr(options, name) is not None]
    if given:
        raise UsageError(f"--{given[0]} needs --matrix")


def matrix(options: argparse.Namespace) -> None:
    """Measure, write the files, and print the tables.

    Raises:
        UsageError: options that do not go together, or two rows or sets of one name.
        InputMissingError, UnavailableError, ImageRefusedError: a set or a model cannot be read.
    """
    _check(options)
    images = _images(options)
    photographs = _photographs(options.real)
    lineup = _lineup(options)
    masks = cell_masks.search_cell_masks(
        (image.name, image.read())
        for image in with_progress(images, what="images for the masks", total=len(images))
    )
    methods = methods_of(lineup.models, masks)
    kept = _kept(options, lineup, masks)
    measured = MatrixMeasurements(
        machine_facts(options, lineup),
        {
            "crop_px": _crop_px(options),
            "limit": options.limit,
            "crispness": options.crispness or 0.0,
        },
        lineup,
        masks,
        _measure(images, methods, kept, lineup.teacher),
        {row: measure_harm(method) for row, method in methods.items()},
        _measure_real(photographs, methods),
    )
    result = build_result(measured, column=options.targets)
    _write_all(options.to, result, images, methods, measured.real)
    forget(options.to / _UNFINISHED)


def _check(options: argparse.Namespace) -> None:
    if not (options.set and options.to):
        raise UsageError("--matrix: give --set and --to")
    unused = [name for name in _ALONE if getattr(options, name)]
    if unused:
        raise UsageError(f"--{unused[0].replace('_', '-')} cannot be combined with --matrix")


def _lineup(options: argparse.Namespace) -> Lineup:
    asked = RequestedModels(options.model, options.teacher)
    crispness = options.crispness or 0.0
    where = placement(options)
    lineup = open_lineup(asked, where, reserved=BASELINES, crispness=crispness)
    for row, model in lineup.models.items():
        if model.card is None:
            raise UsageError(f"{row}: --matrix measures only models that the daemon can run")
        if "/" in row:
            raise UsageError(f"{row}: a row names a file and cannot contain /; give ROW=MODEL")
    return lineup


def _images(options: argparse.Namespace) -> list[MatrixImage]:
    """The images of all sets, in order."""
    found: list[MatrixImage] = []
    for one in open_sets(options.set):
        members = one.members
        if options.limit:
            step = max(1, len(members) // options.limit)
            members = members[::step][: options.limit]
        crop_px = _crop_px(options)
        found += [MatrixImage(one.name, member.original, crop_px) for member in members]
    _check_names(found)
    return found


def _check_names(images: Sequence[MatrixImage]) -> None:
    """Refuse two images of one name in a set: names seed noise and identify the worst image."""
    seen = set()
    for image in images:
        if (image.set_name, image.name) in seen:
            raise UsageError(f"--set: {image.set_name} has two images named {image.name}")
        seen.add((image.set_name, image.name))


def _crop_px(options: argparse.Namespace) -> int:
    return CROP_PX if options.crop is None else int(options.crop)


def _photographs(folder: Path | None) -> list[Path]:
    paths = [] if folder is None else find_images([folder])
    if folder is not None and not paths:
        raise InputMissingError(f"{folder}: contains no images")
    return paths


def machine_facts(options: argparse.Namespace, lineup: Lineup) -> dict[str, object]:
    """Device, precision, threads and torch of a measurement."""
    return {
        "device": str(choose_device(options.device)),
        "precision": lineup.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _kept(
    options: argparse.Namespace, lineup: Lineup, masks: cell_masks.CellMasks
) -> PartialResults:
    identity = {
        "rows": {row: model.digest for row, model in lineup.models.items()},
        "teacher": lineup.teacher,
        "masks": {cell: asdict(mask) for cell, mask in masks.by_cell.items()},
        "crispness": options.crispness,
        "machine": machine_facts(options, lineup),
    }
    return PartialResults(options.to / _UNFINISHED, identity, list(CELLS))


def _measure(
    images: Sequence[MatrixImage],
    methods: Mapping[str, CellMethod],
    kept: PartialResults,
    teacher: str | None,
) -> list[ImageFigures]:
    """Figures of every image by every row; stored ones are loaded."""
    measured = []
    for image in with_progress(images, what="images", total=len(images)):
        original = image.read()
        saved = kept.load(image.name, [original])
        if saved is None:
            found = measure_image(image, original, methods, teacher=teacher)
            kept.save(image.name, [original], asdict(found), {})
        else:
            found = restored(image, saved[0])
        measured.append(found)
    return measured


def _measure_real(paths: Sequence[Path], methods: Mapping[str, CellMethod]) -> list[RealImage]:
    shown = {row: method for row, method in methods.items() if row not in (NOOP, BEST_MASK)}
    seen = with_progress(paths, what="real photographs", total=len(paths))
    return [measure_real(path, shown) for path in seen]


def _write_all(
    folder: Path,
    result: Mapping[str, Any],
    images: Sequence[MatrixImage],
    methods: Mapping[str, CellMethod],
    real: Sequence[RealImage],
) -> None:
    text = as_markdown(result)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "matrix.json", json.dumps(result, allow_nan=False).encode())
    write_atomically(folder / "matrix.md", text.encode("utf-8", "backslashreplace"))
    if real:
        for number, sheet in enumerate(real_sheets(real), start=1):
            write_image(sheet, folder / f"contact-real-{number}.png")
    _write_sheets(folder, result, images, methods)
    sys.stdout.write(text)


def _write_sheets(
    folder: Path,
    result: Mapping[str, Any],
    images: Sequence[MatrixImage],
    methods: Mapping[str, CellMethod],
) -> None:
    """The middle image of each set in every cell, and each model's five worst sharp originals."""
    for set_name in result["sets"]:
        own = [image for image in images if image.set_name == set_name]
        image = own[len(own) // 2]
        shown = {row: method for row, method in methods.items() if row != BEST_MASK}
        sheet = cell_sheet(image.name, image.read(), shown)
        write_image(sheet, folder / f"contact-cells-{set_name}.png")
    by_name = {(image.set_name, image.name): image for image in images}
    for row in methods.keys() - {NOOP, BEST_MASK, *SINGLE_MASKS}:
        worst = [
            (
                f"{one['image']}, cue {one['cue']:+.2f}, {one['distance']:.1f} dB",
                by_name[key].read(),
            )
            for one in result["rows"][row]["sharp"]["worst_images"]
            for key in [(one["set"], one["image"])]
        ]
        write_image(worst_sheet(row, worst, methods[row]), folder / f"contact-sharp-{row}.png")
