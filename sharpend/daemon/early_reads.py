"""Files that were read too early: they were refused, or changed while they were read.

Owns the consequences of a refusal or a change: a longer wait before the next attempt, the removal
of a reason file that no longer applies, and the event `image.changed`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.intake.patience import Patience
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.errors import Reason
    from sharpend.ledger.records import Job
    from sharpend.logs.logs import Log


class EarlyReads:
    """Record of files of one folder that were read too early.

    Args:
        folder: its name.
        log: for changed files.
    """

    def __init__(self, folder: str, log: Log) -> None:
        self.patience = Patience()
        """Read by the intake."""
        self._folder = folder
        self._log = log

    def changed(self, job: Job, message: str) -> None:
        """Record that a file changed after it had settled: next time it waits longer."""
        self.patience.record(job.relative, job.fingerprint)
        self._log_changed(job.relative, message)

    def refused(self, job: Job, reason: Reason) -> None:
        """Record a refusal: if the file changes, it was not complete and waits longer."""
        if not reason.is_final:
            self.patience.record(job.relative, job.fingerprint)

    def finished(self, job: Job) -> None:
        """Record that a file was complete."""
        self.patience.forget(job.relative)

    def superseded(self, refusals: Sequence[tuple[bytes, bytes]]) -> None:
        """Delete the reason files of refused files that have changed since.

        Args:
            refusals: each with the file, below the input folder, and the path of its reason file.
        """
        for relative, note in refusals:
            with suppress(OSError):  # the refusal itself is deleted already
                os.unlink(note)
            self._log_changed(relative, "it changed after it was refused")

    def _log_changed(self, relative: bytes, message: str) -> None:
        self._log.info(Event.IMAGE_CHANGED, folder=self._folder, path=relative, message=message)
