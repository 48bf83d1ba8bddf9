"""Path probe: a process, run by `runner.ask`, that reports which paths a user can access.

Looks at paths and walks through inputs. Only asks the kernel (access, stat, statvfs):
no file is opened, and none is created as a test.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from sharpend.checks.runner import Runner, answer, ask
from sharpend.imaging.formats import format_of

_REMEMBERED = 3


@dataclass(frozen=True, slots=True)
class PathAccess:
    """Access of a user to one path; for a missing one, to its nearest existing parent."""

    path: str
    exists: bool
    is_folder: bool
    readable: bool
    writable: bool
    """Files can be made in it: of a missing folder, it can be made."""
    mode: int
    uid: int
    gid: int
    free_bytes: int
    """Free space for users other than root."""
    ancestors: list[tuple[str, int, int]]
    """Path, mode and group of each folder above, the root first."""

    @property
    def anyone_may_write(self) -> bool:
        """True if every user may write; in a sticky folder files belong to their owners."""
        return bool(self.mode & stat.S_IWOTH) and not self.mode & stat.S_ISVTX


@dataclass(slots=True)
class Content:
    """Counts of an input folder."""

    directories: int = 0
    images: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)
    """The first few folders and images that cannot be read."""
    fixed: list[str] = field(default_factory=list)
    """The first few folders out of which nothing can be moved or deleted."""


def examine(
    runner: Runner, paths: list[str], inputs: list[tuple[str, bool]]
) -> tuple[dict[str, PathAccess], list[Content]]:
    """Look at paths, and walk through inputs, with a user's rights.

    Args:
        runner: the user.
        paths: to look at.
        inputs: the roots to walk through, each with whether the folders below belong to it.

    Raises:
        UnavailableError: the looking process died.
    """
    path_facts, contents = ask(runner, __name__, [paths, inputs])
    for one in path_facts:  # JSON has no tuples
        one["ancestors"] = [tuple(above) for above in one["ancestors"]]
    return {one["path"]: PathAccess(**one) for one in path_facts}, [
        Content(**one) for one in contents
    ]


def look(path: str) -> PathAccess:
    """Look at one path with this process's rights."""
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    status = os.stat(there) if os.path.exists(there) else os.lstat(there)
    room = os.statvfs(there) if os.path.exists(there) else None
    is_folder = stat.S_ISDIR(status.st_mode)
    through = os.X_OK if is_folder else 0
    return PathAccess(
        path=path,
        exists=there == path,
        is_folder=is_folder,
        readable=os.access(there, os.R_OK | through),
        writable=os.access(there, os.W_OK | through),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        free_bytes=room.f_bavail * room.f_frsize if room else 0,
        ancestors=list(_ancestors(os.path.realpath(there))),
    )


def _ancestors(path: str) -> list[tuple[str, int, int]]:
    above = []
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        with suppress(OSError):
            status = os.stat(path)
            above.append((path, stat.S_IMODE(status.st_mode), status.st_gid))
    return above[::-1]


def walk(root: str, *, recursive: bool) -> Content:
    """Count the images of an input with this process's rights."""
    content = Content()

    def unreadable(error: OSError) -> None:
        _remember(content.unreadable, error.filename)

    for folder, _, names in os.walk(root, onerror=unreadable):
        content.directories += 1
        if _is_fixed(folder):
            _remember(content.fixed, folder)
        for name in names:
            if format_of(os.fsencode(name)) is not None:
                _count(content, os.path.join(folder, name))
        if not recursive:
            break
    return content


def _is_fixed(folder: str) -> bool:
    """Return whether nothing can be removed: not writable, or sticky and owned by another."""
    with suppress(OSError):  # it was there a moment ago
        status = os.stat(folder)
        sticky = status.st_mode & stat.S_ISVTX and os.geteuid() not in {0, status.st_uid}
        return bool(sticky) or not os.access(folder, os.W_OK | os.X_OK)
    return False


def _count(content: Content, path: str) -> None:
    with suppress(OSError):  # it was there a moment ago
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return
        content.bytes += status.st_size
        content.images += 1
        if not os.access(path, os.R_OK):
            _remember(content.unreadable, path)


def _remember(paths: list[str], path: str) -> None:
    if len(paths) < _REMEMBERED:
        paths.append(path)


def _respond(question: tuple[list[str], list[tuple[str, bool]]]) -> list[list[dict[str, Any]]]:
    paths, inputs = question
    contents = [walk(root, recursive=recursive) for root, recursive in inputs]
    return [[asdict(look(path)) for path in paths], [asdict(content) for content in contents]]


if __name__ == "__main__":
    answer(_respond)
