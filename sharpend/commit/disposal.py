"""Disposal of an input after its output is committed: keep, archive or delete it.

Owns the last step of a job. Refuses to touch a file that is not the one that was processed, to
overwrite anything in the archive, and to look for sources below a root that was swapped.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, faults, require_same_root
from sharpend.commit.names import numbered
from sharpend.commit.relocate import DirectoryEntry, Move, relocate
from sharpend.files.beneath import directory
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.ledger.records import Job


def let_go(destination: Destination, job: Job, temp_name: bytes, begin: Callable[[], None]) -> None:
    """Keep, archive or delete the source, if it is still what was processed; repeatable.

    Archived means: the same path below the archive, or with `-2`, `-3` where that is taken.

    Args:
        destination: the folder's way out.
        job: the input.
        temp_name: where a copy to an archive on another file system grows.
        begin: called just before the source is touched: from then on it is our doing that another
            file may have its path, also after a crash.

    Raises:
        FolderFaultError: the archive or the input folder cannot be worked on.
        TransientError: this source may be let go later.
        ImageRefusedError: it can never be archived: a link in the way, or its name is too long.
    """
    if destination.source is SourcePolicy.KEEP:
        return
    require_same_root(destination, destination.input_root, "input")
    with faults(destination, destination.input_root, "input"):
        if not _is_there(destination.input_root, job):
            return
    if destination.source is SourcePolicy.DELETE:
        begin()
        with faults(destination, destination.input_root, "input"):
            _delete(destination.input_root, job)
    elif destination.archive_root is not None:
        require_same_root(destination, destination.archive_root, "archive")
        begin()
        move = Move(destination.input_root, job.relative, job.fingerprint, temp_name)
        with faults(destination, destination.archive_root, "archive"):
            archived = numbered(destination.archive_root, job.relative)
            relocate(move, destination.archive_root, archived)


def _is_there(input_root: bytes, job: Job) -> bool:
    parent, name = os.path.split(job.relative)
    with suppress(FileNotFoundError), directory(input_root, parent) as fd:
        return DirectoryEntry(fd, name).fingerprint() == job.fingerprint
    return False


def _delete(input_root: bytes, job: Job) -> None:
    parent, name = os.path.split(job.relative)
    with suppress(FileNotFoundError), directory(input_root, parent) as fd:
        source = DirectoryEntry(fd, name)
        if source.fingerprint() == job.fingerprint:
            source.unlink()
