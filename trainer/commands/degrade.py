"""`trainer degrade`: soften sharp images by the report's degradation, to try sharpend on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError
from trainer.commands.options import count
from trainer.degradations.reduction import SOFTENED_BY, get_transform
from trainer.training.dataset import read_image, write_image
from trainer.training.split import find_images

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("images", type=Path, metavar="DIR", help="folder of sharp images")
    add(
        "--to",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for the softened PNG files, same names",
    )
    add(
        "--factor",
        type=count,
        default=SOFTENED_BY,
        help="factor of the bicubic reduction (default %(default)s)",
    )


def degrade(options: argparse.Namespace) -> None:
    """Write a softened PNG for each image of a folder."""
    transform = get_transform(factor=options.factor)
    options.to.mkdir(parents=True, exist_ok=True)
    images = find_images([options.images])
    if not images:
        raise InputMissingError(f"{options.images}: contains no images")
    for path in images:
        degraded, _ = transform(read_image(path))
        write_image(degraded, options.to / f"{path.stem}.png")
    print(f"{len(images)} images softened by {options.factor}")
