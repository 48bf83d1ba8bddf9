"""Retention: delete expired files of the quarantine and the archives, and expired ledger rows.

Owns the deletion; `ages` chooses. An archived image takes its sidecars along. All work is done in
small pieces, each of which can be repeated after a crash: files are deleted before the rows that
name them. Refuses to delete anything but regular image files, their sidecars and our own reason
files, to follow a link, to work below a root that was replaced, and to delete the row of an input
whose source or output exists: it would be processed again, or its output be taken for a foreign
file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sharpend.commit.ages import Ages, Limits
from sharpend.commit.destination import Destination, require_same_root, roots_of
from sharpend.commit.sidecars import sidecars_alone
from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake import scan
from sharpend.intake.tally import Tally
from sharpend.ledger.records import State
from sharpend.policies import Sidecars

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import CompletedJob, Quarantined

_PIECE = 50
"""Files deleted, or looked up, in one piece of work."""
_ROWS = 500
"""Rows read in one piece of work."""

_DAY_S = 86_400


@dataclass(slots=True)
class Removed:
    """Result of one retention run."""

    files: int = 0
    """Number of images deleted; for the ledger, of rows."""
    size: int = 0
    """Bytes of these files."""
    failed: int = 0
    """Number of files that expired and could not be deleted."""


Round: TypeAlias = "Generator[None, None, Removed]"
"""One retention run: yields after each piece of work, and returns the sums."""


def prune_archive(destination: Destination, limits: Limits, now_s: float) -> Round:
    """Delete the images of a folder's archive that exceed the limits, the oldest first.

    The age of an image counts from its inode change time (ctime), which a move into the archive
    updates; the date of the photo has no influence. All images in the archive count, those that
    somebody else put there too.

    Args:
        destination: of the folder.
        limits: of its archive.
        now_s: wall clock in seconds.

    Raises:
        FolderFaultError: the archive is not the folder that it was at start.
    """
    removed, ages = Removed(), Ages()
    for piece in _archived(destination):
        for _, status in piece:
            ages.add(status.st_ctime, status.st_size)
        yield
    surplus = ages.surplus(limits, now_s)
    if surplus is None or destination.archive_root is None:
        return removed
    for piece in _archived(destination):
        for relative, status in piece:
            if surplus.includes(status.st_ctime, status.st_size):
                follows = destination.sidecars is not Sidecars.LEAVE
                meant = Fingerprint.of(status)
                _remove(destination.archive_root, relative, meant, removed, sidecars=follows)
                if (removed.files + removed.failed) % _PIECE == 0:
                    yield
        yield
    return removed


def prune_quarantine(
    ledger: Ledger,
    root: bytes,
    destinations: Mapping[str, Destination],
    limits: Limits,
    now_s: float,
) -> Round:
    """Delete quarantined images that exceed the limits, with their reason files and ledger rows.

    The reason file and the row of an image that is still in its folder (`source = "keep"`) stay.

    Args:
        ledger: has a row for each quarantined image.
        root: of the quarantine.
        destinations: of the configured folders, by name.
        limits: of the whole quarantine.
        now_s: wall clock in seconds.
    """
    removed, ages = Removed(), Ages()
    for number, entry in enumerate(ledger.quarantined(), start=1):
        ages.add(entry.at_s, _size(entry))
        if number % _ROWS == 0:
            yield
    surplus = ages.surplus(limits, now_s)
    if surplus is None:
        return removed
    gone: list[int] = []
    for number, entry in enumerate(ledger.quarantined(), start=1):
        if (
            entry.note is not None  # else a crash interrupted it, and `recover` comes first
            and surplus.includes(entry.at_s, _size(entry))
            and _delete_entry(ledger, root, destinations.get(entry.job.folder), entry, removed)
        ):
            gone.append(entry.job.id)
        if number % _PIECE == 0:
            _forget(ledger, gone)
            yield
    _forget(ledger, gone)
    return removed


def prune_ledger(
    ledger: Ledger, destinations: Mapping[str, Destination], days: float, now_s: float
) -> Round:
    """Delete the rows of inputs that ended more than `days` ago and have no source and no output.

    Args:
        ledger: holds the rows.
        destinations: of the configured folders, by name; rows of other folders stay.
        days: since the end of the job.
        now_s: wall clock in seconds.
    """
    removed, gone = Removed(), list[int]()
    before_s = now_s - days * _DAY_S
    looks = 0
    for state in (State.DISPOSED, State.VANISHED):
        for number, ended in enumerate(ledger.ended(state), start=1):
            if ended.at_s < before_s and ended.job.folder in destinations:
                looks += 1
                if _nothing_exists(ledger, destinations[ended.job.folder], ended):
                    gone.append(ended.job.id)
            if number % _ROWS == 0 or looks >= _PIECE:
                looks = 0
                removed.files += _forget(ledger, gone)
                yield
    removed.files += _forget(ledger, gone)
    return removed


def _archived(destination: Destination) -> Iterator[list[tuple[bytes, os.stat_result]]]:
    """Yield the images in the archive with their stat results, about 1,000 at a time."""
    root = destination.archive_root
    if root is None:
        return
    require_same_root(destination, root, "archive")
    for piece in scan.walk(root, recursive=True, tally=Tally()):
        require_same_root(destination, root, "archive")
        with suppress(OSError), scan.opened(root) as fd:
            looked = [(found.relative, scan.look(fd, found.relative)) for found in piece]
            yield [(relative, status) for relative, status in looked if status is not None]


def _delete_entry(
    ledger: Ledger,
    root: bytes,
    destination: Destination | None,
    entry: Quarantined,
    removed: Removed,
) -> bool:
    """Delete a quarantined image and its reason file; return False where they stay."""
    if entry.moved is not None:
        relative = os.path.relpath(entry.moved, root)
        if not _remove(root, relative, entry.job.fingerprint, removed):
            return False
    elif (
        destination is None
        or not _same_roots(ledger, destination, entry.at_s)
        or not _is_missing(destination.input_root, entry.job.relative)
    ):
        return False
    return entry.note is None or _remove(root, os.path.relpath(entry.note, root), None, removed)


def _remove(
    root: bytes,
    relative: bytes,
    meant: Fingerprint | None,
    removed: Removed,
    *,
    sidecars: bool = False,
) -> bool:
    """Delete an image, or without a fingerprint a reason file, and folders that become empty.

    With `sidecars`, those of the image go with it, unless they belong to another file there.

    Returns:
        True if the file does not exist any more, or did not exist before.
    """
    parent, name = os.path.split(relative)
    try:
        with directory(root, parent) as fd:
            there = fingerprint_at(fd, name)
            if there is None or not there.same_content(meant or there):
                removed.failed += 1
                return False
            os.unlink(name, dir_fd=fd)
            for sidecar, _ in sidecars_alone(fd, name) if sidecars else ():
                os.unlink(sidecar, dir_fd=fd)
    except FileNotFoundError:
        pass
    except (OSError, ImageRefusedError):
        removed.failed += 1
        return False
    else:
        removed.files += meant is not None
        removed.size += there.size if meant is not None else 0
    _remove_emptied(root, parent)
    return True


def _remove_emptied(root: bytes, relative: bytes) -> None:
    """Delete a folder and its parents below the root, as far as they are empty."""
    with suppress(OSError, ImageRefusedError):
        while relative:
            above, name = os.path.split(relative)
            with directory(root, above) as fd:
                os.rmdir(name, dir_fd=fd)
            relative = above


def _nothing_exists(ledger: Ledger, destination: Destination, ended: CompletedJob) -> bool:
    """Return whether neither the source nor an output of an ended job exists."""
    return (
        _same_roots(ledger, destination, ended.at_s)
        and (ended.is_past or _is_missing(destination.input_root, ended.job.relative))
        and (ended.output is None or _is_missing(destination.output_root, ended.output))
    )


def _same_roots(ledger: Ledger, destination: Destination, at_s: float) -> bool:
    """Return whether the roots are those of that time.

    While a disk is not mounted, every file below its mount point seems to be missing.
    """
    guard = destination.guard
    sides = ((destination.input_root, "input"), (destination.output_root, "output"))
    if guard.closed is not None or any(guard.objection(*side) for side in sides):
        return False
    roots, since_s = ledger.roots(destination.folder)
    return roots is not None and since_s < at_s and roots == roots_of(destination)


def _is_missing(root: bytes, relative: bytes) -> bool:
    """Return whether nothing has this path; False where that cannot be determined."""
    parent, name = os.path.split(relative)
    try:
        with directory(root, parent) as fd:
            os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except (OSError, ImageRefusedError):
        return False
    return False


def _size(entry: Quarantined) -> int:
    """Return the bytes that an entry occupies in the quarantine."""
    return 0 if entry.moved is None else entry.job.fingerprint.size


def _forget(ledger: Ledger, job_ids: list[int]) -> int:
    """Delete the rows and empty the list; return how many were deleted."""
    forgotten = ledger.forget(job_ids) if job_ids else 0
    job_ids.clear()
    return forgotten
