"""From a staged temporary file to the output under its final name, and the source's disposal.

Owns the order of the steps: ledger `staged`, rename, fsync of the folder, ledger `done`, disposal
of the source, ledger `disposed`. Each can be repeated, so a crash between any two is repaired by
`recover`. Refuses to overwrite a foreign file, a link or a folder, to touch a source that is not
the file that was processed, and to make a root that has gone.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.commit.destination import (
    Destination,
    TempNames,
    faults,
    output_names,
    require_same_root,
)
from sharpend.commit.disposal import let_go
from sharpend.commit.ownership import NameStatus, choose
from sharpend.commit.relocate import DirectoryEntry
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.files.atomic import fsync_directory, rename_without_clobbering
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.ledger.records import Job, Product, State
from sharpend.policies import CollisionPolicy, ExistingPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sharpend.ledger.ledger import Ledger
    from sharpend.task import Staged


@dataclass(frozen=True, slots=True)
class Committed:
    """A job that is finished."""

    job: Job
    output: bytes
    """Below the output root."""
    unchanged: bool
    """A foreign file stands there and was left alone (`existing = "skip"`)."""
    warning: str = ""
    """Why the source could not be archived, where that will not change: it stays."""
    owed: bool = False
    """The source cannot be let go yet, and `recover` has to try again."""
    passed_on: bool = False
    """The output is the input as it is."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A job that `recover` could not finish."""

    job: Job
    error: FolderFaultError | TransientError | ImageRefusedError


@dataclass(frozen=True, slots=True)
class Attempt:
    """A worker's staged file with what the daemon knows about it."""

    staged: Staged
    options_digest: str = ""


class Committer:
    """Publishes staged files; one instance serves all folders, from one thread.

    `at` is called with the name of each step just after it: tests make it raise, as a crash there
    would. Steps: chosen, staged, renamed, synced, finished, source_gone, disposed.

    Every method raises FolderFaultError when the folder as a whole cannot be worked on, and
    TransientError when this one file may do better later. After a FolderFaultError the ledger
    is right as it is (the job pending, staged or done, no attempt spent): pause the folder, and
    call `recover` when it resumes.
    """

    def __init__(
        self, ledger: Ledger, names: TempNames, at: Callable[[str], None] = lambda _: None
    ) -> None:
        self._ledger = ledger
        self._names = names
        self._at = at

    def prepare(self, destination: Destination, job: Job) -> tuple[bytes, bytes]:
        """Make the output's folder before the work begins.

        Returns:
            The output's folder below the output root, and the staged file's name in it.

        Raises:
            ImageRefusedError: NAME_TOO_LONG, NAME_TAKEN, or the folder's way leads through a link.
        """
        parent = os.path.dirname(next(output_names(destination, job.relative)))
        require_same_root(destination, destination.output_root, "output")
        with (
            faults(destination, destination.output_root, "output"),
            _made_directory(destination, parent) as fd,
        ):
            if destination.collision is CollisionPolicy.REFUSE:
                choose(self._ledger, destination, job, fd)
            return parent, self._names.new(job.id)

    def leave_existing(self, destination: Destination, job: Job, now_s: float) -> Committed | None:
        """With `existing = "skip"`, finish a running job at once where a foreign file stands.

        Returns:
            The finished job, its source untouched; None where there is work to do.

        Raises:
            ImageRefusedError: NAME_TOO_LONG, or NAME_TAKEN by another input.
        """
        if destination.existing is not ExistingPolicy.SKIP:
            return None
        with self._output_folder(destination, next(output_names(destination, job.relative))) as fd:
            output, status = choose(self._ledger, destination, job, fd)
            if status is not NameStatus.LEFT_ALONE:
                return None
            product = _as_unchanged(Product(output, job.fingerprint), fd)
            self._ledger.stage(job, product)
            return self._finish(destination, job, product, now_s)

    def commit(
        self, destination: Destination, job: Job, attempt: Attempt, now_s: float
    ) -> Committed:
        """Publish a running job's staged file and dispose of its source.

        Raises:
            ImageRefusedError: NAME_TAKEN by another input; NAME_TOO_LONG, when only a longer name
                is free.
        """
        staged = attempt.staged
        first = next(output_names(destination, job.relative))
        product = Product(
            output=first,
            fingerprint=staged.fingerprint,
            temp=staged.temp_name,
            model_digest=staged.model_digest,
            options_digest=attempt.options_digest,
            pixels=staged.pixels,
        )
        try:
            with self._output_folder(destination, first) as fd:
                product = self._publish(destination, job, product, fd)
                return self._finish(destination, job, product, now_s)
        except (FolderFaultError, TransientError, ImageRefusedError) as error:
            if self._may_be_renamed(job) and not isinstance(error, ImageRefusedError):
                raise FolderFaultError(str(error)) from error  # only `recover` can tell
            self._discard(destination, product)
            if isinstance(error, FolderFaultError):
                self._ledger.release(job)
            raise

    def recover(self, destination: Destination, now_s: float) -> Iterator[Committed | Unfinished]:
        """Finish, or set back to pending, what a crash or a fault left staged or done.

        Called at start, when a paused folder resumes, and with each scan.

        Yields:
            Each job that is now finished, and each that stays where it was with the cause. A
            FolderFaultError is the last one: pause the folder. ImageRefusedError: quarantine.
        """
        for state in (State.STAGED, State.DONE):
            for job, product in self._ledger.unfinished(state):
                if job.folder != destination.folder:
                    continue
                try:
                    done = self._recover_one(destination, job, product, now_s)
                except (FolderFaultError, TransientError, ImageRefusedError) as error:
                    yield Unfinished(job, error)
                    if isinstance(error, FolderFaultError):
                        return
                else:
                    if done is not None:
                        yield done

    def remove_stale_temps(self, root: bytes, go_on: Callable[[], bool] = lambda: True) -> int:
        """At start, after `recover`: remove temporary files that a dead worker of ours left.

        Files that the ledger still counts on, of a folder that is paused, stay. `go_on` is asked
        in each folder whether to look further.

        Returns:
            How many were removed.
        """
        wanted = {product.temp for _, product in self._ledger.unfinished(State.STAGED)}
        removed = 0
        with suppress(OSError):  # a root that is not there, or fails, has nothing to give up
            for _, _, files, folder_fd in os.fwalk(root, follow_symlinks=False):
                if not go_on():
                    break
                for name in files:
                    if self._names.is_ours(name) and name not in wanted:
                        with suppress(OSError):
                            os.unlink(name, dir_fd=folder_fd)
                            removed += 1
        return removed

    def _recover_one(
        self, destination: Destination, job: Job, product: Product, now_s: float
    ) -> Committed | None:
        if job.state is State.DONE:
            return self._dispose(destination, job, product)
        with self._output_folder(destination, product.output) as fd:
            temp = DirectoryEntry(fd, product.temp)
            output = DirectoryEntry(fd, os.path.basename(product.output))
            if output.fingerprint() == product.fingerprint:
                if product.temp:
                    temp.unlink()
            elif product.temp and temp.fingerprint() == product.fingerprint:
                product = self._publish(destination, job, product, fd)
            else:
                self._ledger.release(job)
                return None
            fsync_directory(fd)
            return self._finish(destination, job, product, now_s)

    def _publish(self, destination: Destination, job: Job, product: Product, fd: int) -> Product:
        """Give the staged file the best name there is; returns what stands there now."""
        while True:
            output, status = choose(self._ledger, destination, job, fd)
            chosen = replace(product, output=output)
            if status is NameStatus.LEFT_ALONE:
                chosen = _as_unchanged(chosen, fd)
            self._at("chosen")
            self._record(job, chosen)
            self._at("staged")
            with suppress(FileExistsError):  # a foreign file came first: choose again
                _place(chosen, status, fd)
                self._at("renamed")
                fsync_directory(fd)
                self._at("synced")
                return chosen

    def _record(self, job: Job, product: Product) -> None:
        if self._may_be_renamed(job):
            self._ledger.restage(job, product)
        else:
            self._ledger.stage(job, product)

    def _may_be_renamed(self, job: Job) -> bool:
        found = self._ledger.job(job.id)
        return found is not None and found.state in {State.STAGED, State.DONE}

    def _discard(self, destination: Destination, product: Product) -> None:
        parent = os.path.dirname(product.output)
        with suppress(OSError, ImageRefusedError), directory(destination.output_root, parent) as fd:
            DirectoryEntry(fd, product.temp).unlink()

    def _finish(
        self, destination: Destination, job: Job, product: Product, now_s: float
    ) -> Committed:
        for note in self._ledger.finish(job, now_s):
            with suppress(OSError):  # a reason file that no longer applies
                os.unlink(note)
        self._at("finished")
        return self._dispose(destination, job, product)

    def _dispose(self, destination: Destination, job: Job, product: Product) -> Committed:
        passed_on = not (product.pixels or product.unchanged)
        done = Committed(job, product.output, product.unchanged, passed_on=passed_on)
        try:
            if not product.unchanged:
                temp_name = self._names.new(job.id)
                let_go(destination, job, temp_name, lambda: self._ledger.begin_disposal(job))
        except ImageRefusedError as error:
            done = replace(done, warning=str(error))
        except TransientError as error:
            return replace(done, warning=str(error), owed=True)
        self._at("source_gone")
        self._ledger.dispose(job, stays=bool(done.warning))
        self._at("disposed")
        return done

    @contextmanager
    def _output_folder(self, destination: Destination, output: bytes) -> Iterator[int]:
        """The output's folder, open, while faults in it are translated."""
        root = destination.output_root
        require_same_root(destination, root, "output")
        with (
            faults(destination, root, "output"),
            _made_directory(destination, os.path.dirname(output)) as fd,
        ):
            yield fd


def _made_directory(destination: Destination, parent: bytes) -> AbstractContextManager[int]:
    """The output's folder, with what is missing of it made for those who may read outputs."""
    made = destination.access.give_folder
    return directory(destination.output_root, parent, create=True, made=made)


def _as_unchanged(product: Product, fd: int) -> Product:
    """The product that is the foreign file at the final name."""
    existing = fingerprint_at(fd, os.path.basename(product.output))
    if existing is None:
        raise FileExistsError(product.output)
    return replace(product, fingerprint=existing, unchanged=True)


def _place(product: Product, status: NameStatus, fd: int) -> None:
    """Bring the staged file under its final name, or remove it where a foreign file stays."""
    name = os.path.basename(product.output)
    if status is NameStatus.LEFT_ALONE:
        DirectoryEntry(fd, product.temp).unlink()
    elif status is NameStatus.FREE:
        rename_without_clobbering(fd, product.temp, fd, name)
    else:
        os.replace(product.temp, name, src_dir_fd=fd, dst_dir_fd=fd)
