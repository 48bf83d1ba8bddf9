"""`trainer label`: let a teacher sharpen every picture of a split, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from trainer.commands.options import add_placement, placement
from trainer.training import labels as labelling
from trainer.training.models import PRETRAINED, open_teacher
from trainer.training.pool import label_pool
from trainer.training.progress import watched
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        default=Path("split.json"),
        metavar="FILE",
        help="by `trainer prepare` (default split.json)",
    )
    add("--teacher", required=True, metavar="MODEL", help="shipped name, weights or x4 model file")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--labels", type=Path, metavar="DIR", help="where PNG files go; resumed")
    place.add_argument("--pool", type=Path, metavar="DIR", help="label the windows of a pool")
    add_placement(parser)


def label(options: argparse.Namespace) -> None:
    """Label both sides of a split, a second process may label along; or all windows of a pool."""
    if options.pool:
        _label_pool(options)
        return
    split = read_split(options.data)
    teacher = open_teacher(options.teacher, placement(options))
    pictures = [*split.train, *split.validation]
    made = labelling.label(pictures, teacher, options.labels)
    count = sum(1 for _ in watched(made, what="labels", total=len(pictures)))
    print(f"{count} labels made by {teacher.name}, {len(pictures) - count} were there")


def _label_pool(options: argparse.Namespace) -> None:
    teacher = open_teacher(options.teacher, placement(options))
    if teacher.kind == PRETRAINED:
        raise UsageError(f"{options.teacher}: enlarges small images; a pool holds none")
    made_by = {"name": teacher.name, "digest": teacher.digest}
    label_pool(options.pool, made_by, teacher.alone)
    print(f"labels made by {teacher.name}")
