"""Disposal of the sources of a group of finished jobs, each step taken for all of them.

Owns the order of the steps after the outputs are durable: copies of sidecars, a look at each
source, one ledger transaction that says which sources go, the sources, each with its sidecars, one
fsync of each folder, ledger `disposed`. An error of one source does not hold up others. Touches no
file but the one that was processed, none that is open for writing, and none below another root.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, faults, is_rewritten, require_same_root
from sharpend.commit.disposal import keeps_source, reason_to_keep
from sharpend.commit.names import numbered
from sharpend.commit.results import NOTHING, Committed, Disposed, Followed
from sharpend.commit.side_by_side import for_each
from sharpend.commit.syncs import FolderSyncs
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sharpend.commit.destination import TempNames
    from sharpend.commit.interface import Changes, CommitPlace, CommitPlaceOf, Source
    from sharpend.ledger.records import Job, Product


class SourceDisposal:
    """Disposal of the source of one job: `look`, then `act`, each for a whole group.

    It can be repeated after a crash. In the archive the source has the same path as in the input,
    or one with `-2`, `-3`, … where that is taken.

    Args:
        destination: of the job's folder.
        job: the input.
        product: its output.
        temp_name: name of the unfinished copy of a file on another file system.
    """

    def __init__(
        self, destination: Destination, job: Job, product: Product, temp_name: bytes
    ) -> None:
        self._to, self._job, self._temp_name = destination, job, temp_name
        kept = Disposed(reason_to_keep(destination.source, product))
        self._disposed = kept if keeps_source(destination.source, product) else None
        self._source: Source | None = None

    def look(self, place: CommitPlace, changes: Changes) -> bool:
        """Return whether the source, as it was processed, goes with `act`.

        The ledger must say so before: another file with its path is a new input from then on.

        Args:
            place: of the source and its archive.
            changes: of the group.

        Raises:
            FolderFaultError: the archive or the input folder cannot be worked on.
            TransientError: a process has it open for writing; try again later.
        """
        if self._disposed is not None:
            return False
        to, root = self._to, self._to.input_root
        try:
            require_same_root(to, root, "input")
            with faults(to, root, "input"):
                job = self._job
                self._source = place.source(root, job.relative, job.fingerprint, changes)
                goes = self._source.look()
        except ImageRefusedError as error:
            self._disposed = Disposed(str(error))
            return False
        if to.archive_root is not None and to.source is SourcePolicy.ARCHIVE:
            require_same_root(to, to.archive_root, "archive")
        return goes

    def act(self) -> Disposed:
        """Archive or delete the source; durable when the changes of the group are.

        Raises:
            FolderFaultError, TransientError: as of `look`.
        """
        if self._disposed is not None:
            return self._disposed
        to, archived = self._to, None
        try:
            if self._source is not None and to.source is SourcePolicy.DELETE:
                with faults(to, to.input_root, "input"):
                    self._source.delete()
            elif self._source is not None and to.archive_root is not None:
                archived = self._archive(self._source, to.archive_root)
        except ImageRefusedError as error:  # it can never be archived
            return Disposed(str(error))
        return Disposed(archived=archived)

    def _archive(self, source: Source, root: bytes) -> bytes | None:
        """Move it into the archive, or find it there; None if it is gone or another file."""
        path, otherwise = self._job.relative, None
        if self._to.portable_names:
            otherwise = numbered(root, path, portable=True)
        with faults(self._to, root, "archive"):
            return source.archive(root, numbered(root, path), otherwise, self._temp_name)


@dataclass(slots=True)
class Ending:
    """A job whose output is durable, and what becomes of its source."""

    destination: Destination
    job: Job
    product: Product
    is_recorded: bool = False
    """The ledger has it as disposed of already."""
    disposed: Disposed = field(default_factory=Disposed)
    copied: Followed = NOTHING
    archived: Followed = NOTHING
    error: FolderFaultError | TransientError | None = None
    """Reason why no further step is taken now."""

    @property
    def pending(self) -> bool:
        """True if the disposal is left to a later time."""
        return self.error is not None

    @contextmanager
    def storing_error(self) -> Iterator[None]:
        """Store an error of the block instead of raising it."""
        try:
            yield
        except (FolderFaultError, TransientError) as error:
            self.error = error

    def result(self) -> Committed | FolderFaultError:
        """Return the finished job, or why its folder has to pause."""
        if isinstance(self.error, FolderFaultError):
            return self.error
        reasons = (self.disposed.kept_reason, *self.copied.refusals, *self.archived.refusals)
        done = Committed(
            self.job,
            self.product.output,
            self.product.kept_existing,
            is_copy=not (self.product.pixels or self.product.kept_existing),
            rewritten=is_rewritten(self.destination, self.job.relative),
        )
        if self.pending:
            return replace(done, warning=str(self.error), disposal_pending=True)
        return replace(
            done,
            warning="; ".join(filter(None, reasons)),
            copied=self.copied.paths,
            archived=self.archived.paths,
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps before and after the disposal of sources; the last two write the ledger."""

    copy_sidecars: Callable[[Destination, bytes, Product, bytes], Followed]
    archive_sidecars: Callable[[Destination, bytes, bytes | None, bytes], Followed]
    begin: Callable[[Sequence[Ending]], None]
    """Records, durably, that the sources of all given jobs go now, or of none."""
    end: Callable[[Sequence[Ending]], None]
    """Records that nothing is left to do for the given jobs."""


class Disposer:
    """Dispose of the sources of finished jobs, from one thread.

    Args:
        names: of temporary files.
        place_of: returns the place of a root.
        steps: before and after; LedgerError where the ledger fails.
        at: called with the name of each step after it, for each file: copied, begun,
            source_removed, sidecars_moved, disposed.
    """

    def __init__(
        self, names: TempNames, place_of: CommitPlaceOf, steps: Steps, at: Callable[[str], None]
    ) -> None:
        self._names, self._place_of, self._steps, self._at = names, place_of, steps, at

    def dispose(self, group: Sequence[Ending]) -> None:
        """Keep, archive or delete the sources and their sidecars, after the outputs are durable."""
        temps = {one.job.id: self._names.new(one.job.id) for one in group}
        sources = [
            (one, SourceDisposal(one.destination, one.job, one.product, temps[one.job.id]))
            for one in group
        ]
        with FolderSyncs() as syncs:
            for one in group:
                with one.storing_error():
                    destination, path, temp = one.destination, one.job.relative, temps[one.job.id]
                    one.copied = self._steps.copy_sidecars(destination, path, one.product, temp)
                    self._at("copied")
            self._begin(sources, syncs)
            going = [entry for entry in sources if not entry[0].pending]
            for_each(going, partial(self._remove, temps), self._at_once)
            _sync(group, syncs)
        if left := [one for one in group if not (one.is_recorded or one.pending)]:
            self._steps.end(left)
        for _ in filter(lambda one: not one.pending, group):
            self._at("disposed")

    def _at_once(self, entry: tuple[Ending, SourceDisposal]) -> int:
        return self._place_of(entry[0].destination.input_root).at_once

    def _begin(self, sources: Sequence[tuple[Ending, SourceDisposal]], syncs: FolderSyncs) -> None:
        """Look at the sources, and record in one transaction which of them go."""
        goes = set[int]()

        def look(entry: tuple[Ending, SourceDisposal]) -> None:
            one, source = entry
            if not one.pending:
                with one.storing_error():
                    place = self._place_of(one.destination.input_root)
                    if source.look(place, syncs.changes(one.job.id)):
                        goes.add(one.job.id)

        for_each(sources, look, self._at_once)
        if begun := [one for one, _ in sources if one.job.id in goes]:
            self._steps.begin(begun)
        for _ in begun:
            self._at("begun")

    def _remove(self, temps: Mapping[int, bytes], entry: tuple[Ending, SourceDisposal]) -> None:
        """Remove a source, and then its sidecars, as those of one file after the other."""
        one, source = entry
        with one.storing_error():
            one.disposed = source.act()
            self._at("source_removed")
            destination, path, archived = one.destination, one.job.relative, one.disposed.archived
            follow = self._steps.archive_sidecars
            one.archived = follow(destination, path, archived, temps[one.job.id])
            self._at("sidecars_moved")


def _sync(group: Sequence[Ending], syncs: FolderSyncs) -> None:
    """Make it durable: one fsync of each folder, whose failure is that of all in it."""
    failures = syncs.sync()
    for one in group:
        failure = failures.get(one.job.id)
        if failure is not None and not one.pending:
            root = one.destination.archive_root or one.destination.input_root
            with one.storing_error(), faults(one.destination, root, "input"):
                raise failure
