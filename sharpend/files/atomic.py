"""Atomic file writes: replace a file in one step, rename without overwriting.

Owns the flags of open(2), the temporary sibling (`.name.xxxx.tmp`, hidden from the watcher), fsync
of file and folder, and the rename that refuses to clobber. Refuses to leave files behind a failed
block, to follow a link at the temporary name, and to choose target names: `commit` and `quarantine`
do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Open a file to read it; a FIFO is opened without waiting for its writer."""
READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""Open a folder, also to fsync it; add `O_NOFOLLOW` below a root."""
PASS_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""Open a path below a folder that may not be listed."""
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
WRITE_NEW_FILE = os.O_WRONLY | _NEW
"""Open a temporary file: it must be new, and never a link."""
UPDATE_NEW_FILE = os.O_RDWR | _NEW
"""Write a new file as above, and read it."""

_TRIAL_BYTES = 256 * 1024
_RENAME_NOREPLACE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_NO_LINK = _NOT_OFFERED | {errno.EPERM, errno.EMLINK}
_NAME_CHARACTERS_KEPT = 40  # at most 160 bytes: a 255-byte target still gets a sibling


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a temporary sibling; it becomes `target` only if the block succeeds.

    The new file is on disk, name included, when the block has ended. Its mode is 0666 less the
    umask. A block that raises leaves the old `target` and no temporary file.

    Raises:
        OSError: the folder is missing, full or not writable.
    """
    with (
        _opened(target.parent) as directory,
        replacing_at(directory, os.fsencode(target.name)) as file,
    ):
        yield file


def write_atomically(target: Path, content: bytes) -> None:
    """Replace a file with one that has this content, as `replacing` does."""
    with replacing(target) as file:
        file.write(content)


def put_in_place(finished: Path, target: Path) -> None:
    """Rename a file that is whole and on disk to `target`, durably; an older one is replaced."""
    os.replace(finished, target)
    fsync_folder(target.parent)


@contextmanager
def replacing_at(directory_fd: int, name: bytes) -> Iterator[BinaryIO]:
    """Replace the file `name` in an open folder, as `replacing` does."""
    kept = os.fsencode(os.fsdecode(name)[:_NAME_CHARACTERS_KEPT])
    temporary = b".%s.%s.tmp" % (kept, secrets.token_hex(4).encode())
    descriptor = os.open(temporary, WRITE_NEW_FILE, 0o666, dir_fd=directory_fd)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory_fd)
        raise
    fsync_directory(directory_fd)


def try_to_write(folder: bytes | Path) -> None:
    """Write an unnamed temporary file, durably, to test whether the folder is writable.

    The file is larger than a record or a reason file, so that a nearly full disk does not pass the
    test only to fail at the next record.

    Raises:
        OSError: the folder is missing, full or not writable.
    """
    with tempfile.TemporaryFile(dir=os.fsdecode(folder)) as file:
        file.write(bytes(_TRIAL_BYTES))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, READ_FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as `fsync_directory` does."""
    with _opened(folder) as directory:
        fsync_directory(directory)


def fsync_directory(directory_fd: int) -> None:
    """Make the names in an open folder durable.

    A file system that cannot do this at all (EINVAL on some network mounts) is accepted as it is.

    Raises:
        OSError: the file system tried and failed.
    """
    try:
        os.fsync(directory_fd)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise


def rename_without_clobbering(
    source_dir_fd: int, source_name: bytes, target_dir_fd: int, target_name: bytes
) -> None:
    """Rename a file unless the target name exists, even as a dangling link.

    Where the file system lacks renameat2's NOREPLACE (NFS, many FUSE mounts) a hard link does the
    same in two steps: a crash between them leaves both names on one inode. Where it lacks hard
    links as well (exFAT on FUSE) the name is looked at just before a plain rename.

    Raises:
        FileExistsError: the target name is taken; nothing was changed.
        OSError: the rename failed, EXDEV where the folders are on two file systems.
    """
    try:
        _rename_noreplace(source_dir_fd, source_name, target_dir_fd, target_name)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
        _link_and_unlink(source_dir_fd, source_name, target_dir_fd, target_name)


def _rename_noreplace(
    source_dir_fd: int, source_name: bytes, target_dir_fd: int, target_name: bytes
) -> None:
    """Call renameat2(2), which Python does not offer; ENOSYS where libc lacks it."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    failed = call(source_dir_fd, source_name, target_dir_fd, target_name, _RENAME_NOREPLACE)
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target_name)


def _link_and_unlink(
    source_dir_fd: int, source_name: bytes, target_dir_fd: int, target_name: bytes
) -> None:
    try:
        os.link(
            source_name,
            target_name,
            src_dir_fd=source_dir_fd,
            dst_dir_fd=target_dir_fd,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _look_and_rename(source_dir_fd, source_name, target_dir_fd, target_name)
    else:
        os.unlink(source_name, dir_fd=source_dir_fd)


def _look_and_rename(
    source_dir_fd: int, source_name: bytes, target_dir_fd: int, target_name: bytes
) -> None:
    with suppress(FileNotFoundError):
        os.stat(target_name, dir_fd=target_dir_fd, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target_name)
    os.rename(source_name, target_name, src_dir_fd=source_dir_fd, dst_dir_fd=target_dir_fd)
