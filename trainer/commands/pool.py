"""`trainer pool`: write degraded windows of the originals to a pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.commands.options import add_placement, add_split, add_workers, count, placement
from trainer.degradations.registry import DEGRADATIONS
from trainer.training.models import Opened, open_model
from trainer.training.pool import PoolCard, make_pool
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add(
        "mixture",
        metavar="MIXTURE",
        choices=sorted(DEGRADATIONS),
        help="name of a mixture of degradations",
    )
    add_split(parser, "split of `trainer prepare` (default %(default)s)")
    add(
        "--to",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the pool; an existing one is replaced",
    )
    add("--windows", type=count, default=20_000, help="windows for training (default %(default)s)")
    add(
        "--validation", type=count, default=256, help="windows for validation (default %(default)s)"
    )
    add(
        "--size",
        type=count,
        default=288,
        metavar="PX",
        help="side of a window, pixels (default %(default)s)",
    )
    add("--seed", type=int, default=7, help="seed of every random choice (default %(default)s)")
    add(
        "--sharpened-by",
        metavar="MODEL",
        action="append",
        default=[],
        help="model whose outputs are among the sharpened images; may be given several times",
    )
    add_placement(parser)
    add_workers(parser)


def pool(options: argparse.Namespace) -> None:
    """Make a pool."""
    split = read_split(options.data)
    models = [open_model(name, placement(options)) for name in options.sharpened_by]
    opened = tuple(Opened(name, placement(options)) for name in options.sharpened_by)
    card = PoolCard(
        degradation=options.mixture,
        seed=options.seed,
        window_px=options.size,
        windows={"train": options.windows, "validation": options.validation},
        split=split.fingerprint,
        sharpened_by={model.name: model.digest for model in models} or None,
    )
    images = {"train": split.train, "validation": split.validation}
    make_pool(options.to, card, images, opened=opened, workers=options.workers)
    print(f"{options.windows} windows to train on and {options.validation} to validate")
