"""`trainer pool`: degrade windows of the originals by a mixture, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.commands.options import add_placement, count, placement
from trainer.degradations.registry import DEGRADATIONS
from trainer.training.models import open_model
from trainer.training.pool import PoolCard, make_pool
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("mixture", metavar="MIXTURE", choices=sorted(DEGRADATIONS), help="of degradations, by name")
    add(
        "--data",
        type=Path,
        default=Path("split.json"),
        metavar="FILE",
        help="by `trainer prepare` (default %(default)s)",
    )
    add("--to", required=True, type=Path, metavar="DIR", help="folder of the pool; replaced")
    add("--windows", type=count, default=20_000, help="to train on (default %(default)s)")
    add("--validation", type=count, default=256, help="windows that validate (default %(default)s)")
    add("--size", type=count, default=288, metavar="PX", help="side (default %(default)s)")
    add("--seed", type=int, default=7, help="of every choice (default %(default)s)")
    add("--sharpened-by", metavar="MODEL", help="its own outputs are among the sharpened ones")
    add_placement(parser)


def pool(options: argparse.Namespace) -> None:
    """Make a pool."""
    split = read_split(options.data)
    model = None
    if options.sharpened_by:
        model = open_model(options.sharpened_by, placement(options))
    card = PoolCard(
        degradation=options.mixture,
        seed=options.seed,
        window_px=options.size,
        windows={"train": options.windows, "validation": options.validation},
        split=split.fingerprint,
        sharpened_by={"name": model.name, "digest": model.digest} if model else None,
    )
    images = {"train": split.train, "validation": split.validation}
    make_pool(options.to, card, images, sharpen=model.alone if model else None)
    print(f"{options.windows} windows to train on and {options.validation} to validate")
