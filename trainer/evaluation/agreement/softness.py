"""Kinds of softness over which agreement is measured, by name.

A kind is a pure function from a sharp image to one as a user may have it. A new kind is a line in
the registry.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.imaging.filters import degrade
from trainer.degradations import blur
from trainer.evaluation.matrix.cells import SHARP, SOFT, degraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trainer.degradations.mixture import Pixels

    Softening = Callable[[Pixels], Pixels]


def sharp(pixels: Pixels) -> Pixels:
    """Leave the image as it is."""
    return pixels


SOFTENINGS: Mapping[str, Softening] = {
    "x4": partial(degrade, factor=4),
    "x2": partial(degrade, factor=2),
    "gaussian-1": partial(blur.gaussian, sigma=1.0),
    "gaussian-2": partial(blur.gaussian, sigma=2.0),
    "sharp": sharp,
}
"""Kinds for models of the x4 family, by the name that reports and cards use."""


def of_cell(cell: str) -> Softening:
    """A cell of the matrix as a kind; its noise is the same for every image."""
    return partial(_in_cell, cell=cell)


def _in_cell(pixels: Pixels, *, cell: str) -> Pixels:
    return degraded(cell, pixels, name="")


CELLED: Mapping[str, Softening] = {cell: of_cell(cell) for cell in (*SOFT, SHARP)}
"""Kinds for photo models: the soft cells of the matrix, and sharp images."""


def softenings(names: Iterable[str] = ()) -> dict[str, Softening]:
    """The kinds of these names, in this order; those of the x4 family where none is named.

    Raises:
        UsageError: a name is unknown.
    """
    known = {**SOFTENINGS, **CELLED}
    wanted = list(names) or list(SOFTENINGS)
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown kind of softness {name}; known are {', '.join(known)}")
    return {name: known[name] for name in wanted}
