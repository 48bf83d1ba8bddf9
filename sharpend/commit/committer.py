"""Commit of staged files: publication under their final names, and disposal of their sources.

Owns the order of the steps: ledger `staged`, rename, fsync of the folder, ledger `done`, disposal
of the source, ledger `disposed`; the last comes together with `done` where the source stays and no
sidecar is copied. The files of a group take each step together: a transaction and an fsync of each
folder serve all of them. Each step can be repeated: `recover` repairs a crash. Refuses to overwrite
a foreign file, a link or a folder, and to touch a source that is not the file that was processed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, NameStatus, faults, output_names
from sharpend.commit.disposal import ends_at_once, reason_to_keep
from sharpend.commit.disposer import Disposer, Ending, Steps
from sharpend.commit.interface import StagedElsewhereError
from sharpend.commit.ownership import choose
from sharpend.commit.publication import (
    OutputFolders,
    Publication,
    Publisher,
    StagedJob,
    as_existing,
    begun,
)
from sharpend.commit.results import Committed, Prepared, Unfinished
from sharpend.commit.sidecars import archive_sidecars, copy_sidecars
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.ledger.records import Job, Product, State
from sharpend.policies import CollisionPolicy, ExistingPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sharpend.commit.destination import TempNames
    from sharpend.commit.interface import CommitPlaceOf, OutputFolder
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.ledger import Ledger

WAIT_FOR_THE_DISK = frozenset({"staged", "synced"})
"""Steps of a group that do, and after which `recover` would finish and report its jobs."""


class Committer:
    """Publish staged files; one instance serves all folders, from one thread.

    `at` is called with the name of each step after it, for each file of a group, so that tests can
    simulate a crash there. Steps: chosen, staged, renamed, synced, finished, copied, begun,
    source_removed, sidecars_moved, disposed.

    Errors of a file are FolderFaultError when no file of its folder can be worked on,
    TransientError when a later attempt at this file may succeed, and ImageRefusedError when none
    will. After a FolderFaultError the ledger is consistent (the job pending, staged or done, no
    attempt counted): pause the folder, and call `recover` when it resumes.
    """

    def __init__(
        self,
        ledger: Ledger,
        names: TempNames,
        place_of: CommitPlaceOf,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._names = names
        self._place_of = place_of
        self._at = at
        self._chosen: dict[int, bytes] = {}
        """Outputs of jobs that have to be staged anew, by number."""

    def output_folders(self) -> OutputFolders:
        """Return the folders to pass to `prepare`, as a context."""
        return OutputFolders(self._place_of)

    def prepare(
        self, destination: Destination, job: Job, folders: OutputFolders, now_s: float
    ) -> Prepared | Committed:
        """Create the output's folder for a running job, or finish the job if its output stays.

        Args:
            destination: of the job's folder.
            job: running.
            folders: of the outputs; for one turn, as their root is looked at when it is opened.
            now_s: wall clock, seconds.

        Returns:
            Names for the staged file; or, with `existing = "skip"` and a foreign file under the
            output's name, the finished job, its source untouched.

        Raises:
            ImageRefusedError: NAME_TOO_LONG, NAME_NOT_POSSIBLE, NAME_TAKEN by another input, or a
                folder on the path is a link.
            FolderFaultError: no file of the folder can be worked on.
            TransientError: a later attempt at this file may succeed.
        """
        first = next(output_names(destination, job.relative))
        skips = destination.existing is ExistingPolicy.SKIP
        with faults(destination, destination.output_root, "output"):
            folder = folders.open(destination, first)
            if skips or destination.collision is CollisionPolicy.REFUSE:
                at = self._place_of(destination.output_root), folder
                output, status = choose(self._ledger, destination, job, at)
                if status is NameStatus.LEFT_ALONE:
                    product = as_existing(
                        Product(output, job.fingerprint), folder, kept_existing=True
                    )
                    self._ledger.stage(job, product)
                    return self._finish_one(Publication(destination, job, product), now_s)
        output = self._chosen.pop(job.id, first)
        return Prepared(*os.path.split(output), self._names.new(job.id))

    def commit(
        self, group: Sequence[StagedJob], now_s: float
    ) -> Iterator[tuple[StagedJob, Committed | Unfinished]]:
        """Publish the staged files of running jobs and dispose of their sources, step by step.

        A file that fails leaves the group; the others go on. Its staged file is deleted where it
        cannot be published any more. Do not call `recover` before the last entry has come.

        Args:
            group: at most one job of each input.
            now_s: wall clock in seconds.

        Yields:
            Each entry with its end, as soon as it has come; ImageRefusedError is NAME_TAKEN by
            another input, NAME_TOO_LONG or NAME_NOT_POSSIBLE. With StagedElsewhereError the job is
            pending again, and the next attempt has the name that is free.
        """
        made = [(entry, begun(entry)) for entry in group]
        publishable = [one for _, one in made if one.error is None]
        with self.output_folders() as folders:
            self._publisher(folders).publish(publishable)
        for entry, one in made:
            if one.error is not None:
                yield entry, Unfinished(entry.job, self._given_up(one, one.error))
        published = [(entry, one) for entry, one in made if one.error is None]
        self._finish([one for _, one in published], now_s)
        yield from self._dispose(published)

    def _publisher(self, folders: OutputFolders) -> Publisher:
        return Publisher(folders, self._choose, self._stage, self._at)

    def _disposer(self) -> Disposer:
        steps = Steps(copy_sidecars, archive_sidecars, self._begin_disposal, self._end)
        return Disposer(self._names, self._place_of, steps, self._at)

    def _begin_disposal(self, group: Sequence[Ending]) -> None:
        """Record in one transaction that sources go."""
        with self._ledger.joined():
            for one in group:
                self._ledger.begin_disposal(one.job)

    def _end(self, group: Sequence[Ending]) -> None:
        """Record that sources are gone; `recover` finds them so if that is lost."""
        with self._ledger.joined(waits=False):
            for one in group:
                self._ledger.dispose(one.job, keeps_source=bool(one.disposed.kept_reason))

    def _choose(self, one: Publication, folder: OutputFolder) -> tuple[bytes, NameStatus]:
        at = self._place_of(one.destination.output_root), folder
        return choose(self._ledger, one.destination, one.job, at, one.product)

    def _stage(self, group: Sequence[Publication]) -> None:
        """Record the names of staged files in one transaction."""
        with self._ledger.joined():
            for one in group:
                write = self._ledger.restage if one.is_recorded else self._ledger.stage
                write(one.job, one.product)

    def _given_up(
        self, one: Publication, error: FolderFaultError | TransientError | ImageRefusedError
    ) -> FolderFaultError | TransientError | ImageRefusedError:
        """Take a file that has no durable name out of the group; return its error for the caller.

        One that may have been renamed is left to `recover`, which decides whether it was.
        """
        if isinstance(error, StagedElsewhereError):
            return self._staged_anew(one, error)
        if one.is_recorded and not isinstance(error, ImageRefusedError):
            return FolderFaultError(str(error))
        self._discard(one.destination, one.product)
        if isinstance(error, FolderFaultError):
            self._ledger.release(one.job)
        return error

    def recover(self, destination: Destination, now_s: float) -> Iterator[Committed | Unfinished]:
        """Finish, or reset to pending, the jobs that a crash or a fault left staged or done.

        Called at start, when a folder resumes, and at intervals; `now_s` is wall clock seconds.

        Yields:
            Each job that is now finished, and each that could not be finished, with its error. A
            FolderFaultError is the last one: pause the folder. ImageRefusedError: quarantine.
        """
        for state in (State.STAGED, State.DONE):
            for job, product in self._ledger.unfinished(state):
                if job.folder != destination.folder:
                    continue
                one = Publication(destination, job, product, is_recorded=True)
                try:
                    done = self._recover_one(one, now_s)
                except (FolderFaultError, TransientError, ImageRefusedError) as error:
                    yield Unfinished(job, error)
                    if isinstance(error, FolderFaultError):
                        return
                    if isinstance(error, ImageRefusedError):
                        self._discard(destination, product)
                else:
                    if done is not None:
                        yield done

    def _recover_one(self, one: Publication, now_s: float) -> Committed | None:
        if one.job.state is State.DONE:
            return self._dispose_one(one)
        root, product = one.destination.output_root, one.product
        with self.output_folders() as folders, faults(one.destination, root, "output"):
            folder = folders.open(one.destination, product.output)
            if _stands(folder, product.output, product.fingerprint):
                if product.temp:
                    folder.discard(product.temp)
                folder.sync()
            elif product.temp and folder.staged(product.temp) == product.fingerprint:
                self._publisher(folders).publish([one])
                if isinstance(one.error, StagedElsewhereError):
                    self._staged_anew(one, one.error)
                    return None
                if one.error is not None:
                    raise one.error
            else:
                self._ledger.release(one.job)
                return None
        return self._finish_one(one, now_s)

    def _staged_anew(self, one: Publication, error: StagedElsewhereError) -> StagedElsewhereError:
        """Return a job to the queue, to be staged for the name that was chosen."""
        self._chosen[one.job.id] = one.product.output
        self._ledger.release(one.job)
        return error

    def _discard(self, destination: Destination, product: Product) -> None:
        """Delete a staged file, as far as that is possible."""
        root, parent = destination.output_root, os.path.dirname(product.output)
        opened = self._place_of(root).outputs(root, parent)
        with suppress(OSError, ImageRefusedError), opened as folder:
            folder.discard(product.temp)

    def _finish_one(self, one: Publication, now_s: float) -> Committed:
        self._finish([one], now_s)
        return self._dispose_one(one)

    def _finish(self, group: Sequence[Publication], now_s: float) -> None:
        """Record that the outputs have their names, in one transaction."""
        notes: list[bytes] = []
        with self._ledger.joined():
            for one in group:
                notes += self._ledger.finish(one.job, now_s)
                if ends_at_once(one.destination.source, one.destination.sidecars, one.product):
                    keeps_source = bool(reason_to_keep(one.destination.source, one.product))
                    self._ledger.dispose(one.job, keeps_source=keeps_source)
                    one.has_ended = True
        for note in notes:
            with suppress(OSError):  # the reason file of an earlier failure
                os.unlink(note)
        for _ in group:
            self._at("finished")

    def _dispose(
        self, group: Sequence[tuple[StagedJob, Publication]]
    ) -> Iterator[tuple[StagedJob, Committed | Unfinished]]:
        """Dispose of the sources of finished jobs; first come those that have ended already."""
        for has_ended in (True, False):
            part = [(entry, _ending(one)) for entry, one in group if one.has_ended is has_ended]
            self._disposer().dispose([ending for _, ending in part])
            for entry, ending in part:
                end = ending.result()
                yield entry, end if isinstance(end, Committed) else Unfinished(entry.job, end)

    def _dispose_one(self, one: Publication) -> Committed:
        ending = _ending(one)
        self._disposer().dispose([ending])
        end = ending.result()
        if not isinstance(end, Committed):
            raise end
        return end


def _stands(folder: OutputFolder, output: bytes, meant: Fingerprint) -> bool:
    """Return whether an output has its name, below an open folder, already."""
    with suppress(FileNotFoundError):
        return folder.fingerprint(os.path.basename(output)) == meant
    return False


def _ending(one: Publication) -> Ending:
    return Ending(one.destination, one.job, one.product, is_recorded=one.has_ended)
