"""`trainer prepare`: check pictures and divide them into training and validation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.commands.options import count, share
from trainer.training.screening import prepare as look_at
from trainer.training.split import write_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("pictures", nargs="+", type=Path, metavar="DIR", help="folders of sharp pictures")
    add(
        "--data",
        type=Path,
        default=Path("split.json"),
        metavar="FILE",
        help="JSON to write (default split.json, where recipes look for it)",
    )
    add("--validation", type=share, default=0.1, help="share that validates, 0..1 (default 0.1)")
    add(
        "--smallest-px",
        type=count,
        default=256,
        help="leave out pictures with a shorter side, pixels (default 256)",
    )


def prepare(options: argparse.Namespace) -> None:
    """Write the split, and name what was left out."""
    split, left_out = look_at(
        options.pictures, validation=options.validation, smallest_px=options.smallest_px
    )
    write_split(split, options.data)
    for one in left_out:
        print(f"left out {one.path}: {one.reason}", file=sys.stderr)
    print(f"{len(split.train)} train, {len(split.validation)} validate, {len(left_out)} left out")
