"""Symlink-safe file access below a root folder.

Owns the walk from a root to a folder or file, one component at a time on open descriptors, so that
a link planted or swapped in on the way is never followed. The root itself is the user's choice and
may be a link. Refuses absolute paths, `..`, empty components, and files that are not regular; a
missing component stays the caller's FileNotFoundError.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason, name_not_possible
from sharpend.files.atomic import PASS_FOLDER, READ_FILE, READ_FOLDER, fsync_directory
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.name_faults import is_of_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINK_OR_NO_DIRECTORY = {errno.ELOOP, errno.ENOTDIR}
_LINK_OR_SOCKET_OR_DEVICE = {errno.ELOOP, errno.ENXIO, errno.ENODEV}
_NO_FOLDER = "leads through something that is not a folder"
_CHUNK_BYTES = 1 << 20
_IMPOSSIBLE = {b"", b".", b".."}


def components(relative: bytes) -> list[bytes]:
    """Split a relative path into names; none for b"", the root itself.

    Raises:
        ImageRefusedError: the path is absolute or has a `..`, `.`, empty or NUL component.
    """
    names = relative.split(b"/") if relative else []
    if _IMPOSSIBLE.intersection(names) or b"\0" in relative:
        raise _refused(relative, "is not a path below its folder")
    return names


@contextmanager
def directory(
    root: bytes | int,
    relative: bytes,
    *,
    create: bool = False,
    made: Callable[[int], None] = lambda _: None,
    passing: bool = False,
) -> Iterator[int]:
    """Open the folder `relative` below `root` for the length of a block.

    Args:
        root: an existing folder, opened as it is named, through links if need be; or open already.
        relative: below the root, b"" for the root itself.
        create: make missing folders below the root (0777 less the umask), durably.
        made: called with the descriptor of each folder that was made.
        passing: ask all below the root for search permission alone; the folder's content can be
            looked at then, but not listed, and nothing can be made on the way.

    Raises:
        ImageRefusedError: a component is a link or no folder (NAME_TAKEN with `create`), the path
            is not legal, or the file system does not take the name of a folder to be made.
        FileNotFoundError: the root, or without `create` a component, does not exist.
        OSError: anything else that the file system says.
    """
    names = components(relative)
    refusal = _taken(root, relative) if create else _refused(relative, _NO_FOLDER)
    flags = PASS_FOLDER if passing else READ_FOLDER
    descriptor = os.dup(root) if isinstance(root, int) else os.open(root, READ_FOLDER)
    try:
        for name in names:
            try:
                with refusing_name(descriptor, name, creates=False) if create else nullcontext():
                    below = _open_component(descriptor, name, refusal, flags)
            except FileNotFoundError:
                if not create:
                    raise
                below = _make(descriptor, name, refusal, made)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(root: bytes, relative: bytes) -> int:
    """Open a regular file below `root` for reading; the caller closes the descriptor.

    Never blocks on a FIFO. The descriptor is the file that was judged: read from it alone.

    Raises:
        ImageRefusedError: a link, FIFO, socket, device or folder, or a link on the way.
        FileNotFoundError: the root, the file or a folder on the way does not exist.
        OSError: anything else that the file system says.
    """
    parent, name = os.path.split(relative)
    components(relative)
    with directory(root, parent) as parent_fd:
        try:
            descriptor = os.open(name, READ_FILE, dir_fd=parent_fd)
        except OSError as error:
            if error.errno in _LINK_OR_SOCKET_OR_DEVICE:
                raise _refused(relative, "is not a regular file") from error
            raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(relative, "is not a regular file")
    return descriptor


def fingerprint_at(directory_fd: int, name: bytes) -> Fingerprint | None:
    """Return the fingerprint of a regular file in an open folder; None for anything else.

    Raises:
        FileNotFoundError: nothing has this name.
    """
    status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    return Fingerprint.of(status) if stat.S_ISREG(status.st_mode) else None


@contextmanager
def refusing_name(parent: int, name: bytes, *, creates: bool) -> Iterator[None]:
    """Refuse an image where the file system takes other names in the same folder, but not `name`.

    Args:
        parent: descriptor of the folder.
        name: the file or folder in it that the block works with.
        creates: the block makes or replaces it.

    Raises:
        ImageRefusedError: NAME_NOT_POSSIBLE.
        OSError: any other error of the block, unchanged.
    """
    try:
        yield
    except OSError as error:
        if is_of_name(error, parent, creates=creates):
            raise name_not_possible(name, error.strerror or "no cause given") from error
        raise


def is_about_name(error: ImageRefusedError | OSError) -> bool:
    """Return whether an error is that the file system does not take a name, or its length."""
    if isinstance(error, OSError):
        return error.errno == errno.ENAMETOOLONG
    return error.reason in {Reason.NAME_NOT_POSSIBLE, Reason.NAME_TOO_LONG}


def _make(parent: int, name: bytes, refusal: ImageRefusedError, made: Callable[[int], None]) -> int:
    """Create a folder; one that another process created meanwhile is used as it is."""
    try:
        with refusing_name(parent, name, creates=True):
            os.mkdir(name, 0o777, dir_fd=parent)
    except FileExistsError:
        fsync_directory(parent)
        return _open_component(parent, name, refusal)
    descriptor = _open_component(parent, name, refusal)
    try:
        made(descriptor)
        fsync_directory(parent)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):  # made again, and tried again, with the next image
            os.rmdir(name, dir_fd=parent)
        raise
    return descriptor


def _open_component(
    parent: int, name: bytes, refusal: ImageRefusedError, flags: int = READ_FOLDER
) -> int:
    """Open a folder in another; `refusal` is raised where its name is that of something else."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in _LINK_OR_NO_DIRECTORY:
            raise refusal from error
        raise


def _taken(root: bytes | int, relative: bytes) -> ImageRefusedError:
    """Error for a folder to be made, where a file or a link has its name or one above it."""
    where = "" if isinstance(root, int) else f" in {display(root)}"
    return ImageRefusedError(
        Reason.NAME_TAKEN,
        f"the folder {display(relative)!r} cannot be made{where}: a file or a link is in its way; "
        "move that away",
    )


def _refused(relative: bytes, what: str) -> ImageRefusedError:
    return ImageRefusedError(Reason.NOT_A_REGULAR_FILE, f"{display(relative)!r} {what}")


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A name in an open folder; every method raises OSError."""

    directory_fd: int
    name: bytes

    def exists(self) -> bool:
        """Return whether anything has this name, a dangling link included."""
        try:
            os.stat(self.name, dir_fd=self.directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def fingerprint(self) -> Fingerprint | None:
        """Return the fingerprint of the regular file with this name, or None."""
        try:
            return fingerprint_at(self.directory_fd, self.name)
        except FileNotFoundError:
            return None

    def unlink(self) -> None:
        """Delete the name, durably; it may be missing already."""
        self.remove()
        fsync_directory(self.directory_fd)

    def remove(self) -> None:
        """Delete the name, durable with the next fsync of its folder; it may be missing already."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.directory_fd)

    def sync(self) -> None:
        """Make the content of the file durable."""
        descriptor = self.open()
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open(self) -> int:
        """Open the file for reading; a link is refused by the kernel, a FIFO does not block."""
        return os.open(self.name, READ_FILE, dir_fd=self.directory_fd)


def same_bytes(one: DirectoryEntry, other: DirectoryEntry) -> bool:
    """Compare the contents of two regular files; OSError if one cannot be read."""
    with os.fdopen(one.open(), "rb") as left, os.fdopen(other.open(), "rb") as right:
        while chunk := left.read(_CHUNK_BYTES):
            if right.read(_CHUNK_BYTES) != chunk:
                return False
        return not right.read(1)


def folder_identity(descriptor: int) -> tuple[int, int]:
    """Return device and inode of an open folder: equal for two descriptors of one folder."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
