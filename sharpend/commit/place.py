"""Interface of a place that folders have their roots in: a file system, or object storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from sharpend.commit.interface import CommitPlace
from sharpend.intake.interface import InputPlace


class Place(InputPlace, CommitPlace, Protocol):
    """Place of roots: list inputs, publish outputs, dispose of sources.

    `places` chooses it by the form of a root. Its other two verbs, to read an input and to stage an
    output, are those of workers: a confined process opens and writes files itself, and
    `workers.transfers` makes files of objects.
    """


PlaceOf: TypeAlias = Callable[[bytes], Place]
"""Returns the place of a root."""
