"""Refused sources: move each into quarantine after it stayed unchanged for some time.

Owns the schedule. Works in small steps between two turns of the main loop. Moves nothing right
after the wall clock was set: every wait could seem to be over.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.errors import FolderFaultError
from sharpend.intake.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Collection

    from sharpend.commit.quarantine import Quarantine
    from sharpend.daemon.folder import Folder

EVERY_S = 1.0
"""Interval of the steps."""


class RefusedSources:
    """Refused sources of all folders.

    Args:
        quarantine: moves them.
        folders: of the daemon.
    """

    def __init__(self, quarantine: Quarantine, folders: Collection[Folder]) -> None:
        self._quarantine = quarantine
        self._folders = folders
        self._clock = WallClock()
        self._next_s = -math.inf

    def step(self, now_s: float, wall_s: float) -> None:
        """Move some of the sources that stayed unchanged long enough.

        Args:
            now_s: monotonic seconds.
            wall_s: wall clock in seconds.
        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        if self._clock.was_set(now_s, wall_s):
            self._quarantine.postpone(wall_s)
        for folder in self._folders:
            if folder.paused is None:
                with suppress(FolderFaultError):  # the next attempt at an image pauses the folder
                    self._quarantine.move_due(folder.plan.destination, wall_s)
