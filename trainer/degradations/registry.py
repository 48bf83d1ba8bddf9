"""Registry of degradations: the mixtures that `data.degradation` of a recipe may name.

A name is written into the pool, the checkpoint and the card of the weights. A new mixture is a
module with one function and a line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.model.weights import REDUCTION
from trainer.degradations.photo import photo
from trainer.degradations.report import bicubic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.degradations.mixture import Mixture

PHOTO = "photo"
"""Softness of photographs of any cause: the mixture of the photo family."""

DEGRADATIONS: Mapping[str, Mixture] = {REDUCTION: bicubic, PHOTO: photo}
"""Every mixture by its name; REDUCTION is the report's."""
