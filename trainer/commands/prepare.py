"""`trainer prepare`: check images and split them into training and validation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.commands.options import add_split, count, share
from trainer.training.image_checks import check_images
from trainer.training.split import write_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="DIR", help="folders of sharp images")
    add_split(parser, "split to write, JSON (default split.json, as in recipes)")
    add(
        "--validation",
        type=share,
        default=0.1,
        help="share of images for validation, 0..1 (default 0.1)",
    )
    add(
        "--smallest-px",
        type=count,
        default=256,
        help="leave out images with a shorter side, pixels (default 256)",
    )


def prepare(options: argparse.Namespace) -> None:
    """Write the split and print the images left out, with reasons."""
    split, left_out = check_images(
        options.images, validation=options.validation, smallest_px=options.smallest_px
    )
    write_split(split, options.data)
    for one in left_out:
        print(f"left out {one.path}: {one.reason}", file=sys.stderr)
    print(f"{len(split.train)} train, {len(split.validation)} validate, {len(left_out)} left out")
