"""Scan of an input folder, and checks of single files, always below the folder's root.

Owns the definition of an input: a regular file with a known suffix, no temporary or junk name in
its path, and not left out by the folder's patterns. A hard link is a file like any other: whoever
can create one in the folder could also copy the file there. Refuses to follow symbolic links below
the root (the root itself may be one), to open a file, and to end a scan because one directory
cannot be read.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files import beneath
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.imaging.formats import format_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CHUNK = 1000
_REMEMBERED = 16

_JUNK_PREFIXES = (b".", b"~$", b"~syncthing~")
_JUNK_SUFFIXES = (
    b"~",
    b".part",
    b".partial",
    b".filepart",
    b".crdownload",
    b".opdownload",
    b".download",
    b".tmp",
    b".temp",
)
_JUNK_NAMES = frozenset(
    {
        b"thumbs.db",
        b"ehthumbs.db",
        b"desktop.ini",
        b"$recycle.bin",
        b"system volume information",
        b"lost+found",
        b"@eadir",
        b"@tmp",
        b"@recycle",
        b"#recycle",
        b"#snapshot",
        b"__macosx",
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """Input file with its fingerprint at one check."""

    relative: bytes
    """Path below the folder's root."""
    fingerprint: Fingerprint
    changed_s: float = field(default=0.0, compare=False)
    """Time at which the file got its path, content or attributes (ctime), wall clock seconds."""

    @classmethod
    def of(cls, relative: bytes, status: os.stat_result) -> Found:
        """Make the entry of a stat result."""
        return cls(relative, Fingerprint.of(status), status.st_ctime)


@dataclass(slots=True)
class Tally:
    """Counts of one scan, by the reason why entries were skipped."""

    found: int = 0
    """Input files."""
    unknown: int = 0
    """Files whose suffix is not in the format table."""
    ignored: int = 0
    """Temporary and junk names; a directory counts as one and is not entered."""
    excluded: int = 0
    """Files and directories that the patterns leave out; a directory counts as one."""
    unreadable: int = 0
    """Files and directories that could not be read."""
    unreadable_paths: list[bytes] = field(default_factory=list)
    """The first 16 of them, below the root."""

    def cannot_read(self, relative: bytes) -> None:
        """Count a path that could not be read; the next scan tries again."""
        self.unreadable += 1
        if len(self.unreadable_paths) < _REMEMBERED:
            self.unreadable_paths.append(relative)


def ignored(name: bytes) -> bool:
    """Return whether one component of a path is a dotfile, a temporary name or a system file."""
    lower = name.lower()
    return (
        lower.startswith(_JUNK_PREFIXES) or lower.endswith(_JUNK_SUFFIXES) or lower in _JUNK_NAMES
    )


def identity(root: bytes) -> tuple[int, int]:
    """Return the identity of the directory `root`: (st_dev, st_ino).

    Raises:
        OSError: it is missing, no directory, or cannot be listed.
    """
    with opened(root) as descriptor:
        status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


@contextmanager
def opened(root: bytes) -> Iterator[int]:
    """Open a root for `look`; the root itself may be a symbolic link.

    Raises:
        OSError: it is missing, no directory, or cannot be listed.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def look(
    root_descriptor: int, relative: bytes, patterns: Patterns = EVERYTHING
) -> os.stat_result | None:
    """Return the stat result of an input or a directory below an open root, or None.

    None also stands for a path that is missing, leads through a symbolic link, contains a junk
    name, is left out by the patterns, or cannot be read: the next scan checks it again.
    """
    parent, _, name = relative.rpartition(b"/")
    if any(ignored(part) for part in relative.split(b"/")):
        return None
    try:
        with beneath.directory(root_descriptor, parent, passing=True) as directory:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (OSError, ImageRefusedError):
        return None
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not (stat.S_ISREG(status.st_mode) and format_of(name) is not None):
        return None
    return None if patterns.leaves_out(relative, is_folder=is_folder) else status


def walk(
    root: bytes,
    *,
    below: bytes = b"",
    recursive: bool,
    tally: Tally,
    patterns: Patterns = EVERYTHING,
) -> Iterator[list[Found]]:
    """Find every input below `root`, or below its directory `below`.

    Yields:
        The inputs among about 1,000 directory entries each (a list may be empty), so that the
        caller can do other work in between. Entries that cannot be read are counted in `tally`
        and skipped.
    """
    pending = [below]
    chunk: list[Found] = []
    entries = 0
    while pending:
        directory = pending.pop()
        try:
            for entry in _listing(root, directory):
                found = _classify(entry, directory, pending, tally, patterns)
                if found is not None:
                    chunk.append(found)
                entries += 1
                if entries % _CHUNK == 0:
                    yield chunk
                    chunk = []
        except (OSError, ImageRefusedError):
            tally.cannot_read(directory)
        if not recursive:
            break
    yield chunk


def _listing(root: bytes, directory: bytes) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of one directory, which stays open for their stat calls."""
    parent, name = os.path.split(directory)
    with opened(root) as top, beneath.directory(top, parent, passing=True) as way:
        descriptor = os.open(name or b".", _DIRECTORY, dir_fd=way)
    try:
        with os.scandir(descriptor) as entries:
            yield from entries
    finally:
        os.close(descriptor)


def _classify(
    entry: os.DirEntry[str],
    directory: bytes,
    pending: list[bytes],
    tally: Tally,
    patterns: Patterns,
) -> Found | None:
    """Return an input, add a directory to `pending`, count everything else."""
    name = os.fsencode(entry.name)  # scandir of a descriptor yields str
    relative = directory + b"/" + name if directory else name
    if ignored(name):
        tally.ignored += 1
    elif entry.is_dir(follow_symlinks=False):
        if patterns.leaves_out_entry(relative, is_folder=True):
            tally.excluded += 1
        else:
            pending.append(relative)
    elif format_of(name) is None:
        tally.unknown += 1
    elif patterns.leaves_out_entry(relative, is_folder=False):
        tally.excluded += 1
    elif entry.is_file(follow_symlinks=False):
        return _take(entry, relative, tally)
    return None


def _take(entry: os.DirEntry[str], relative: bytes, tally: Tally) -> Found | None:
    """Return a regular file with its fingerprint; None if it is missing or cannot be read."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        tally.cannot_read(relative)
        return None
    tally.found += 1
    return Found.of(relative, status)
