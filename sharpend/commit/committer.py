"""Publication of a staged temporary file under its final name, and disposal of the source.

Owns the order of the steps: ledger `staged`, rename, fsync of the folder, ledger `done`, disposal
of the source, ledger `disposed`; the last comes together with `done` where the source stays and no
sidecar is copied. Each can be repeated: `recover` repairs a crash. Refuses to overwrite a foreign
file, a link or a folder, to touch a source that is not the file that was processed, and to create a
root that is missing.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.commit.destination import (
    Destination,
    faults,
    is_rewritten,
    output_names,
    require_same_root,
)
from sharpend.commit.disposal import dispose_source, ends_at_once, reason_to_keep
from sharpend.commit.ownership import NameStatus, choose
from sharpend.commit.relocate import DirectoryEntry
from sharpend.commit.results import Attempt, Committed, Prepared, Unfinished
from sharpend.commit.sidecars import archive_sidecars, copy_sidecars
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.files.atomic import fsync_directory, rename_without_clobbering
from sharpend.files.beneath import directory, fingerprint_at, refusing_name
from sharpend.ledger.records import Job, Product, State
from sharpend.policies import CollisionPolicy, ExistingPolicy, Losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.commit.destination import TempNames
    from sharpend.ledger.ledger import Ledger


class Committer:
    """Publish staged files; one instance serves all folders, from one thread.

    `at` is called with the name of each step after it, so that tests can simulate a crash there.
    Steps: chosen, staged, renamed, synced, finished, copied, source_removed, sidecars_moved,
    disposed.

    Every method raises FolderFaultError when no file of the folder can be worked on, and
    TransientError when a later attempt at this file may succeed. After a FolderFaultError the
    ledger is consistent (the job pending, staged or done, no attempt counted): pause the folder,
    and call `recover` when it resumes.
    """

    def __init__(
        self, ledger: Ledger, names: TempNames, at: Callable[[str], None] = lambda _: None
    ) -> None:
        self._ledger = ledger
        self._names = names
        self._at = at

    def prepare(self, destination: Destination, job: Job, now_s: float) -> Prepared | Committed:
        """Create the output's folder for a running job, or finish the job if its output stays.

        Args:
            destination: of the job's folder.
            job: running.
            now_s: wall clock, seconds.

        Returns:
            Names for the staged file; or, with `existing = "skip"` and a foreign file under the
            output's name, the finished job, its source untouched.

        Raises:
            ImageRefusedError: NAME_TOO_LONG, NAME_NOT_POSSIBLE, NAME_TAKEN by another input, or a
                folder on the path is a link.
        """
        first = next(output_names(destination, job.relative))
        skips = destination.existing is ExistingPolicy.SKIP
        with self._output_folder(destination, first) as fd:
            if skips or destination.collision is CollisionPolicy.REFUSE:
                output, status = choose(self._ledger, destination, job, fd)
                if status is NameStatus.LEFT_ALONE:
                    product = _as_existing(Product(output, job.fingerprint), fd, unchanged=True)
                    self._ledger.stage(job, product)
                    return self._finish(destination, job, product, now_s)
            return Prepared(os.path.dirname(first), self._names.new(job.id))

    def commit(
        self, destination: Destination, job: Job, attempt: Attempt, now_s: float
    ) -> Committed:
        """Publish a running job's staged file and dispose of its source.

        Args:
            destination: of the job's folder.
            job: running.
            attempt: with the staged file; it is deleted where the commit fails for good.
            now_s: wall clock in seconds.

        Raises:
            ImageRefusedError: NAME_TAKEN by another input, NAME_TOO_LONG or NAME_NOT_POSSIBLE.
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
            input_digest=staged.input_digest,
            stays_for="; ".join(staged.losses) if attempt.losses is Losses.KEEP else "",
        )
        try:
            with self._output_folder(destination, first) as fd:
                product = self._publish(destination, job, product, fd)
                return self._finish(destination, job, product, now_s)
        except (FolderFaultError, TransientError, ImageRefusedError) as error:
            if self._may_be_renamed(job) and not isinstance(error, ImageRefusedError):
                # `recover` decides whether it was renamed
                raise FolderFaultError(str(error)) from error
            self._discard(destination, product)
            if isinstance(error, FolderFaultError):
                self._ledger.release(job)
            raise

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
                try:
                    done = self._recover_one(destination, job, product, now_s)
                except (FolderFaultError, TransientError, ImageRefusedError) as error:
                    yield Unfinished(job, error)
                    if isinstance(error, FolderFaultError):
                        return
                    if isinstance(error, ImageRefusedError):
                        self._discard(destination, product)
                else:
                    if done is not None:
                        yield done

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
        """Rename the staged file to the first name that it may take; return the output."""
        while True:
            output, status = choose(self._ledger, destination, job, fd, product)
            chosen = replace(product, output=output)
            if status in {NameStatus.LEFT_ALONE, NameStatus.EQUAL}:
                chosen = _as_existing(chosen, fd, unchanged=status is NameStatus.LEFT_ALONE)
            self._at("chosen")
            record = self._ledger.restage if self._may_be_renamed(job) else self._ledger.stage
            record(job, chosen)
            self._at("staged")
            with suppress(FileExistsError):  # somebody created this name meanwhile: choose again
                _place(chosen, status, fd)
                self._at("renamed")
                fsync_directory(fd)
                self._at("synced")
                return chosen

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
        has_ended = ends_at_once(destination, product)
        with self._ledger.joined():
            notes = self._ledger.finish(job, now_s)
            if has_ended:
                self._ledger.dispose(job, stays=bool(reason_to_keep(destination, product)))
        for note in notes:
            with suppress(OSError):  # the reason file of an earlier failure
                os.unlink(note)
        self._at("finished")
        return self._dispose(destination, job, product, has_ended=has_ended)

    def _dispose(
        self, destination: Destination, job: Job, product: Product, *, has_ended: bool = False
    ) -> Committed:
        passed_on = not (product.pixels or product.unchanged)
        done = Committed(
            job,
            product.output,
            product.unchanged,
            passed_on=passed_on,
            rewritten=is_rewritten(destination, job.relative),
        )
        begin = partial(self._ledger.begin_disposal, job)
        temp_name = self._names.new(job.id)
        try:
            copied = copy_sidecars(destination, job.relative, product, temp_name)
            self._at("copied")
            disposed = dispose_source(destination, job, product, temp_name, begin)
            self._at("source_removed")
            archived = archive_sidecars(destination, job.relative, disposed.archived, temp_name)
            self._at("sidecars_moved")
        except TransientError as error:
            return replace(done, warning=str(error), disposal_pending=True)
        if not has_ended:
            self._ledger.dispose(job, stays=bool(disposed.stays_for))
        self._at("disposed")
        warning = "; ".join(filter(None, [disposed.stays_for, *copied.left, *archived.left]))
        return replace(done, warning=warning, copied=copied.paths, archived=archived.paths)

    @contextmanager
    def _output_folder(self, destination: Destination, output: bytes) -> Iterator[int]:
        """Open the output's folder, created if missing; translate OSErrors meanwhile."""
        root, parent = destination.output_root, os.path.dirname(output)
        made = destination.access.give_folder  # readers of the outputs need access to it, too
        require_same_root(destination, root, "output")
        with (
            faults(destination, root, "output"),
            directory(root, parent, create=True, made=made) as fd,
        ):
            yield fd


def _as_existing(product: Product, fd: int, *, unchanged: bool) -> Product:
    """Return the product with the foreign file at its name as the output.

    Raises:
        FileExistsError: the name is no regular file any more.
    """
    existing = fingerprint_at(fd, os.path.basename(product.output))
    if existing is None:
        raise FileExistsError(product.output)
    return replace(product, fingerprint=existing, unchanged=unchanged)


def _place(product: Product, status: NameStatus, fd: int) -> None:
    """Rename the staged file to its final name, or delete it where a foreign file is kept."""
    name = os.path.basename(product.output)
    with refusing_name(fd, name, creates=True):
        if status in {NameStatus.LEFT_ALONE, NameStatus.EQUAL}:
            DirectoryEntry(fd, product.temp).unlink()
        elif status is NameStatus.FREE:
            rename_without_clobbering(fd, product.temp, fd, name)
        else:
            os.replace(product.temp, name, src_dir_fd=fd, dst_dir_fd=fd)
