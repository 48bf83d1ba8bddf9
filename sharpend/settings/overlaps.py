"""Overlap check of the configured folders.

Refuses any two inputs, outputs and archives that are the same folder or contain one another: the
daemon could take its own output for an input, take one input twice, or mix files. The state
directory may contain folders and lie beside outputs; it must not lie inside an input, and nothing
may lie inside its quarantine. Symbolic links are resolved first; bind mounts are not detected.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.settings.layers import Location, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Place:
    """One configured folder."""

    location: Location
    path: Path

    @property
    def kind(self) -> str:
        """The key: `state`, `input`, `output` or `archive`."""
        return str(self.location[-1])


def overlaps(places: Iterable[Place]) -> Iterator[tuple[Location, str]]:
    """Yield the key to change and the reason, for each two folders that overlap."""
    real = [Place(place.location, Path(os.path.realpath(place.path))) for place in places]
    for first, second in itertools.combinations(real, 2):
        relation = _relation(second, first)
        if relation:
            what = f"{second.path} {relation} {dotted(first.location)} ({first.path})"
            yield second.location, f"{what}; choose a folder outside of it"


def _relation(place: Place, other: Place) -> str | None:
    """Describe how `place` overlaps `other`, or None; the state directory is always `other`."""
    if place.path == other.path:
        return "is the same folder as"
    if other.kind == "state":
        return _relation_to_state(place, other.path)
    if place.path.is_relative_to(other.path):
        return "lies inside"
    return "contains" if other.path.is_relative_to(place.path) else None


def _relation_to_state(place: Place, state: Path) -> str | None:
    if place.path.is_relative_to(state / "quarantine"):
        return "lies inside the quarantine of"
    swallowed = place.kind == "input" and state.is_relative_to(place.path)
    return "contains" if swallowed else None
