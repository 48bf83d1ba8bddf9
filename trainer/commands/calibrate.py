"""`trainer calibrate`: measure the ranges of a model for int8 again and update its cards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.model import weights
from trainer.commands.options import add_split, count
from trainer.publishing.calibration import IMAGES, ranges_of
from trainer.publishing.rewriting import rewrite
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("weights", type=Path, metavar="FILE", help="weights, with their .md file beside them")
    add_split(parser, "split whose training images are measured (default split.json)")
    add("--images", type=count, default=IMAGES, help=f"images to measure (default {IMAGES})")


def calibrate(options: argparse.Namespace) -> None:
    """Measure on training images and rewrite both cards; the tensors stay the same."""
    model = weights.load(str(options.weights))
    paths = read_split(options.data).train
    ranges = ranges_of(model.network, model.card, paths, options.images)
    rewrite(options.weights, replace(model.card, ranges=ranges))
    print(f"{options.weights}: ranges {', '.join(map(str, ranges))}")
