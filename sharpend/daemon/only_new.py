"""The setting `only_new`: do not sharpen images that existed at the first start.

Owns the choice of the files that are new to the ledger: images that exist at the folder's first
start are recorded as seen and skipped until they change. During the first scan, the time at which a
file got its path or content (ctime) shows which existed before; afterwards the record does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sharpend.intake.tally import Found
    from sharpend.ledger.candidates import FoundFile
    from sharpend.ledger.operator_state import OperatorState
    from sharpend.logs.logs import Log

Unknown: TypeAlias = "Callable[[str, Iterable[FoundFile]], Iterable[FoundFile]]"
"""Selects the files of a folder that are neither finished nor queued nor seen."""
CLOCK_GRAIN_S = 0.05
"""Margin in seconds: the kernel's file times lag behind the clock by less."""


class OnlyNew:
    """Choice of the new files of one folder.

    Args:
        unknown: selects the files that are neither finished nor queued nor seen.
        operator_state: records what is seen.
        log: for the number of images that are skipped.
        folder: name in the ledger.
        only_new: skip the images that exist at the first start; None: as it was at the last start,
            for a start that looks at some of the files alone.
    """

    def __init__(
        self,
        unknown: Unknown,
        operator_state: OperatorState,
        log: Log,
        folder: str,
        *,
        only_new: bool | None,
    ) -> None:
        self._unknown = unknown
        self._operator_state = operator_state
        self._log = log
        self._folder = folder
        self._since_s: float | None = None
        if only_new:
            self._since_s = operator_state.begin_survey(folder, time.time() - CLOCK_GRAIN_S)
        elif only_new is not None:
            operator_state.forget_survey(folder)

    def fresh(self, found: Sequence[Found]) -> list[Found]:
        """Return the files that the ledger has neither finished nor queued nor seen."""
        new = set(self._unknown(self._folder, found_files(found)))
        fresh = [one for one in found if (one.relative, one.fingerprint) in new]
        if self._since_s is None:
            return fresh
        before = [one for one in fresh if one.changed_s < self._since_s]
        self._operator_state.see(self._folder, found_files(before))
        return [one for one in fresh if one.changed_s >= self._since_s]

    def scanned(self) -> None:
        """Record that a full scan is complete: all earlier files are known."""
        if self._since_s is not None:
            self._since_s = None
            skipped = self._operator_state.end_survey(self._folder)
            self._log.info(Event.FOLDER_SURVEYED, folder=self._folder, left=skipped)


def found_files(found: Iterable[Found]) -> list[FoundFile]:
    """List files as the ledger takes them."""
    return [(one.relative, one.fingerprint) for one in found]
