"""Disposal of an input after its output is committed: keep, archive or delete it.

Owns the disposal of the source, and the reason why a source with more
content than its output is not deleted. Refuses to touch a file that is not the one that was
processed or that a process has open for writing, to overwrite anything in the archive, and to look
for sources below a root that was replaced.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, faults, require_same_root
from sharpend.commit.names import numbered
from sharpend.commit.relocate import Move, relocate, still_written
from sharpend.commit.source import leased_source
from sharpend.errors import ImageRefusedError, Reason, TransientError
from sharpend.files.beneath import DirectoryEntry, directory
from sharpend.files.fingerprint import display
from sharpend.files.lease import NO_LEASE, Lease, Writers
from sharpend.policies import Sidecars, SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.commit.store import Source
    from sharpend.ledger.records import Job, Product


@dataclass(frozen=True, slots=True)
class Disposed:
    """Result of the disposal of one source."""

    kept_reason: str = ""
    """Reason why the source stays for good, against the policy of its folder; empty if none."""
    archived: bytes | None = None
    """Path of the source below the archive, also if an earlier call had moved it there."""


def dispose_source(
    destination: Destination,
    job: Job,
    product: Product,
    temp_name: bytes,
    begin: Callable[[], None],
) -> Disposed:
    """Keep, archive or delete the source, if it is still the file that was processed.

    Can be repeated after a crash. In the archive the source has the same path as in the input, or
    one with `-2`, `-3`, … where that is taken.

    Args:
        destination: of the job's folder.
        job: the input.
        product: its output.
        temp_name: name of the unfinished copy of a file on another file system.
        begin: called before the source is touched; records that another file with its path is a
            new input from then on.

    Raises:
        FolderFaultError: the archive or the input folder cannot be worked on.
        TransientError: this source may be disposed of later; a process has it open for writing.
    """
    kept = reason_to_keep(destination, product)
    if product.kept_existing or kept:
        return Disposed(kept)
    try:
        return Disposed(archived=_archive_or_delete(destination, job, temp_name, begin))
    except ImageRefusedError as error:  # it can never be archived
        return Disposed(str(error))


def ends_at_once(destination: Destination, product: Product) -> bool:
    """Return whether nothing is left to do once the output has its name, durably."""
    keeps_source = destination.source is SourcePolicy.KEEP or product.kept_existing
    return destination.sidecars is not Sidecars.COPY and (
        keeps_source or bool(reason_to_keep(destination, product))
    )


def reason_to_keep(destination: Destination, product: Product) -> str:
    """Explain why a source is kept that would be deleted; "" where it need not be kept.

    What is archived is not lost. The decision is the product's, made when it was staged, so that a
    later change of the setting deletes no source of an earlier output.
    """
    if destination.source is not SourcePolicy.DELETE or not product.kept_reason:
        return ""
    return (
        f"the input was not deleted, because its output lacks content: {product.kept_reason}; "
        "set pictures.losses to accept to have such inputs deleted"
    )


def _archive_or_delete(
    destination: Destination, job: Job, temp_name: bytes, begin: Callable[[], None]
) -> bytes | None:
    """Archive or delete the source by the policy; return its path in the archive, if it is there.

    Raises:
        ImageRefusedError: it can never be archived: a folder on the path is a link, or the file
            system of the archive does not take its name.
    """
    if destination.source is SourcePolicy.KEEP:
        return None
    if (store := destination.input_store) is not None:
        source = store.source(destination.input_root, job.relative, job.fingerprint)
        return _let_go_of(destination, source, job, temp_name, begin)
    require_same_root(destination, destination.input_root, "input")
    with (
        faults(destination, destination.input_root, "input"),
        leased_source(destination.input_root, job.relative, job.fingerprint) as lease,
    ):
        if lease is not None and lease.writers is Writers.SOME:
            path = display(os.path.join(destination.input_root, job.relative))
            raise TransientError(Reason.IO_ERROR, f"{path} is still open for writing")
        if destination.source is SourcePolicy.DELETE:
            if lease is not None:
                begin()
                _delete(destination.input_root, job, lease)
        elif destination.archive_root is not None:
            require_same_root(destination, destination.archive_root, "archive")
            if lease is not None:
                begin()
            return _archive(destination, destination.archive_root, job, temp_name, lease)
    return None


def _let_go_of(
    destination: Destination, source: Source, job: Job, temp_name: bytes, begin: Callable[[], None]
) -> bytes | None:
    """Do the same in object storage, where nobody has a file open for writing."""
    archive = destination.archive_root
    with faults(destination, destination.input_root, "input"):
        if destination.source is SourcePolicy.DELETE or archive is None:
            source.delete(begin)
            return None
        return source.archive(archive, numbered(archive, job.relative), temp_name, begin)


def _archive(
    destination: Destination,
    archive_root: bytes,
    job: Job,
    temp_name: bytes,
    lease: Lease | None,
) -> bytes | None:
    """Move the source into the archive, or find it there; None if it is gone or another file."""
    undisturbed = NO_LEASE.is_undisturbed if lease is None else lease.is_undisturbed
    move = Move(destination.input_root, job.relative, job.fingerprint, temp_name, undisturbed)
    with faults(destination, archive_root, "archive"):
        names = numbered(archive_root, job.relative)
        portable = numbered(archive_root, job.relative, portable=True)
        return relocate(move, archive_root, names, portable if destination.portable_names else None)


def _delete(input_root: bytes, job: Job, lease: Lease) -> None:
    parent, name = os.path.split(job.relative)
    with suppress(FileNotFoundError), directory(input_root, parent) as fd:
        source = DirectoryEntry(fd, name)
        if job.fingerprint.is_same_file(source.fingerprint()):
            if not lease.is_undisturbed():
                raise still_written()
            source.unlink()
