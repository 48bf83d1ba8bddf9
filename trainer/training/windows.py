"""Windows: parts of originals, degraded; each follows from the seed and its number alone.

Owns the layout of a pool's pixels on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import UsageError
from sharpend.model.measuring import measure
from trainer.degradations.mixture import chance
from trainer.degradations.registry import DEGRADATIONS
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels, Sharpen

    Told = tuple[str, NDArray[np.float32]]
    """Kind of softness, and measured energies."""
    Opens = Callable[[], Sharpen]
    """Opens a network; hashable, and equal ones open the same network."""
    Shape = tuple[int, int, int, int]

LAYERS = ("input", "target")
MARGIN_PX = 16
"""Margin cut off after degrading, because filters mirror the edges."""
_GRID_PX = 8
"""Windows begin on this grid, where JPEG's blocks and the factors of resizing begin."""
_OFF_GRID = 0.25
"""Share of the windows off the grid, as in cropped images."""
_CANDIDATES = 3
_CONTENT = 0.5
"""Probability to take a window without comparing it with another one."""


@dataclass(frozen=True, slots=True)
class Side:
    """Windows of one side of a pool, to be made.

    Attributes:
        folder: of its layers, which exist.
        shape: of a layer: windows, rows, columns, 3.
        degradation: name of the mixture.
        seed: of the pool and the side.
        originals: files to cut from.
        opened: opens the networks whose outputs are among the sharpened images; each window has one
            of them.
    """

    folder: Path
    shape: Shape
    degradation: str
    seed: tuple[int, int]
    originals: tuple[Path, ...]
    opened: tuple[Opens, ...]

    def fill(self, numbers: range) -> list[Told]:
        """Write some windows; window n depends on the seed and n alone.

        Raises:
            UsageError: an original is smaller than a window.
        """
        size = self.shape[1]
        originals = _read(self.originals, size + 2 * MARGIN_PX)
        layers = [layer_of(self.folder, layer, self.shape, "r+") for layer in LAYERS]
        networks = [_open(one) for one in self.opened]
        degrade = DEGRADATIONS[self.degradation].mixture
        areas = np.array([one.shape[0] * one.shape[1] for one in originals]) ** 0.75
        measured = []
        for index in numbers:
            generator = np.random.default_rng([*self.seed, index])
            window = _window(originals, areas / areas.sum(), size + 2 * MARGIN_PX, generator)
            example = degrade(window, generator, _drawn(networks, generator))
            top, left = _offset(generator), _offset(generator)
            inside = (slice(top, top + size), slice(left, left + size))
            for layer, pixels in zip(layers, (example.input, example.target), strict=True):
                layer[index] = pixels[inside]
            measured.append((example.kind, measure(layers[0][index]).tensor()[0].numpy()))
        return measured


def sharpen_windows(
    folder: Path, shape: Shape, to: str, opened: Opens, numbers: range
) -> list[int]:
    """Write a network's outputs for some windows into an existing layer; return their numbers."""
    given, made = layer_of(folder, LAYERS[0], shape, "r"), layer_of(folder, to, shape, "r+")
    sharpen = _open(opened)
    for index in numbers:
        made[index] = sharpen(np.asarray(given[index]))
    return list(numbers)


def layer_of(folder: Path, layer: str, shape: Shape, mode: Any) -> Any:  # noqa: ANN401 - a memmap
    """Map one layer of a side into memory: N x H x W x 3 uint8."""
    return np.memmap(folder / f"{layer}.bin", np.uint8, mode, shape=shape)


@cache
def _read(paths: tuple[Path, ...], least_px: int) -> Sequence[Pixels]:
    """Read originals once in a process; none has a side of less than `least_px`."""
    read = [read_image(path) for path in paths]
    for path, pixels in zip(paths, read, strict=True):
        if min(pixels.shape[:2]) < least_px:
            raise UsageError(f"{path}: a side is shorter than the {least_px} pixels of a window")
    return read


@cache
def _open(opened: Opens) -> Sharpen:
    """Open a network once in a process."""
    return opened()


def _drawn(networks: Sequence[Sharpen], generator: np.random.Generator) -> Sharpen | None:
    """One of the networks; a single one takes no random number."""
    if len(networks) <= 1:
        return networks[0] if networks else None
    return networks[int(generator.integers(len(networks)))]


def _offset(generator: np.random.Generator) -> int:
    if chance(generator, _OFF_GRID):
        return int(generator.integers(0, 2 * MARGIN_PX + 1))
    return MARGIN_PX


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
