"""What each command of the trainer does: from parsed options to files and a few printed lines.

Owns the order of the steps and the words on stdout; left-out pictures are named on stderr.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, TextIO

import torch

from sharpend.atomic import replacing
from sharpend.errors import InputMissingError, UsageError
from sharpend.model import weights
from sharpend.model.runtime import Placement, choose_device
from sharpend.sharpener import Sharpener
from trainer import evaluate as evaluation
from trainer import export as exporting
from trainer import teacher as teaching
from trainer.checkpoint import read_checkpoint
from trainer.dataset import (
    pictures_below,
    read_examples,
    read_picture,
    read_split,
    write_picture,
    write_split,
)
from trainer.degradation import get_transform
from trainer.distill import Run, train
from trainer.losses import STUDENT_WEIGHTS, TEACHER_WEIGHTS, LossWeights
from trainer.prepare import pin_data, pinned_data
from trainer.prepare import prepare as look_at

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.dataset import Split
    from trainer.degradation import Pixels
    from trainer.evaluate import Measured
    from trainer.teacher import Method


def prepare(options: argparse.Namespace) -> None:
    """Write the split, and name what was left out."""
    split, left_out = look_at(
        options.pictures, validation=options.validation, smallest_px=options.smallest_px
    )
    write_split(split, options.data)
    for one in left_out:
        _say(f"left out {one.path}: {one.reason}", to=sys.stderr)
    _say(f"{len(split.train)} train, {len(split.validation)} validate, {len(left_out)} left out")


def degrade(options: argparse.Namespace) -> None:
    """Write a softened PNG for each picture of a folder."""
    transform = get_transform(factor=options.factor)
    options.to.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(options.pictures)
    for path in pictures:
        degraded, _ = transform(read_picture(path))
        write_picture(degraded, options.to / f"{path.stem}.png")
    _say(f"{len(pictures)} pictures softened by {options.factor}")


def teach(options: argparse.Namespace) -> None:
    """Train the run that the options describe, or continue it."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    split = read_split(options.data)
    run = _run(options)
    examples = read_examples(split.train, options.labels)
    held_out = read_examples(split.validation, options.labels)
    card = teaching.labels_card(options.labels) if options.labels else None
    pin_data(options.run, split, card)
    best = train(run, examples, held_out, options.run, device=device)
    _say(f"best at step {best.step}: {json.dumps(best.scores)}")


distill = teach


def _run(options: argparse.Namespace) -> Run:
    """Run's own defaults, and what the command line says otherwise."""
    given = vars(options)
    loss = TEACHER_WEIGHTS if options.labels is None else STUDENT_WEIGHTS
    loss = replace(loss, **{f.name: given[f.name] for f in fields(LossWeights) if f.name in given})
    if options.labels is None and (loss.teacher_mse or loss.teacher_ssim):
        raise UsageError("--teacher-mse and --teacher-ssim need --labels")
    named = {f.name: given[f.name] for f in fields(Run) if f.name in given}
    return Run(**{**named, "loss": loss})


def label(options: argparse.Namespace) -> None:
    """Label both sides of a split."""
    split = read_split(options.data)
    teacher = teaching.open_teacher(options.teacher, _placement(options))
    pictures = [*split.train, *split.validation]
    made = sum(1 for _ in teaching.label(pictures, teacher, options.labels))
    _say(f"{made} labels made by {teacher.name}, {len(pictures) - made} were there")


def _placement(options: argparse.Namespace) -> Placement:
    return Placement(
        device=options.device, precision=options.precision, threads=options.threads or None
    )


def evaluate(options: argparse.Namespace) -> None:
    """Measure networks on originals, or ready outputs against originals."""
    if bool(options.outputs) != bool(options.originals) or bool(options.outputs) == bool(
        options.pictures
    ):
        raise UsageError("give either --pictures, or --outputs with --originals")
    if options.outputs:
        measured = evaluation.measure_outputs(options.outputs, options.originals)
        _tell({options.outputs.name: measured}, {"outputs": str(options.outputs)}, options.json)
        return
    methods, machine = _methods(options)
    rows: list[tuple[Measured, Mapping[str, Pixels]]] = []
    by_folder: dict[str, list[Measured]] = {}
    for folder in options.pictures:
        for picture in _pictures(folder):
            one, outputs = evaluation.measure(picture, methods)
            by_folder.setdefault(folder.name, []).append(one)
            if options.sheet and len(rows) < options.sheet_rows:
                rows.append((one, outputs))
    _tell(by_folder, machine, options.json)
    if options.sheet:
        write_picture(evaluation.sheet(rows, crop_px=options.sheet_crop_px), options.sheet)


def _pictures(folder: Path) -> Sequence[Path]:
    found = pictures_below([folder])
    if not found:
        raise InputMissingError(f"{folder}: holds no pictures")
    return found


def _methods(options: argparse.Namespace) -> tuple[dict[str, Method], dict[str, object]]:
    """What to measure, warmed up, and a description of models and machine."""
    placement = _placement(options)
    methods: dict[str, Method] = dict(evaluation.BASELINES)
    machine: dict[str, object] = {"device": str(choose_device(options.device))}
    if options.teacher:
        teacher = teaching.open_teacher(options.teacher, placement)
        methods[evaluation.TEACHER] = teacher.teach
        machine["teacher"] = {"name": teacher.name, "digest": teacher.digest}
    if options.student:
        student = Sharpener(weights.load(options.student), placement)
        student.warm_up()
        methods[evaluation.STUDENT] = lambda _, degraded: student.sharpen(degraded)
        machine["student"] = {"name": student.card.name, "digest": student.digest}
        machine["device"] = student.runtime.described
    machine["threads"] = torch.get_num_threads()
    return methods, machine


def _tell(
    by_folder: Mapping[str, Sequence[Measured]], machine: Mapping[str, object], to: Path | None
) -> None:
    """Print a table for each folder, and write all of it as JSON."""
    told: dict[str, object] = {}
    _say(json.dumps(machine))
    for name, measured in by_folder.items():
        height, width = evaluation.commonest_size(measured)
        summaries = evaluation.summarise(measured)
        _say(f"\n{name}: {len(measured)} pictures, speed at {width} x {height}")
        _say(evaluation.table(summaries))
        told[name] = {
            "pictures": len(measured),
            "speed_at_px": [height, width],
            "methods": {method: asdict(one) for method, one in summaries.items()},
            "each": [asdict(one) | {"picture": one.picture.name} for one in measured],
        }
    if to:
        with replacing(to) as file:
            file.write(json.dumps(_finite({"machine": machine, "folders": told})).encode())


def _finite(value: object) -> object:
    """The same with null for infinite numbers (the PSNR of equal pictures), which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def export(options: argparse.Namespace) -> None:
    """Write a run's best network with its cards."""
    state = read_checkpoint(options.run / "best.safetensors", torch.device("cpu"))
    network = state.averaged
    if (network.kind == "student") != bool(options.teacher):
        raise UsageError("a student needs --teacher, and only a student has one")
    split = read_split(options.data)
    about = exporting.Provenance(
        options.name, options.license, _text(options.data_note), tuple(options.dataset)
    )
    card = exporting.card_of(state, about, _data(options.run, split))
    digest = weights.digest(network.state_dict())
    if options.scores:
        card = exporting.with_evaluation(card, digest, _json(options.scores))
    if options.teacher:
        card = exporting.with_teacher(
            weights.Weights(network, card, digest),
            options.teacher,
            split.validation,
            _placement(options),
            crop_px=options.crop_px,
        )
    exporting.write(options.to, state, card, about)
    _say(f"{options.to / card.name}.safetensors {digest}")


def _data(run: Path, split: Split) -> dict[str, object]:
    """What a run trained on, for its card; the split given must be the run's."""
    pinned = pinned_data(run)
    if pinned is not None and pinned["split"] != split.fingerprint:
        raise UsageError(f"--data: {run} trained on another split")
    return pinned or {"split": split.fingerprint}


def _json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from error


def _say(text: str, to: TextIO | None = None) -> None:
    print(text, file=to, flush=True)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file") from error
