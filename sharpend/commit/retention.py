"""Growing old: what leaves the quarantine, the archives and the ledger, and what never does.

Owns the removal of what the limits say has to go. All works in small pieces, each of which can be
repeated after a crash: files go before the rows that know them. Refuses to remove anything but
regular pictures and our own reason files, to follow a link, to look below a root that was
swapped, and to forget an input while its source or its output stands: it would be done again, or
its output be taken for somebody else's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sharpend.commit.ages import Ages, Limits
from sharpend.commit.destination import Destination, require_same_root, roots_of
from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake import scan
from sharpend.ledger.records import State

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import Ended, Quarantined

_PIECE = 50
"""Files removed, or looked for, in one piece of work."""
_ROWS = 500
"""Rows read in one piece of work."""

_DAY_S = 86_400


@dataclass(slots=True)
class Removed:
    """What was removed in a round."""

    files: int = 0
    """Pictures; for the ledger, rows."""
    size: int = 0
    """Bytes."""
    left: int = 0
    """Those that had to go, and could not be removed."""


Round: TypeAlias = "Generator[None, None, Removed]"
"""One round through what there is: pauses after each piece of work, and returns the sum."""


def prune_archive(destination: Destination, limits: Limits, now_s: float) -> Round:
    """Remove the pictures of a folder's archive that were archived too long ago, or are too much.

    A picture is as old as its inode's change: a move into the archive counts as one, the day it
    was taken does not. Whoever put it there: what lies in the archive is archived.

    Raises:
        FolderFaultError: the archive is not the one that was there at start.
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
            if surplus.takes(status.st_ctime, status.st_size):
                _remove(destination.archive_root, relative, Fingerprint.of(status), removed)
                if (removed.files + removed.left) % _PIECE == 0:
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
    """Remove what was quarantined too long ago, or is too much: pictures, reasons and rows.

    A reason whose picture still lies in its folder (`source = "keep"`) stays, as does its row.

    Args:
        ledger: knows what was moved into quarantine, and is told what went.
        root: of the quarantine.
        destinations: the folders at work, by name.
        limits: of all that is in quarantine.
        now_s: the wall clock in seconds.
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
            entry.note is not None  # else the crash that cut it off is made good first
            and surplus.takes(entry.at_s, _size(entry))
            and _erased(ledger, root, destinations.get(entry.job.folder), entry, removed)
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
    """Forget inputs that came to their end long ago and left nothing: no source and no output."""
    removed, gone = Removed(), list[int]()
    before_s = now_s - days * _DAY_S
    looks = 0
    for state in (State.DISPOSED, State.VANISHED):
        for number, ended in enumerate(ledger.ended(state), start=1):
            if ended.at_s < before_s and ended.job.folder in destinations:
                looks += 1
                if _left_nothing(ledger, destinations[ended.job.folder], ended):
                    gone.append(ended.job.id)
            if number % _ROWS == 0 or looks >= _PIECE:
                looks = 0
                removed.files += _forget(ledger, gone)
                yield
    removed.files += _forget(ledger, gone)
    return removed


def _archived(destination: Destination) -> Iterator[list[tuple[bytes, os.stat_result]]]:
    """The pictures in the archive with what they are now, about 1,000 entries at a time."""
    root = destination.archive_root
    if root is None:
        return
    require_same_root(destination, root, "archive")
    for piece in scan.walk(root, recursive=True, tally=scan.Tally()):
        require_same_root(destination, root, "archive")
        with suppress(OSError), scan.opened(root) as fd:
            looked = [(found.relative, scan.look(fd, found.relative)) for found in piece]
            yield [(relative, status) for relative, status in looked if status is not None]


def _erased(
    ledger: Ledger,
    root: bytes,
    destination: Destination | None,
    entry: Quarantined,
    removed: Removed,
) -> bool:
    """Remove a quarantined picture and its reason; False where they stay."""
    if entry.moved is not None:
        relative = os.path.relpath(entry.moved, root)
        if not _remove(root, relative, entry.job.fingerprint, removed):
            return False
    elif (
        destination is None
        or not _can_tell(ledger, destination, entry.at_s)
        or not _is_gone(destination.input_root, entry.job.relative)
    ):
        return False
    return entry.note is None or _remove(root, os.path.relpath(entry.note, root), None, removed)


def _remove(root: bytes, relative: bytes, meant: Fingerprint | None, removed: Removed) -> bool:
    """Remove a picture, or with no fingerprint a reason, and the folders that it leaves empty.

    Returns:
        Whether it is gone; it may have been before.
    """
    parent, name = os.path.split(relative)
    try:
        with directory(root, parent) as fd:
            there = fingerprint_at(fd, name)
            if there is None or not there.same_content(meant or there):
                removed.left += 1
                return False
            os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except (OSError, ImageRefusedError):
        removed.left += 1
        return False
    else:
        removed.files += meant is not None
        removed.size += there.size if meant is not None else 0
    _remove_emptied(root, parent)
    return True


def _remove_emptied(root: bytes, relative: bytes) -> None:
    """Remove a folder, and those above it, as far as nothing is left in them."""
    with suppress(OSError, ImageRefusedError):
        while relative:
            above, name = os.path.split(relative)
            with directory(root, above) as fd:
                os.rmdir(name, dir_fd=fd)
            relative = above


def _left_nothing(ledger: Ledger, destination: Destination, ended: Ended) -> bool:
    """No file can come up again as this input, and no output of it stands."""
    return (
        _can_tell(ledger, destination, ended.at_s)
        and (ended.is_past or _is_gone(destination.input_root, ended.job.relative))
        and (ended.output is None or _is_gone(destination.output_root, ended.output))
    )


def _can_tell(ledger: Ledger, destination: Destination, at_s: float) -> bool:
    """The roots are those of that time: in the empty place of a disk, everything seems gone."""
    roots, since_s = ledger.roots(destination.folder)
    return roots is not None and since_s < at_s and roots == roots_of(destination)


def _is_gone(root: bytes, relative: bytes) -> bool:
    """Nothing has this path, for certain."""
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
    """Bytes that it takes in the quarantine."""
    return 0 if entry.moved is None else entry.job.fingerprint.size


def _forget(ledger: Ledger, job_ids: list[int]) -> int:
    """Forget the rows, and empty the list."""
    forgotten = ledger.forget(job_ids) if job_ids else 0
    job_ids.clear()
    return forgotten
