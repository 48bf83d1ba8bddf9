"""Plan of one folder: its settings as plain values, and the tasks made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.files.remote import is_remote
from sharpend.task import Task

if TYPE_CHECKING:
    from sharpend.commit.destination import Destination
    from sharpend.commit.results import Prepared
    from sharpend.intake.interface import FolderOptions
    from sharpend.ledger.records import Job
    from sharpend.policies import Hours
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
    hours: tuple[Hours, ...] = ()
    """Local times in which images are begun; empty: at any time."""
    only_new: bool = False
    """Skip the images that exist at the first start."""

    def task(self, job: Job, prepared: Prepared) -> Task:
        """Make the task of a worker for one claimed job of this folder.

        Args:
            job: claimed from the ledger.
            prepared: names of the staged file and of the output.
        """
        return Task(
            job_id=job.id,
            input_root=self.destination.input_root,
            output_root=self.destination.output_root,
            relative=job.relative,
            output_parent=prepared.parent,
            output_name=prepared.name if is_remote(self.destination.output_root) else b"",
            temp_name=prepared.temp_name,
            fingerprint=job.fingerprint,
            options=self.options,
            access=self.destination.access,
        )
