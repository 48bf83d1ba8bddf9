"""Mode and callbacks of a command that runs the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.daemon.roots import OnFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.daemon.results import Result
    from sharpend.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class RunMode:
    """Differences between the commands that run the daemon."""

    once: bool = False
    """End when nothing is left to do; a fault of a whole folder is an error."""
    on_result: Callable[[Result], None] = lambda _result: None
    """Called with the result of each input."""
    load: Callable[[], Settings] | None = None
    """Reads the settings again for a reload."""

    @property
    def on_fault(self) -> OnFault:
        """Consequence of roots that cannot be opened at the start."""
        return OnFault.RAISE if self.once else OnFault.PAUSE
