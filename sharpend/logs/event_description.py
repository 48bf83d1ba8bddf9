"""Description of one event of the log: levels, occasion and keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Described:
    """An event as the log holds it."""

    levels: tuple[str, ...]
    """The levels that it may have."""
    meaning: str
    """Phrase for the occasion of the event."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Type, unit and meaning of each key; a line need not have all of them."""


DEBUG, INFO, WARNING, ERROR = ("debug",), ("info",), ("warning",), ("error",)
