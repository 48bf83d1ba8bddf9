"""`trainer label`: write a teacher's output for every image of a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from trainer.commands.options import add_placement, add_split, add_workers, placement
from trainer.training import labels as labelling
from trainer.training.models import PRETRAINED, Opened, open_teacher
from trainer.training.pool import label_pool
from trainer.training.progress import with_progress
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add_split(parser, "split of `trainer prepare` (default split.json)")
    add("--teacher", required=True, metavar="MODEL", help="shipped name, weights or x4 model file")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder for the labels (PNG); existing ones are kept",
    )
    place.add_argument("--pool", type=Path, metavar="DIR", help="label the windows of a pool")
    add_placement(parser)
    add_workers(parser)


def label(options: argparse.Namespace) -> None:
    """Label both sides of a split, alone or beside other processes, or the windows of a pool."""
    if options.pool:
        _label_pool(options)
        return
    if options.workers > 1:
        raise UsageError("--workers: goes with --pool; beside it, start the command several times")
    split = read_split(options.data)
    teacher = open_teacher(options.teacher, placement(options))
    images = [*split.train, *split.validation]
    made = labelling.label(images, teacher, options.labels)
    count = sum(1 for _ in with_progress(made, what="labels", total=len(images)))
    print(f"{count} labels made by {teacher.name}, {len(images) - count} existed")


def _label_pool(options: argparse.Namespace) -> None:
    teacher = open_teacher(options.teacher, placement(options))
    if teacher.kind == PRETRAINED:
        raise UsageError(
            f"{options.teacher}: a pretrained upscaler needs reduced images; a pool has none"
        )
    made_by = {"name": teacher.name, "digest": teacher.digest}
    opened = Opened(options.teacher, placement(options))
    label_pool(options.pool, made_by, opened, workers=options.workers)
    print(f"labels made by {teacher.name}")
