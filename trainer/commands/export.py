"""`trainer export`: make a weights file and its model card from a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharpend.errors import InputMissingError, UsageError
from sharpend.model import weights
from sharpend.model.networks import SharpeningNetwork
from trainer.commands.options import add_placement, add_split, count, file_name, placement
from trainer.publishing import weights_card
from trainer.publishing.calibration import ranges_of
from trainer.training.architectures import folded
from trainer.training.checkpoint import BEST, read_checkpoint
from trainer.training.origin import read_origin
from trainer.training.record import read_record
from trainer.training.split import read_split

if TYPE_CHECKING:
    import argparse

    from trainer.training.split import Split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a run")
    add("--name", type=file_name, help="of the model and its files (default the recipe's)")
    add("--to", required=True, type=Path, metavar="DIR", help="folder for NAME.safetensors, .md")
    add_split(parser, "split that the run trained on (default split.json)")
    add(
        "--data-note",
        required=True,
        type=Path,
        metavar="FILE",
        help="Markdown on sources and licences of the data",
    )
    add("--license", required=True, help="licence of the weights, for example CC-BY-SA-4.0")
    add("--dataset", action="append", default=[], metavar="NAME", help="for the card; repeatable")
    add("--teacher", metavar="MODEL", help="a student's teacher: shipped name or weights file")
    add(
        "--crop-px",
        type=count,
        default=256,
        help="side of the crops for the alarm threshold, pixels: the daemon's agreement.crop_px "
        "(default 256)",
    )
    add("--specialist", metavar="MODEL", help="model for images that were enlarged by exactly four")
    add("--scores", type=Path, metavar="FILE", help="evaluation.json of `trainer evaluate`")
    add("--matrix", type=Path, metavar="FILE", help="matrix.json of `trainer evaluate --matrix`")
    add_placement(parser)


def export(options: argparse.Namespace) -> None:
    """Write the best model of a run with its cards."""
    state = read_checkpoint(options.run / BEST, torch.device("cpu"))
    network = folded(state.averaged, state.recipe.network)
    if not isinstance(network, SharpeningNetwork):
        raise UsageError(f"{options.run}: the daemon cannot run a {state.recipe.network.kind}")
    if (network.kind == "student") != bool(options.teacher):
        raise UsageError("a student needs --teacher, and only a student has one")
    split = read_split(options.data)
    about = weights_card.RunInfo(
        options.name or state.recipe.name,
        options.license,
        _text(options.data_note),
        tuple(options.dataset),
    )
    card = weights_card.card_of(state, network, about, _trained_on(options.run, split))
    specialist = _specialist(options.specialist) if options.specialist else None
    if specialist is not None:
        card = replace(card, specialist=specialist.card.name, specialist_digest=specialist.digest)
    digest = weights.digest(network.state_dict())
    if options.teacher:
        card = replace(card, ranges=ranges_of(network, card, split.train))
    if options.scores:
        card = weights_card.with_evaluation(card, digest, _json(options.scores))
    if options.matrix:
        card = weights_card.with_matrix(card, digest, _json(options.matrix))
    if options.teacher:
        card = weights_card.with_teacher(
            weights.Weights(network, card, digest, specialist.network if specialist else None),
            options.teacher,
            split.validation,
            placement(options),
            crop_px=options.crop_px,
        )
    weights_card.write_weights(options.to, network, card, about, read_record(options.run))
    print(f"{options.to / card.name}.safetensors {digest}")


def _specialist(model: str) -> weights.Weights:
    """Load the specialist; the daemon refuses one that has a specialist itself."""
    loaded = weights.load(model)
    if loaded.card.specialist is not None:
        raise UsageError(
            f"--specialist: {model} has a specialist itself, {loaded.card.specialist}; "
            "give a model without one"
        )
    return loaded


def _trained_on(run: Path, split: Split) -> dict[str, object]:
    """The origin of a run, for its card; the split given must be that of the run."""
    origin = read_origin(run)
    if origin is None or origin["split"] != split.fingerprint:
        raise UsageError(f"--data: {run} was trained on another split")
    return origin


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file") from error
