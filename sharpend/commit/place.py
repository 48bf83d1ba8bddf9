"""Interface of a place that folders have their roots in: a file system, or object storage.

A place has five verbs: list and watch inputs (`InputPlace`), read an input and stage an output
(`WorkPlace`), publish outputs, and dispose of sources (`CommitPlace`). Its forms are `local_place`
and `remote`; `places` chooses one by the form of a root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sharpend.commit.interface import CommitPlace
from sharpend.intake.interface import InputPlace

if TYPE_CHECKING:
    from sharpend.attempt import Staged
    from sharpend.task import Task


class WorkPlace(Protocol):
    """Place of the images in work: the verbs of `Place` around the worker of a task.

    A worker is confined: it opens and writes files of this machine, by `workers.opening` and
    `workers.staging`, and has neither network nor credentials. These verbs are called outside of
    it, by `workers.transfers`; they make a file of an input, and take a file for an output. They
    decode nothing.
    """

    @property
    def is_local(self) -> bool:
        """True if workers reach its files themselves; the methods then have nothing to do."""

    def read(self, task: Task, local: Task) -> Task:
        """Make a file of an input.

        Args:
            task: with the input in this place.
            local: the same task with what a worker reaches so far.

        Returns:
            `local` with the file as its input.

        Raises:
            ImageRefusedError: it has more bytes than the limits allow.
            SourceChangedError: it is not the input that was listed.
            SourceVanishedError: it is gone.
            OSError: the place, or the disk of the file.
        """

    def prepare(self, task: Task, local: Task) -> Task:
        """Choose where a worker writes the finished file, for `stage` to take it from there.

        Args:
            task: with the output in this place.
            local: as of `read`.

        Returns:
            `local` with the folder and the name of the file.

        Raises:
            ImageRefusedError: the output cannot have its path.
            OSError: the disk of the file.
        """

    def stage(self, task: Task, staged: Staged) -> Staged:
        """Stage a finished file in this place: complete, durable, and not visible yet.

        Args:
            task: as of `prepare`.
            staged: the file that the worker has written.

        Returns:
            The staged file as `OutputFolder` finds it.

        Raises:
            ImageRefusedError: the output cannot have its path.
            OSError: the place, or the disk of the file.
        """


class Place(InputPlace, WorkPlace, CommitPlace, Protocol):
    """Place of roots: list, read, stage, publish and dispose."""


PlaceOf: TypeAlias = Callable[[bytes], Place]
"""Returns the place of a root."""
