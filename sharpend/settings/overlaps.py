"""Overlap check of the configured folders.

Refuses any two inputs, outputs and archives that are the same folder or contain one another: the
daemon could take its own output for an input, take one input twice, or mix files. The state
directory may contain folders and be beside outputs; it must not be inside an input, and nothing may
be inside its quarantine. Symbolic links are resolved first; bind mounts are not detected.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from sharpend.files.objects.address import Address
from sharpend.settings.layers import Location, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Place:
    """One configured folder."""

    location: Location
    path: Path | Address

    @cached_property
    def real(self) -> PurePath:
        """The path without links; that of object storage is below no folder of this machine."""
        if isinstance(self.path, Address):
            return PurePath(f"s3:/{self.path.bucket}", self.path.prefix)
        return Path(os.path.realpath(self.path))

    @property
    def shown(self) -> str:
        """The path for people."""
        return str(self.path if isinstance(self.path, Address) else self.real)

    @property
    def kind(self) -> str:
        """The key: `state`, `input`, `output` or `archive`."""
        return str(self.location[-1])


def overlaps(places: Iterable[Place]) -> Iterator[tuple[Location, str]]:
    """Yield the key to change and the reason, for each two folders that overlap."""
    for first, second in itertools.combinations(list(places), 2):
        relation = _relation(second, first)
        if relation:
            what = f"{second.shown} {relation} {dotted(first.location)} ({first.shown})"
            yield second.location, f"{what}; choose a folder outside of it"


def _relation(place: Place, other: Place) -> str | None:
    """Describe how `place` overlaps `other`, or None; the state directory is always `other`."""
    mine, others = place.real, other.real
    if mine == others:
        return "is the same folder as"
    if other.kind == "state":
        return _relation_to_state(place, others)
    if mine.is_relative_to(others):
        return "is inside"
    return "contains" if others.is_relative_to(mine) else None


def _relation_to_state(place: Place, state: PurePath) -> str | None:
    if place.real.is_relative_to(state / "quarantine"):
        return "is inside the quarantine of"
    swallowed = place.kind == "input" and state.is_relative_to(place.real)
    return "contains" if swallowed else None
