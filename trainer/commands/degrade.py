"""`trainer degrade`: soften sharp pictures as the report does, to try sharpend on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError
from trainer.commands.options import count
from trainer.degradations.report import SOFTENED_BY, get_transform
from trainer.training.dataset import read_picture, write_picture
from trainer.training.split import pictures_below

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("pictures", type=Path, metavar="DIR", help="sharp pictures")
    add("--to", required=True, type=Path, metavar="DIR", help="softened ones, PNG, same names")
    add(
        "--factor",
        type=count,
        default=SOFTENED_BY,
        help="of the bicubic reduction (default %(default)s)",
    )


def degrade(options: argparse.Namespace) -> None:
    """Write a softened PNG for each picture of a folder."""
    transform = get_transform(factor=options.factor)
    options.to.mkdir(parents=True, exist_ok=True)
    pictures = pictures_below([options.pictures])
    if not pictures:
        raise InputMissingError(f"{options.pictures}: holds no pictures")
    for path in pictures:
        degraded, _ = transform(read_picture(path))
        write_picture(degraded, options.to / f"{path.stem}.png")
    print(f"{len(pictures)} pictures softened by {options.factor}")
