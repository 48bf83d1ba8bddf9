"""Kinds of softness over which agreement is measured: cells of the matrix, by name.

Noise and angles of a cell are the same for every image here, so a sample depends on its crop alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from trainer.evaluation.matrix.cells import SHARP, SOFT, X4, degraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trainer.degradations.mixture import Pixels

    Softening = Callable[[Pixels], Pixels]

KINDS = (*SOFT, SHARP)
"""Cells over which photo models are measured."""
X4_KINDS = (X4, "bic2", "g1", "g2", SHARP)
"""Cells over which models of the x4 family are measured."""


def softenings(names: Iterable[str]) -> dict[str, Softening]:
    """The kinds of these names, in this order.

    Raises:
        UsageError: a name is unknown.
    """
    found: dict[str, Softening] = {name: partial(degraded, name, name="") for name in names}
    for name in found:
        if name not in KINDS:
            raise UsageError(f"unknown kind of softness {name}; known are {', '.join(KINDS)}")
    return found
