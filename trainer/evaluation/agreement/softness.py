"""The kinds of softness that an agreement is measured over, by name.

Owns the registry alone. A kind is a pure function from a sharp picture to what a user might drop
in; a new one needs nothing but a line here.
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
    """Leave the picture as it is."""
    return pixels


SOFTENINGS: Mapping[str, Softening] = {
    "x4": partial(degrade, factor=4),
    "x2": partial(degrade, factor=2),
    "gaussian-1": partial(blur.gaussian, sigma=1.0),
    "gaussian-2": partial(blur.gaussian, sigma=2.0),
    "sharp": sharp,
}
"""By the name that reports and cards use: what networks of the x4 family may meet."""


def of_cell(cell: str) -> Softening:
    """A cell of the matrix as a kind; its noise is the same for every picture."""
    return partial(_in_cell, cell=cell)


def _in_cell(pixels: Pixels, *, cell: str) -> Pixels:
    return degraded(cell, pixels, name="")


CELLED: Mapping[str, Softening] = {cell: of_cell(cell) for cell in (*SOFT, SHARP)}
"""The kinds that a photo network is for, and sharp pictures."""


def softenings(names: Iterable[str] = ()) -> dict[str, Softening]:
    """The kinds of these names, in this order; those of the x4 family where none is named.

    Raises:
        UsageError: there is no kind of a name.
    """
    known = {**SOFTENINGS, **CELLED}
    wanted = list(names) or list(SOFTENINGS)
    for name in wanted:
        if name not in known:
            raise UsageError(f"no kind is called {name}; there are {', '.join(known)}")
    return {name: known[name] for name in wanted}
