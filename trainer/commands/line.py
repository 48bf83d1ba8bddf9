"""`trainer line`: measure the alarm thresholds of a student again and update its cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.agreement.opinion import SecondOpinion
from sharpend.model import weights
from trainer.commands.options import add_placement, add_split, count, placement
from trainer.evaluation.agreement.samples import measure_samples, student_of
from trainer.publishing.rewriting import rewrite
from trainer.publishing.weights_card import WINDOW, kinds_for, with_thresholds
from trainer.training.dataset import read_image
from trainer.training.progress import with_progress
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add(
        "weights",
        type=Path,
        metavar="FILE",
        help="weights of a student, with its .md file beside it",
    )
    add_split(parser, "split whose validation images are measured (default split.json)")
    add("--crop-px", type=count, default=256, help="agreement.crop_px (default 256)")
    add("--window", type=count, default=WINDOW, help=f"agreement.window (default {WINDOW})")
    add_placement(parser)


def line(options: argparse.Namespace) -> None:
    """Measure on the validation images and rewrite both cards; the tensors stay the same."""
    student, where = weights.load(str(options.weights)), placement(options)
    paths = read_split(options.data).validation
    measured = measure_samples(
        student_of(student, where),
        SecondOpinion(student.card, where, beside=options.weights.parent),
        (read_image(path) for path in with_progress(paths, what="images", total=len(paths))),
        kinds_for(student.card),
        crop_px=options.crop_px,
    )
    card = with_thresholds(student.card, measured, crop_px=options.crop_px, window=options.window)
    rewrite(options.weights, card)
    print(
        f"{options.weights}: residual_above {card.residual_above}, "
        f"measurable_from {card.measurable_from}, alarm_below {card.alarm_below}"
    )
