"""`trainer evaluate`: every method on every image of every set, as a table and as a sheet.

Owns the options of the command and the order of its steps. The softened image and the unsharp mask
are always measured beside the models, because on photographs doing nothing already scores high. An
interrupted evaluation resumes when the same command is run again.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sharpend.errors import UsageError
from sharpend.files.atomic import write_atomically
from trainer.commands import matrix as by_kind
from trainer.commands.options import add_placement, placement
from trainer.evaluation.contact_sheet import contact_sheet
from trainer.evaluation.lineup import RequestedModels, open_lineup
from trainer.evaluation.measurements import (
    CONTENT,
    ORIGINAL,
    WHOLE,
    MeasuredImage,
    restored,
    score_methods,
)
from trainer.evaluation.partial import PartialResults, forget
from trainer.evaluation.scores import SMALLEST_PX, score
from trainer.evaluation.sets import open_sets, pair_outputs, read_member
from trainer.evaluation.speed import measure_costs
from trainer.evaluation.tables import DEGRADED, UNSHARP, Evaluation, SetScores, as_json, as_markdown
from trainer.evaluation.unsharp import Unsharp, search_mask
from trainer.training.dataset import read_image, write_image
from trainer.training.progress import with_progress
from trainer.training.split import read_split

if TYPE_CHECKING:
    from trainer.evaluation.lineup import Lineup
    from trainer.evaluation.sets import EvaluationSet
    from trainer.evaluation.speed import Cost
    from trainer.training.teacher import Method

SPEED_THREADS = (1, 2)
OUTPUTS = "outputs"
_UNFINISHED = "unfinished"
_RESERVED = {DEGRADED, UNSHARP, ORIGINAL, WHOLE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    place = "[NAME=]PLACE"
    a_set = "folder of originals, folder of *_HR and *_LR pairs, or a split (its validation side)"
    add("--set", action="append", default=[], metavar=place, help=f"{a_set}; repeatable")
    a_model = "shipped name, weights file, run folder or pretrained x4 file"
    add("--model", action="append", default=[], metavar="[ROW=]MODEL", help=f"{a_model}; rep.")
    add("--teacher", metavar="[ROW=]MODEL", help="reference of agreements; also a row")
    add("--pretrained", metavar="[ROW=]MODEL", help="pretrained x4 file; the last row")
    add("--student", metavar="ROW", help="row that contact sheets show (default the first --model)")
    add(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder for evaluation.json, evaluation.md, contact-*.png",
    )
    mask = parser.add_mutually_exclusive_group()
    mask.add_argument(
        "--unsharp",
        type=_mask,
        metavar="RADIUS:PERCENT",
        help="parameters of the unsharp mask (default 2:150, Pillow's own)",
    )
    mask.add_argument(
        "--unsharp-split",
        type=Path,
        metavar="FILE",
        help="find the best mask on the training images of this split",
    )
    as_they_come = "sharpen the originals themselves, to measure the effect on sharp images"
    add("--as-they-come", action="store_true", help=as_they_come)
    add("--speed", action="store_true", help="measure GMAC, images per second and memory as well")
    add("--outputs", type=Path, metavar="DIR", help="score these outputs instead ...")
    add("--originals", type=Path, metavar="DIR", help="... against the originals of the same names")
    by_kind.add_arguments(parser)
    add_placement(parser)


def _mask(text: str) -> Unsharp:
    radius, _, percent = text.partition(":")
    with suppress(ValueError):
        mask = Unsharp(float(radius), int(percent))
        if 0 <= mask.radius <= 100 and mask.percent >= 0:  # noqa: PLR2004 - a larger radius is a typing error
            return mask
    raise argparse.ArgumentTypeError(f"{text} is not RADIUS:PERCENT, such as 2:150")


def evaluate(options: argparse.Namespace) -> None:
    """Measure, write the files, and print the tables.

    Raises:
        UsageError: options that do not go together, or two rows or sets of one name.
        InputMissingError, UnavailableError, ImageRefusedError: a set or a model cannot be read.
    """
    if options.matrix:
        by_kind.matrix(options)
        return
    by_kind.refuse_alone(options)
    ready = options.outputs or options.originals
    evaluation = _of_outputs(options) if ready else _of_models(options)
    text = as_markdown(evaluation)
    if options.to:
        options.to.mkdir(parents=True, exist_ok=True)
        write_atomically(options.to / "evaluation.json", as_json(evaluation))
        text_bytes = text.encode("utf-8", "backslashreplace")
        write_atomically(options.to / "evaluation.md", text_bytes)
        _write_sheets(options.to, evaluation)
        forget(options.to / _UNFINISHED)
    sys.stdout.write(text)


def _write_sheets(folder: Path, evaluation: Evaluation) -> None:
    """Write a contact sheet for each set, if there is a model to show."""
    networks = dict.fromkeys(row for row in (evaluation.student, evaluation.teacher) if row)
    if networks:
        rows = [DEGRADED, UNSHARP, *networks]
        for one in evaluation.sets:
            sheet = contact_sheet(one.name, one.measured, rows, by=next(iter(networks)))
            write_image(sheet, folder / f"contact-{one.name}.png")


def _of_models(options: argparse.Namespace) -> Evaluation:
    if not (options.set and options.to):
        raise UsageError("give --set and --to, or --outputs with --originals")
    if options.as_they_come and options.pretrained:
        raise UsageError("--as-they-come: a pretrained upscaler takes reduced images only")
    sets = open_sets(options.set)
    lineup = _lineup(options)
    mask, found = _unsharp(options)
    machine = by_kind.machine_facts(options, lineup)
    kept = PartialResults(
        options.to / _UNFINISHED,
        CONTENT,
        {
            "rows": {row: model.digest for row, model in lineup.models.items()},
            "teacher": lineup.teacher,
            "unsharp": asdict(mask),
            "placement": [machine["device"], machine["precision"]],
            "as_they_come": options.as_they_come,
        },
    )
    come = options.as_they_come
    scores = [_measured(one, lineup, mask, kept, as_they_come=come) for one in sets]
    return Evaluation(
        machine=machine,
        sets=scores,
        models=lineup.identities,
        unsharp=found,
        student=lineup.student,
        teacher=lineup.teacher,
        costs=_costs(lineup, options) if options.speed else {},
    )


def _lineup(options: argparse.Namespace) -> Lineup:
    asked = RequestedModels(options.model, options.teacher, options.pretrained, options.student)
    return open_lineup(asked, placement(options), reserved=_RESERVED)


def _unsharp(options: argparse.Namespace) -> tuple[Unsharp, dict[str, object]]:
    """The mask, with the reason for it as plain values."""
    if not options.unsharp_split:
        mask = options.unsharp or Unsharp()
        chosen = "as given" if options.unsharp else "Pillow's own"
        return mask, {**asdict(mask), "chosen": chosen}
    found = search_mask(read_split(options.unsharp_split).train)
    chosen = (
        f"the best SSIM on {found.images} training images "
        f"({found.ssim:.4f}; degraded {found.degraded_ssim:.4f})"
    )
    return found.best, {**asdict(found.best), "chosen": chosen}


def _measured(
    one: EvaluationSet,
    lineup: Lineup,
    mask: Unsharp,
    kept: PartialResults,
    *,
    as_they_come: bool,
) -> SetScores:
    """Scores of every image of a set by every row; stored ones are loaded."""
    methods: dict[str, Method] = {DEGRADED: lambda _, degraded: degraded, UNSHARP: mask}
    methods |= {row: model.sharpen for row, model in lineup.models.items()}
    measured = []
    for member in with_progress(one.members, what=f"{one.name} images", total=len(one.members)):
        image, name = read_member(member), member.original.name
        if as_they_come:
            image = replace(image, degraded=image.original)
        versions = (image.original, image.small)
        saved = kept.load(name, versions)
        if saved is None:
            found = score_methods(name, image, methods, teacher=lineup.teacher)
            kept.save(name, versions, found.described(), found.crops)
        else:
            found = restored(*saved)
        measured.append(found)
    return SetScores(one.name, one.paired, measured, as_they_come)


def _costs(lineup: Lineup, options: argparse.Namespace) -> dict[str, Cost]:
    return measure_costs(
        lineup.places,
        against=lineup.teacher,
        device=options.device,
        precision=options.precision,
        threads=SPEED_THREADS,
    )


def _of_outputs(options: argparse.Namespace) -> Evaluation:
    """Score outputs that exist already, for example by `sharpend once`."""
    if not (options.outputs and options.originals):
        raise UsageError("give --set and --to, or --outputs with --originals")
    if options.set or options.model or options.teacher or options.pretrained or options.speed:
        raise UsageError(
            "--outputs cannot be combined with --set, --model, --teacher, --pretrained, --speed"
        )
    pairs = pair_outputs(options.outputs, options.originals)
    measured = [_ready(output, original) for output, original in pairs]
    scores = SetScores(options.outputs.resolve().name, paired=False, measured=measured)
    return Evaluation({"torch": torch.__version__}, [scores])


def _ready(output: Path, original: Path) -> MeasuredImage:
    made, target = read_image(output), read_image(original)
    height, width = target.shape[:2]
    if made.shape != target.shape or min(height, width) < SMALLEST_PX:
        raise UsageError(
            f"{output}: cannot compare {made.shape[1]} x {made.shape[0]} with {width} x {height} "
            f"pixels (at least {SMALLEST_PX} a side)"
        )
    return MeasuredImage(original.name, height, width, {OUTPUTS: score(made, target)}, {})
