"""Move of one file between folders, without overwriting another file or losing this one.

Owns the move that archive and quarantine share: a rename within one file system, otherwise copy,
fsync, compare, rename, unlink. The caller may make renames durable later, for a group of them. All
of it can be repeated after a crash at any point and then leaves one file. Refuses to move a file
whose fingerprint has changed, to let a copy take the place of a file that differs from it or that a
process opens for writing, and to follow links in either path.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files.atomic import WRITE_NEW_FILE, fsync_directory, rename_without_clobbering
from sharpend.files.attributes import copy_attributes
from sharpend.files.beneath import (
    DirectoryEntry,
    directory,
    is_about_name,
    refusing_name,
    same_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from sharpend.files.fingerprint import Fingerprint

_CHUNK_BYTES = 1 << 20


def _take_after(copy: int, original: int) -> None:
    """Copy attributes, mode and times from the original; both are open."""
    copy_attributes(original, copy)
    status = os.fstat(original)
    with suppress(PermissionError):  # FAT and some network shares support neither
        os.fchmod(copy, stat.S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


@dataclass(frozen=True, slots=True)
class Move:
    """Description of one file to move."""

    root: bytes
    relative: bytes
    """Path of the file below `root`."""
    meant: Fingerprint
    """The file is moved only if it has this fingerprint."""
    temp_name: bytes
    """Name of an unfinished copy in the target's folder, if that is on another file system."""
    is_undisturbed: Callable[[], bool] = lambda: True
    """Returns False as soon as a process opens the file for writing; asked while it is copied."""
    complete: Callable[[int, int], None] = _take_after
    """Sets mode, times and attributes of a copy: the descriptors of the copy and the original."""
    gained: Callable[[int], None] = fsync_directory
    """Makes the new name of a renamed file durable: the descriptor of its folder."""
    lost: Callable[[int], None] = fsync_directory
    """Likewise the end of the old name; called after `gained`."""


def relocate(
    move: Move,
    target_root: bytes,
    candidates: Iterable[bytes],
    otherwise: Iterable[bytes] | None = None,
) -> bytes | None:
    """Move a file to the first candidate that is free.

    Args:
        move: the file.
        target_root: existing folder; missing folders below it are created.
        candidates: paths below `target_root`, in order of preference.
        otherwise: candidates instead of them if the file system does not take one of their names.

    Returns:
        The new path below `target_root`, also if an earlier call had moved the file; None if the
        source is missing or has become another file.

    Raises:
        ImageRefusedError: a parent of either path is a link or no folder, or the target's file
            system does not take its name.
        OSError: any other error; the source then still exists. EBUSY if it changed while it was
            copied, or a process opened it for writing.
    """
    try:
        return _relocate(move, target_root, candidates)
    except (ImageRefusedError, OSError) as error:
        if otherwise is None or not is_about_name(error):
            raise
    return _relocate(move, target_root, otherwise)


def _relocate(move: Move, target_root: bytes, candidates: Iterable[bytes]) -> bytes | None:
    for candidate in candidates:
        with ExitStack() as stack:
            source = _source(move, stack)
            target = _target(target_root, candidate, stack, create=source is not None)
            if target is None:
                return None
            fd, name = target.directory_fd, target.name
            with suppress(FileExistsError), refusing_name(fd, name, creates=False):
                if _was_moved_before(source, target, move.meant):
                    _drop(source, move)
                    return candidate
                if target.exists():
                    continue
                if source is None or not move.meant.is_same_file(source.fingerprint()):
                    return None
                _carry(source, target, move)
                return candidate
    return None


def duplicate(move: Move, target_root: bytes, target: bytes, *, replaces: bool) -> bool:
    """Copy a file durably, and leave it where it is.

    Args:
        move: the file.
        target_root: existing folder that the path `target` is below; its folder exists.
        target: path of the copy.
        replaces: another regular file with this path is replaced; else it stays.

    Returns:
        True if a file with this content has the path now, also if it had before; False if another
        file, a link or a folder has it, or the source is missing.

    Raises:
        ImageRefusedError, OSError: as of `relocate`.
    """
    parent, name = os.path.split(target)
    with ExitStack() as stack:
        source = _source(move, stack)
        copy = DirectoryEntry(stack.enter_context(directory(target_root, parent)), name)
        there = copy.fingerprint()
        if source is None or (copy.exists() and not there):
            return False
        if there is not None and same_bytes(source, copy):
            return True
        if there is not None and not replaces:
            return False
        with suppress(FileExistsError), refusing_name(copy.directory_fd, name, creates=True):
            _copy(source, copy, move, replaces=replaces)
            fsync_directory(copy.directory_fd)
            return True
    return False


def _source(move: Move, stack: ExitStack) -> DirectoryEntry | None:
    """Return the source's entry, or None if nothing has its path."""
    parent, name = os.path.split(move.relative)
    with suppress(FileNotFoundError):
        entry = DirectoryEntry(stack.enter_context(directory(move.root, parent)), name)
        return entry if entry.exists() else None
    return None


def _target(
    root: bytes, candidate: bytes, stack: ExitStack, *, create: bool
) -> DirectoryEntry | None:
    """Return the candidate's entry, or None if its folder is missing and not to be made."""
    parent, name = os.path.split(candidate)
    try:
        fd = stack.enter_context(directory(root, parent, create=create))
    except FileNotFoundError:
        if create:
            raise
        return None
    return DirectoryEntry(fd, name)


def _was_moved_before(
    source: DirectoryEntry | None, target: DirectoryEntry, meant: Fingerprint
) -> bool:
    """Return whether an earlier call moved or copied the file here, even if it then crashed."""
    there = target.fingerprint()
    if not meant.same_content(there):
        return False
    if source is None or not meant.is_same_file(source.fingerprint()) or there == meant:
        return True
    return same_bytes(source, target)


def _drop(source: DirectoryEntry | None, move: Move) -> None:
    """Delete the source of a complete copy, unless it has become another file."""
    if source is None or not move.meant.is_same_file(source.fingerprint()):
        return
    if not move.is_undisturbed():
        raise still_written()
    source.remove()
    move.lost(source.directory_fd)


def _carry(source: DirectoryEntry, target: DirectoryEntry, move: Move) -> None:
    try:
        rename_without_clobbering(
            source.directory_fd, source.name, target.directory_fd, target.name
        )
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, move)
        fsync_directory(target.directory_fd)
        try:
            _drop(source, move)
        except OSError:
            if source.exists():
                target.unlink()
            raise
    else:
        move.gained(target.directory_fd)
        move.lost(source.directory_fd)


def _copy(
    source: DirectoryEntry, target: DirectoryEntry, move: Move, *, replaces: bool = False
) -> None:
    """Copy content, mode and times under a temporary name, then rename, clobbering by choice."""
    target_fd = target.directory_fd
    temp = DirectoryEntry(target_fd, move.temp_name)
    try:
        with os.fdopen(source.open(), "rb") as original:
            descriptor = os.open(temp.name, WRITE_NEW_FILE, 0o600, dir_fd=temp.directory_fd)
            with os.fdopen(descriptor, "wb") as copy:
                _copy_bytes(original, copy, move)
                copy.flush()
                move.complete(descriptor, original.fileno())
                os.fsync(descriptor)
        _require_equal(source, temp, move)
        if replaces:
            os.replace(temp.name, target.name, src_dir_fd=temp.directory_fd, dst_dir_fd=target_fd)
        else:
            rename_without_clobbering(temp.directory_fd, temp.name, target_fd, target.name)
    except BaseException:
        temp.unlink()
        raise


def _copy_bytes(original: BinaryIO, copy: BinaryIO, move: Move) -> None:
    """Copy all bytes; stop as soon as a writer waits for the file."""
    while chunk := original.read(_CHUNK_BYTES):
        if not move.is_undisturbed():
            raise still_written()
        copy.write(chunk)


def _require_equal(source: DirectoryEntry, copy: DirectoryEntry, move: Move) -> None:
    """Raise EBUSY if the source changed; its size and time need not tell, if it is mapped."""
    if not same_bytes(source, copy) or not move.meant.is_same_file(source.fingerprint()):
        raise still_written()


def still_written() -> OSError:
    """Make the error for a file that changes, or that a process opens for writing, meanwhile."""
    return OSError(errno.EBUSY, "the file is still being written")
