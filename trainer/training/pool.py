"""Pools: windows of originals after the degradations of a mixture, stored on disk.

Degrading whole images in every step would cost more than the step. A pool holds inputs,
targets and the energies of each whole window, from which cues are computed; crops are cut from
windows at training time. Its folder is renamed into place when it is complete.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import replacing
from trainer.training.dataset import Example
from trainer.training.parts import in_parts
from trainer.training.windows import LAYERS, Side, layer_of, sharpen_windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.training.windows import Opens, Shape

POOL_CARD = "pool.json"
SIDES = ("train", "validation")
TAUGHT = "taught"


@dataclass(frozen=True, slots=True)
class PoolCard:
    """Description of a pool, in pool.json."""

    degradation: str
    """The mixture: a key of DEGRADATIONS."""
    seed: int
    window_px: int
    windows: dict[str, int]
    """Number of windows of each side."""
    split: str
    """Fingerprint of the images."""
    sharpened_by: dict[str, str] | None = None
    """Models whose outputs are among the sharpened images: digest by name."""
    taught_by: dict[str, str] | None = None
    """The teacher of the labels: name and digest."""


def make_pool(
    folder: Path,
    card: PoolCard,
    images: Mapping[str, Sequence[Path]],
    *,
    opened: tuple[Opens, ...] = (),
    workers: int = 1,
) -> None:
    """Make a pool; an interrupted one is removed by the next call.

    Args:
        folder: to be made; replaced if it is there.
        card: its description.
        images: originals of each side.
        opened: opens the networks that `card.sharpened_by` names, in each process anew.
        workers: processes that share the work; the pool is the same by any number of them.

    Raises:
        UsageError: an image is smaller than a window.
    """
    making = folder.with_name(folder.name + ".part")
    shutil.rmtree(making, ignore_errors=True)
    for number, side in enumerate(SIDES):
        (making / side).mkdir(parents=True)
        shape = _shape(card, side)
        for layer in LAYERS:
            layer_of(making / side, layer, shape, "w+").flush()
        seed, originals = (card.seed, number), tuple(images[side])
        wanted = Side(making / side, shape, card.degradation, seed, originals, opened)
        _fill(wanted, workers)
    write_pool_card(making, card)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


def _fill(side: Side, workers: int) -> None:
    """Write the windows of one side, and the values measured on each."""
    what = f"{side.folder.name} windows"
    measured = list(in_parts(side.fill, side.shape[0], what=what, workers=workers))
    np.save(side.folder / "measured.npy", np.stack([numbers for _, numbers in measured]))
    (side.folder / "kinds.json").write_text(json.dumps([kind for kind, _ in measured]))


def _shape(card: PoolCard, side: str) -> Shape:
    return card.windows[side], card.window_px, card.window_px, 3


def write_pool_card(folder: Path, card: PoolCard) -> None:
    """Write pool.json, atomically."""
    with replacing(folder / POOL_CARD) as file:
        file.write(json.dumps(asdict(card), indent=1).encode())


def read_pool_card(folder: Path) -> PoolCard:
    """Read a pool's card.

    Raises:
        InputMissingError: there is no pool.
        UsageError: its card is damaged.
    """
    try:
        return PoolCard(**json.loads((folder / POOL_CARD).read_text()))
    except FileNotFoundError as error:
        raise InputMissingError(f"{folder}: no such pool: run `trainer pool`") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder / POOL_CARD}: not a pool's card ({error})") from error


def read_pool(folder: Path, side: str, *, taught: bool) -> list[Example]:
    """The windows of one side as examples; memory-mapped, so pixels are read when crops are cut.

    Args:
        folder: of the pool.
        side: one of SIDES.
        taught: with the teacher's labels.

    Raises:
        InputMissingError: there is no pool, or it has no labels.
    """
    card = read_pool_card(folder)
    if taught and card.taught_by is None:
        raise InputMissingError(f"{folder}: contains no labels: run `trainer label --pool`")
    shape = _shape(card, side)
    inputs, targets = (layer_of(folder / side, layer, shape, "r") for layer in LAYERS)
    labels = layer_of(folder / side, TAUGHT, shape, "r") if taught else [None] * len(inputs)
    measured = np.load(folder / side / "measured.npy")
    kinds = json.loads((folder / side / "kinds.json").read_text())
    return [
        Example(given, target, label, numbers, kind)
        for given, target, label, numbers, kind in zip(
            inputs, targets, labels, measured, kinds, strict=True
        )
    ]


def label_pool(folder: Path, teacher: dict[str, str], opened: Opens, *, workers: int = 1) -> None:
    """Write the output of a teacher for every window, and record the teacher.

    Args:
        folder: of the pool.
        teacher: its name and digest.
        opened: opens the teacher, in each process anew.
        workers: processes that share the work.
    """
    card = read_pool_card(folder)
    for side in SIDES:
        shape = _shape(card, side)
        making = f"{TAUGHT}.part"
        layer_of(folder / side, making, shape, "w+").flush()
        label = partial(sharpen_windows, folder / side, shape, making, opened)
        for _ in in_parts(label, shape[0], what=f"{side} labels", workers=workers):
            pass
        (folder / side / f"{making}.bin").replace(folder / side / f"{TAUGHT}.bin")
    write_pool_card(folder, PoolCard(**{**asdict(card), "taught_by": teacher}))
