"""File systems as a place of inputs, outputs and archives.

Owns the verbs of `Place` there: the scan and the watch of `intake`, folders opened without
following links, and sources that are moved or deleted under a lease; inputs are read and outputs
staged by confined workers, in `workers.opening` and `workers.staging`. Refuses to touch a source
that a process has open for writing.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from sharpend.commit.local_folder import LocalFolder
from sharpend.commit.relocate import Move, relocate, still_written
from sharpend.commit.source import leased_source
from sharpend.errors import Reason, TransientError
from sharpend.files.beneath import DirectoryEntry, directory
from sharpend.files.fingerprint import display
from sharpend.files.lease import NO_LEASE, Lease, Writers
from sharpend.intake import scan
from sharpend.intake.folder import FolderIntake
from sharpend.intake.threaded import ThreadedIntake

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from sharpend.attempt import Staged
    from sharpend.commit.interface import Changes
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.intake.interface import FolderOptions, Fresh, Intake
    from sharpend.intake.patience import Patience
    from sharpend.intake.tally import Found, Tally
    from sharpend.task import Task


class LocalSource:
    """Input of a job on a disk: see `Source`."""

    def __init__(self, root: bytes, relative: bytes, meant: Fingerprint, changes: Changes) -> None:
        self._root, self._relative, self._meant = root, relative, meant
        self._changes = changes
        self._lease: Lease | None = None

    def look(self) -> bool:
        """Take a lease on it, which is held until the group ends."""
        leased = leased_source(self._root, self._relative, self._meant)
        self._lease = self._changes.held.enter_context(leased)
        if self._lease is not None and self._lease.writers is Writers.SOME:
            shown = display(os.path.join(self._root, self._relative))
            raise TransientError(Reason.IO_ERROR, f"{shown} is still open for writing")
        return self._lease is not None

    def delete(self) -> None:
        """Unlink it."""
        if self._lease is None:
            return
        parent, name = os.path.split(self._relative)
        with suppress(FileNotFoundError), directory(self._root, parent) as fd:
            entry = DirectoryEntry(fd, name)
            if self._meant.is_same_file(entry.fingerprint()):
                if not self._lease.is_undisturbed():
                    raise still_written()
                entry.remove()
                self._changes.lost(fd)

    def archive(
        self, root: bytes, names: Iterator[bytes], otherwise: Iterator[bytes] | None, temp: bytes
    ) -> bytes | None:
        """Rename it, or copy it to another file system and unlink it."""
        move = Move(
            self._root,
            self._relative,
            self._meant,
            temp,
            (self._lease or NO_LEASE).is_undisturbed,
            gained=self._changes.gained,
            lost=self._changes.lost,
        )
        return relocate(move, root, names, otherwise)


class LocalPlace:
    """The file systems of this machine: see `Place`."""

    at_once = 1
    is_local = True

    def inputs(self, options: FolderOptions, tally: Tally) -> Iterator[list[Found]]:
        """Scan the folder once."""
        return scan.inputs(
            options.root,
            recursive=options.recursive,
            only=options.only,
            patterns=options.patterns,
            tally=tally,
        )

    def intake(
        self,
        options: FolderOptions,
        fresh: Fresh,
        patience: Patience,
        *,
        wake: Callable[[], None],
        chance: random.Random,
        objection: Callable[[], str | None] = lambda: None,
    ) -> Intake:
        """Scan and watch, in a thread of its own if `options.threaded`."""
        inner = partial(
            FolderIntake, options, patience=patience, wake=wake, chance=chance, objection=objection
        )
        return ThreadedIntake(inner, fresh, wake) if options.threaded else inner(fresh=fresh)

    def read(self, task: Task, local: Task) -> Task:
        """Leave it to the worker, which opens the input itself."""
        del task
        return local

    def prepare(self, task: Task, local: Task) -> Task:
        """Leave it to the worker, which writes beside the output."""
        del task
        return local

    def stage(self, task: Task, staged: Staged) -> Staged:
        """Do nothing: what the worker has written is staged."""
        del task
        return staged

    @contextmanager
    def outputs(
        self, root: bytes, parent: bytes, made: Callable[[int], None] | None = None
    ) -> Iterator[LocalFolder]:
        """Open the folder without following links."""
        if made is None:
            opened = directory(root, parent)
        else:
            opened = directory(root, parent, create=True, made=made)
        with opened as fd:
            yield LocalFolder(fd)

    def source(
        self, root: bytes, relative: bytes, meant: Fingerprint, changes: Changes
    ) -> LocalSource:
        """Return it, not opened yet."""
        return LocalSource(root, relative, meant, changes)
