"""Pools: windows of originals after the degradations of a mixture, stored on disk.

Degrading whole images in every step would cost more than the step. A pool holds inputs,
targets and the energies of each whole window, from which cues are computed; crops are cut from
windows at training time. Its folder is renamed into place when it is complete.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import replacing
from sharpend.model.cues import MEASURED
from sharpend.model.measuring import measure
from trainer.degradations.mixture import chance
from trainer.degradations.registry import DEGRADATIONS
from trainer.training.dataset import Example, read_image
from trainer.training.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels, Sharpen

POOL_CARD = "pool.json"
SIDES = ("train", "validation")
LAYERS = ("input", "target")
TAUGHT = "taught"
_GRID_PX = 8
"""Windows begin on this grid, where JPEG's blocks and the factors of resizing begin."""
_MARGIN_PX = 16
"""Margin cut off after degrading, because filters mirror the edges."""
_OFF_GRID = 0.25
"""Share of the windows off the grid, as in cropped images."""
_CANDIDATES = 3
_CONTENT = 0.5
"""Probability to take a window without comparing it with another one."""


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
    """Model whose outputs are among the sharpened images: name and digest."""
    taught_by: dict[str, str] | None = None
    """The teacher of the labels: name and digest."""


def make_pool(
    folder: Path,
    card: PoolCard,
    images: Mapping[str, Sequence[Path]],
    *,
    sharpen: Sharpen | None = None,
) -> None:
    """Make a pool; an interrupted one is removed by the next call.

    Args:
        folder: to be made; replaced if it is there.
        card: its description.
        images: originals of each side.
        sharpen: the network that `card.sharpened_by` names.

    Raises:
        UsageError: an image is smaller than a window.
    """
    making = folder.with_name(folder.name + ".part")
    shutil.rmtree(making, ignore_errors=True)
    for number, side in enumerate(SIDES):
        (making / side).mkdir(parents=True)
        originals = [read_image(path) for path in images[side]]
        _check_sizes(images[side], originals, card.window_px)
        _fill(making / side, card, side, [card.seed, number], originals, sharpen)
    write_pool_card(making, card)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


def _check_sizes(paths: Sequence[Path], originals: Sequence[Pixels], window_px: int) -> None:
    needed = window_px + 2 * _MARGIN_PX
    for path, pixels in zip(paths, originals, strict=True):
        if min(pixels.shape[:2]) < needed:
            raise UsageError(f"{path}: a side is shorter than the {needed} pixels of a window")


def _fill(
    folder: Path,
    card: PoolCard,
    side: str,
    seed: list[int],
    originals: Sequence[Pixels],
    sharpen: Sharpen | None,
) -> None:
    """Write the windows of one side; window n depends on the seed and n alone."""
    count, size = card.windows[side], card.window_px
    layers = {layer: _array(folder, layer, (count, size, size, 3), "w+") for layer in LAYERS}
    measured = np.zeros((count, MEASURED), np.float32)
    kinds = []
    areas = np.array([one.shape[0] * one.shape[1] for one in originals]) ** 0.75
    degrade = DEGRADATIONS[card.degradation].mixture
    for index in with_progress(range(count), what=f"{side} windows", total=count):
        generator = np.random.default_rng([*seed, index])
        window = _window(originals, areas / areas.sum(), size + 2 * _MARGIN_PX, generator)
        example = degrade(window, generator, sharpen)
        top, left = _offset(generator), _offset(generator)
        inside = (slice(top, top + size), slice(left, left + size))
        layers["input"][index] = example.input[inside]
        layers["target"][index] = example.target[inside]
        measured[index] = measure(layers["input"][index]).tensor()[0]
        kinds.append(example.kind)
    np.save(folder / "measured.npy", measured)
    (folder / "kinds.json").write_text(json.dumps(kinds))
    for array in layers.values():
        array.flush()


def _offset(generator: np.random.Generator) -> int:
    if chance(generator, _OFF_GRID):
        return int(generator.integers(0, 2 * _MARGIN_PX + 1))
    return _MARGIN_PX


def _window(
    originals: Sequence[Pixels],
    shares: NDArray[np.float64],
    size: int,
    generator: np.random.Generator,
) -> Pixels:
    """The most detailed of one to three random windows, in one of the eight orientations."""
    best, most = None, -1.0
    for _ in range(_CANDIDATES):
        pixels = originals[generator.choice(len(originals), p=shares)]
        top, left = (
            int(generator.integers(0, side - size + 1)) // _GRID_PX * _GRID_PX
            for side in pixels.shape[:2]
        )
        window = pixels[top : top + size, left : left + size]
        detail = float(np.abs(np.diff(window[..., 1].astype(np.int16), axis=0)).mean())
        if detail > most:
            best, most = window, detail
        if chance(generator, _CONTENT):
            break
    assert best is not None  # noqa: S101 - there is at least one candidate
    turned = np.rot90(best, int(generator.integers(0, 4)))
    return np.ascontiguousarray(turned[:, ::-1] if chance(generator, 0.5) else turned)


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
    size = (card.windows[side], card.window_px, card.window_px, 3)
    inputs, targets = (_array(folder / side, layer, size, "r") for layer in LAYERS)
    labels = _array(folder / side, TAUGHT, size, "r") if taught else [None] * len(inputs)
    measured = np.load(folder / side / "measured.npy")
    kinds = json.loads((folder / side / "kinds.json").read_text())
    return [
        Example(given, target, label, numbers, kind)
        for given, target, label, numbers, kind in zip(
            inputs, targets, labels, measured, kinds, strict=True
        )
    ]


def label_pool(folder: Path, teacher: dict[str, str], sharpen: Callable[[Pixels], Pixels]) -> None:
    """Write the output of a teacher for every window, and record the teacher.

    Args:
        folder: of the pool.
        teacher: its name and digest.
        sharpen: the teacher, from window to window.
    """
    card = read_pool_card(folder)
    for side in SIDES:
        size = (card.windows[side], card.window_px, card.window_px, 3)
        inputs = _array(folder / side, "input", size, "r")
        making = _array(folder / side, f"{TAUGHT}.part", size, "w+")
        for index in with_progress(range(len(inputs)), what=f"{side} labels", total=len(inputs)):
            making[index] = sharpen(np.asarray(inputs[index]))
        making.flush()
        (folder / side / f"{TAUGHT}.part.bin").replace(folder / side / f"{TAUGHT}.bin")
    write_pool_card(folder, PoolCard(**{**asdict(card), "taught_by": teacher}))


def _array(folder: Path, layer: str, shape: tuple[int, ...], mode: Any) -> Any:  # noqa: ANN401 - a memmap
    return np.memmap(folder / f"{layer}.bin", np.uint8, mode, shape=shape)
