"""Publication of a group of staged files under their final names.

Owns the order of the steps up to a durable name, each taken for the whole group before the next:
choice of the names, ledger `staged` in one transaction, renames, one fsync of each output folder.
Errors are handled per file: one that fails leaves the group and does not hold up the others. The
rename that overwrites nothing is in `local_folder`, by `files.atomic`. Refuses to give two files of
a group one name, and to create a root that is missing.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from sharpend.commit.destination import NameStatus, faults, output_names, require_same_root
from sharpend.commit.side_by_side import for_each
from sharpend.commit.syncs import flush
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.ledger.case_folding import twin_key
from sharpend.ledger.records import Product
from sharpend.policies import Losses

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from sharpend.attempt import Staged
    from sharpend.commit.destination import Destination
    from sharpend.commit.interface import CommitPlaceOf, OutputFolder
    from sharpend.ledger.records import Job


@dataclass(frozen=True, slots=True)
class Attempt:
    """A worker's staged file, with the digest of its options and the policy on its losses."""

    staged: Staged
    options_digest: str = ""
    losses: Losses = Losses.KEEP


@dataclass(frozen=True, slots=True)
class StagedJob:
    """A running job of a group, with its folder's destination and the worker's staged file."""

    destination: Destination
    job: Job
    attempt: Attempt


@dataclass(slots=True)
class Publication:
    """A staged file on its way to its final name."""

    destination: Destination
    job: Job
    product: Product
    is_recorded: bool = False
    """True once the ledger has its job as staged: only `recover` may say what became of it."""
    error: FolderFaultError | TransientError | ImageRefusedError | None = None
    """Reason why it has no durable name, or None."""
    status: NameStatus = NameStatus.FREE
    """Of the name that was chosen."""
    has_ended: bool = False
    """True once the ledger has its job as disposed of."""


class OutputFolders:
    """Output folders, each opened once and kept open for the length of a block.

    Args:
        place_of: returns the place of their roots.
    """

    def __init__(self, place_of: CommitPlaceOf) -> None:
        self._place_of = place_of
        self._stack = ExitStack()
        self._opened: dict[tuple[bytes, bytes], OutputFolder] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, destination: Destination, output: bytes) -> OutputFolder:
        """Open the folder of an output, created if missing.

        Raises:
            FolderFaultError: the root is not the one that it was, or cannot be worked in.
            ImageRefusedError: a component is a link, or the file system does not take its name.
            TransientError: a later attempt may succeed.
        """
        root, parent = destination.output_root, os.path.dirname(output)
        if (root, parent) not in self._opened:
            with faults(destination, root, "output"):
                self._opened[root, parent] = self._open(destination, parent)
        return self._opened[root, parent]

    def _open(self, destination: Destination, parent: bytes) -> OutputFolder:
        root = destination.output_root
        require_same_root(destination, root, "output")
        made = destination.access.give_folder  # readers of the outputs need access to it, too
        return self._stack.enter_context(self._place_of(root).outputs(root, parent, made))

    def at_once(self, one: Publication) -> int:
        """Return the number of files that are worked on side by side in the place of this one."""
        return self._place_of(one.destination.output_root).at_once


class Publisher:
    """Publish the staged files of groups, from one thread.

    Args:
        folders: of the outputs, opened as they are needed.
        choose: chooses the name of a file in its folder.
        record: records the names of all given files, or of none; LedgerError.
        at: called with the name of each step after it: chosen, staged, renamed, synced.
    """

    def __init__(
        self,
        folders: OutputFolders,
        choose: Callable[[Publication, OutputFolder], tuple[bytes, NameStatus]],
        record: Callable[[Sequence[Publication]], None],
        at: Callable[[str], None],
    ) -> None:
        self._folders = folders
        self._choose = choose
        self._record = record
        self._at = at

    def publish(self, group: Sequence[Publication]) -> None:
        """Give the staged files of a group their final names, durably.

        Sets the product of each to its output, or its error. Names are given as if one file came
        after the other: one that wants the name of an earlier one chooses when that has it, and so
        do all behind it in its folder. A name that a stranger has taken meanwhile is chosen again.

        Raises:
            LedgerError: nothing was renamed since the last names that were recorded.
        """
        waiting = list(group)
        while waiting:
            chosen, waiting = self._name(waiting)
            self._record(chosen)
            for one in chosen:
                one.is_recorded = True
            for one in chosen:
                with _storing_error(one):
                    self._at("staged")
            renamed, taken = self._rename(chosen)
            self._sync(renamed)
            waiting += taken

    def _name(self, group: Sequence[Publication]) -> tuple[list[Publication], list[Publication]]:
        """Choose a name for each; return those that have one, and those that have to wait."""
        chosen, waiting = list[Publication](), list[Publication]()
        names, closed = set[object](), set[object]()
        for_each(group, self._look, self._folders.at_once)
        for one in group:
            with _storing_error(one):
                folder = self._folders.open(one.destination, one.product.output)
                output, status = self._choose(one, folder)
                keys = _keys(one.destination, output, folder)
                if folder.identity in closed or not names.isdisjoint(keys):
                    closed.add(folder.identity)
                    waiting.append(one)
                    continue
                product = replace(one.product, output=output)
                if status in {NameStatus.LEFT_ALONE, NameStatus.EQUAL}:
                    is_kept = status is NameStatus.LEFT_ALONE
                    product = as_existing(product, folder, kept_existing=is_kept)
                self._at("chosen")
                names |= keys
                one.product, one.status = product, status
                chosen.append(one)
        return chosen, waiting

    def _look(self, one: Publication) -> None:
        """Ask for the name that is tried first; errors come with the choice."""
        with suppress(FolderFaultError, TransientError, ImageRefusedError):
            folder = self._folders.open(one.destination, one.product.output)
            folder.look_ahead(os.path.basename(one.product.output))

    def _rename(self, group: list[Publication]) -> tuple[list[Publication], list[Publication]]:
        """Rename each file; return those renamed, and those whose name was taken meanwhile."""
        taken = set[int]()

        def rename(one: Publication) -> None:
            with _storing_error(one):
                try:
                    folder = self._folders.open(one.destination, one.product.output)
                    _publish(one.product, one.status, folder)
                    self._at("renamed")
                except FileExistsError:
                    taken.add(one.job.id)

        tried = [one for one in group if one.error is None]
        for_each(tried, rename, self._folders.at_once)
        renamed = [one for one in tried if one.error is None and one.job.id not in taken]
        return renamed, [one for one in tried if one.job.id in taken]

    def _sync(self, group: list[Publication]) -> None:
        """Make the names durable: one fsync of each folder, whose failure is that of all in it."""
        folders: dict[Hashable, OutputFolder] = {}
        for one in group:
            with _storing_error(one):
                folder = self._folders.open(one.destination, one.product.output)
                folders[folder.identity] = folder
        failures = flush({where: folder.sync for where, folder in folders.items()})
        for one in (one for one in group if one.error is None):
            with _storing_error(one):
                folder = self._folders.open(one.destination, one.product.output)
                if (failure := failures.get(folder.identity)) is not None:
                    raise failure
                self._at("synced")


def begun(entry: StagedJob) -> Publication:
    """Begin the publication of a worker's staged file; its name is the first that it may take."""
    staged, job = entry.attempt.staged, entry.job
    product = Product(
        output=job.relative,
        fingerprint=staged.fingerprint,
        temp=staged.temp_name,
        model_digest=staged.model_digest,
        options_digest=entry.attempt.options_digest,
        pixels=staged.pixels,
        input_digest=staged.input_digest,
        kept_reason="; ".join(staged.losses) if entry.attempt.losses is Losses.KEEP else "",
    )
    one = Publication(entry.destination, job, product)
    try:
        first = next(output_names(entry.destination, job.relative))
        one.product = replace(product, output=first)
    except ImageRefusedError as error:
        one.error = error
    return one


def as_existing(product: Product, folder: OutputFolder, *, kept_existing: bool) -> Product:
    """Return the product with the foreign file at its name as the output.

    Args:
        product: with the name.
        folder: of the output.
        kept_existing: the file is kept by the policy; else its bytes are those of the output.

    Raises:
        FileExistsError: the name is no regular file any more.
    """
    existing = folder.fingerprint(os.path.basename(product.output))
    if existing is None:
        raise FileExistsError(product.output)
    return replace(product, fingerprint=existing, kept_existing=kept_existing)


@contextmanager
def _storing_error(one: Publication) -> Iterator[None]:
    """Store an error of the block in this publication instead of raising it."""
    try:
        with faults(one.destination, one.destination.output_root, "output"):
            yield
    except (FolderFaultError, TransientError, ImageRefusedError) as error:
        one.error = error


def _keys(destination: Destination, output: bytes, folder: OutputFolder) -> set[object]:
    """Return what no two names of a group may share, whatever leads to their folder."""
    there = (folder.identity, twin_key(os.path.basename(output)))
    return {there, (destination.output_root, twin_key(output))}


def _publish(product: Product, status: NameStatus, folder: OutputFolder) -> None:
    """Give the staged file its name, or delete it where a file that is there is the output."""
    if status in {NameStatus.LEFT_ALONE, NameStatus.EQUAL}:
        folder.discard(product.temp)
    else:
        name = os.path.basename(product.output)
        folder.publish(product.temp, name, replaces=status is not NameStatus.FREE)
