"""Plan of one folder: its settings as plain values, and the tasks made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.task import Task

if TYPE_CHECKING:
    from sharpend.commit.destination import Destination
    from sharpend.intake.protocol import FolderOptions
    from sharpend.ledger.records import Job
    from sharpend.task import Options


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """Settings of one folder as plain values."""

    destination: Destination
    intake: FolderOptions
    options: Options
    reprocess: bool = False
    """Sharpen finished images again when the model or an option has changed."""
    newest_first: bool = False
    """Begin with the newest image instead of the oldest."""

    def task(self, job: Job, parent: bytes, temp_name: bytes, *, measured: bool) -> Task:
        """Make the task of a worker for one claimed job of this folder.

        Args:
            job: claimed from the ledger.
            parent: folder of the output, below the output root.
            temp_name: name of the staged file in it.
            measured: compare with the teacher.
        """
        return Task(
            job_id=job.id,
            input_root=self.destination.input_root,
            output_root=self.destination.output_root,
            relative=job.relative,
            output_parent=parent,
            temp_name=temp_name,
            fingerprint=job.fingerprint,
            options=self.options,
            measure_agreement=measured,
            access=self.destination.access,
        )
