"""`trainer teacher` and `trainer distill`: train by a recipe, or resume its run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.device import choose_device
from trainer.commands.options import add_machine
from trainer.training.dataset import read_examples
from trainer.training.distributed import process_group
from trainer.training.labels import labels_card
from trainer.training.loop import train
from trainer.training.origin import note_origin
from trainer.training.pool import SIDES, read_pool, read_pool_card
from trainer.training.recipe import read_recipe
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse

    from trainer.training.dataset import Example
    from trainer.training.recipe import Recipe
    from trainer.training.split import Split

    _Read = tuple[list[Example], list[Example], dict[str, str] | None]
    """Training examples, validation examples, and the teacher of their labels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the commands' options into their parser."""
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="name of a shipped recipe, or a TOML file")
    add(
        "--data", type=Path, metavar="FILE", help="split to use in place of the recipe's data.split"
    )
    add("--pool", type=Path, metavar="DIR", help="in place of the recipe's data.pool")
    add("--labels", type=Path, metavar="DIR", help="in place of the recipe's data.labels")
    add(
        "--run",
        type=Path,
        metavar="DIR",
        help="folder of checkpoints and record (default runs/NAME); an existing run is resumed",
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
    with process_group(choose_device(options.device)) as group:
        if group.is_leader:
            network = recipe.network
            note_origin(folder, split, made_by, network.start, network.start_average)
        best = train(recipe, examples, held_out, folder, group)
        if group.is_leader:
            print(f"best at step {best.step}: {json.dumps(best.scores)}")


def _read_whole(recipe: Recipe, split: Split) -> _Read:
    """Whole images softened by the report's degradation, with the labels of a folder."""
    labels = Path(recipe.data.labels) if recipe.data.labels else None
    made_by = labels_card(labels) if labels else None
    if labels and made_by is None:
        raise InputMissingError(f"{labels}: contains no labels: run `trainer label`")
    factor = recipe.data.factor
    examples = read_examples(split.train, labels, factor=factor)
    return examples, read_examples(split.validation, labels, factor=factor), made_by


def _read_pool(recipe: Recipe, split: Split) -> _Read:
    """Windows of a pool, with its labels where the loss needs them."""
    folder, taught = Path(recipe.data.pool), recipe.loss.needs_teacher
    card = read_pool_card(folder)
    if (card.degradation, card.split) != (recipe.data.degradation, split.fingerprint):
        raise UsageError(
            f"{folder}: was made by the {card.degradation} mixture from split {card.split}, not by "
            f"{recipe.data.degradation} and {split.fingerprint}"
        )
    examples, held_out = (read_pool(folder, side, taught=taught) for side in SIDES)
    return examples, held_out, card.taught_by if taught else None


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe, with the paths that the command line gives in place of its own."""
    recipe = read_recipe(options.recipe)
    split = str(options.data or recipe.data.split)
    labels = str(options.labels or recipe.data.labels)
    pool = str(options.pool or recipe.data.pool)
    return replace(recipe, data=replace(recipe.data, split=split, labels=labels, pool=pool))
