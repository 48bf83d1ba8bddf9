"""Layers of settings: the keys that one source gives, and their names in messages.

Owns the spelling of a key (`folder.1.input`) and the suggestion for one that is misspelled.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Location = tuple[str | int, ...]
"""Path of a key through the tables: ("model", "device") or ("folder", 0, "input")."""

PREFIX = "SHARPEND_"
COMMAND_LINE = "command line"
ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Layer:
    """The settings of one source."""

    where: str
    """Prefix of each problem: the TOML file's path, `environment` or `command line`."""
    values: Mapping[str, Any]
    problems: tuple[str, ...] = ()
    """Problems of the source itself, one line each."""

    def holds(self, location: Location) -> bool:
        """Return whether this source sets the key at `location`."""
        node: Any = self.values
        for part in location:
            if not _has(node, part):
                return False
            node = node[part]
        return True

    def key(self, location: Location) -> str:
        """Format a key as it is written in this source; folders count from 1."""
        if self.where == ENVIRONMENT:
            return PREFIX + "__".join(str(part) for part in location).upper()
        return dotted(location)


def dotted(location: Location) -> str:
    """Format a location with dots: `folder.1.input` for ("folder", 0, "input")."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in location)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Suggest the closest known name, or list all if none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"


def _has(node: object, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(node, list) and part < len(node)
    return isinstance(node, dict) and part in node
