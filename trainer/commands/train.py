"""`trainer teacher` and `trainer distill`: train what a recipe says, or go on with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.runtime import choose_device
from trainer.commands.options import add_machine
from trainer.training.dataset import read_examples
from trainer.training.distributed import gathered
from trainer.training.labels import labels_card
from trainer.training.loop import train
from trainer.training.origin import note_origin
from trainer.training.pool import SIDES, read_card, read_pool
from trainer.training.recipe import read_recipe
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse

    from trainer.training.dataset import Example
    from trainer.training.recipe import Recipe
    from trainer.training.split import Split

    _Read = tuple[list[Example], list[Example], dict[str, str] | None]
    """Examples, held-out examples, and whose labels they carry."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the commands' options into their parser."""
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="name of a shipped recipe, or a TOML file")
    add("--data", type=Path, metavar="FILE", help="split, in place of the recipe's data.split")
    add("--pool", type=Path, metavar="DIR", help="in place of the recipe's data.pool")
    add("--labels", type=Path, metavar="DIR", help="in place of the recipe's data.labels")
    add(
        "--run",
        type=Path,
        metavar="DIR",
        help="folder of checkpoints and record (default runs/NAME); a run in it is resumed",
    )
    add_machine(parser)


def teacher(options: argparse.Namespace) -> None:
    """Train a teacher."""
    _train(options, of="teacher")


def distill(options: argparse.Namespace) -> None:
    """Train a student."""
    _train(options, of="student")


def _train(options: argparse.Namespace, *, of: str) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = _recipe(options)
    if not recipe.network.kind.endswith(of):
        raise UsageError(f"{options.recipe}: network.kind is {recipe.network.kind}, not a {of}")
    folder = options.run or Path("runs") / recipe.name
    split = read_split(Path(recipe.data.split))
    read = _read_pool if recipe.data.pool else _read_whole
    examples, held_out, made_by = read(recipe, split)
    with gathered(choose_device(options.device)) as team:
        if team.leads:
            note_origin(folder, split, made_by, recipe.network.start)
        best = train(recipe, examples, held_out, folder, team)
        if team.leads:
            print(f"best at step {best.step}: {json.dumps(best.scores)}")


def _read_whole(recipe: Recipe, split: Split) -> _Read:
    """Whole images softened by the report's degradation, with the labels of a folder."""
    labels = Path(recipe.data.labels) if recipe.data.labels else None
    made_by = labels_card(labels) if labels else None
    if labels and made_by is None:
        raise InputMissingError(f"{labels}: holds no labels; `trainer label` makes them")
    factor = recipe.data.factor
    examples = read_examples(split.train, labels, factor=factor)
    return examples, read_examples(split.validation, labels, factor=factor), made_by


def _read_pool(recipe: Recipe, split: Split) -> _Read:
    """Windows of a pool, with its labels where the loss needs them."""
    folder, taught = Path(recipe.data.pool), recipe.loss.needs_teacher
    card = read_card(folder)
    if (card.degradation, card.split) != (recipe.data.degradation, split.fingerprint):
        raise UsageError(
            f"{folder}: is of the {card.degradation} mixture and split {card.split}, not of "
            f"{recipe.data.degradation} and {split.fingerprint}"
        )
    examples, held_out = (read_pool(folder, side, taught=taught) for side in SIDES)
    return examples, held_out, card.taught_by if taught else None


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe, and where the command line says that its pictures and labels lie."""
    recipe = read_recipe(options.recipe)
    split = str(options.data or recipe.data.split)
    labels = str(options.labels or recipe.data.labels)
    pool = str(options.pool or recipe.data.pool)
    return replace(recipe, data=replace(recipe.data, split=split, labels=labels, pool=pool))
