"""Callbacks through which a command receives the daemon's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.daemon.outcomes import Result
    from sharpend.settings.load import Settings


@dataclass(frozen=True, slots=True)
class Hooks:
    """How commands that run the daemon differ."""

    once: bool = False
    """End when nothing is left to do; a fault of a whole folder ends it with an error."""
    tell: Callable[[Result], None] = lambda _result: None
    """Gets the result of each input."""
    load: Callable[[], Settings] | None = None
    """Reads the settings again for a reload."""
