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
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files import beneath
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.files.sidecars import is_sidecar
from sharpend.imaging.formats import format_of
from sharpend.intake.junk import ignored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CHUNK = 1000
_REMEMBERED = _MOST_KINDS = 16
_MOST_EMPTY = 10_000
_LONGEST_SUFFIX = 12
LINK, SPECIAL, SUBFOLDER, NO_SUFFIX = "link", "special file", "sub-folder", "without suffix"
SIDECAR = "sidecar"
EXCLUDED, OTHER = "excluded", "of other kinds"
"""Causes why an entry is left alone, beside a suffix that no format has."""


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
    left_alone: Counter[str] = field(default_factory=Counter)
    """Entries that are no inputs, by cause: a suffix that is not in the format table, in lower
    case, or one of the words above. More than 16 causes are counted as one."""
    empty: list[bytes] = field(default_factory=list)
    """Directories below the root without any entry, 10,000 at most."""
    ignored: int = 0
    """Temporary and junk names; a directory counts as one and is not entered."""
    unreadable: int = 0
    """Files and directories that could not be read."""
    unreadable_paths: list[bytes] = field(default_factory=list)
    """The first 16 of them, below the root."""

    def leave(self, cause: str) -> None:
        """Count an entry that is no input."""
        is_new = cause not in self.left_alone and len(self.left_alone) >= _MOST_KINDS
        self.left_alone[OTHER if is_new else cause] += 1

    def cannot_read(self, relative: bytes) -> None:
        """Count a path that could not be read; the next scan tries again."""
        self.unreadable += 1
        if len(self.unreadable_paths) < _REMEMBERED:
            self.unreadable_paths.append(relative)


def left_alone_text(counts: Mapping[str, int]) -> str:
    """Describe what is left alone: `3 .nef (no known format), 1 link`; empty for nothing."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(
        f"{number} {cause}{' (no known format)' if cause.startswith('.') else ''}"
        for cause, number in ordered
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


def inputs(
    root: bytes,
    *,
    recursive: bool,
    only: Sequence[bytes] | None,
    patterns: Patterns = EVERYTHING,
    tally: Tally,
) -> Iterator[list[Found]]:
    """Find every input below `root`, or those of the paths `only` below it; see `walk`."""
    if only is None:
        return walk(root, recursive=recursive, tally=tally, patterns=patterns)
    return _listed(root, only, tally, patterns)


def _listed(
    root: bytes, paths: Sequence[bytes], tally: Tally, patterns: Patterns
) -> Iterator[list[Found]]:
    """Look at each of these paths; missing ones are left out."""
    for start in range(0, len(paths), _CHUNK):
        try:
            with opened(root) as descriptor:
                looked = [
                    _look_and_count(descriptor, path, tally, patterns)
                    for path in paths[start : start + _CHUNK]
                ]
        except OSError:
            tally.cannot_read(b"")
            return
        yield [one for one in looked if one is not None]


def _look_and_count(root: int, relative: bytes, tally: Tally, patterns: Patterns) -> Found | None:
    """Return the input at a path below an open root; count why there is none."""
    parent, _, name = relative.rpartition(b"/")
    if any(ignored(part) for part in relative.split(b"/")):
        tally.ignored += 1
        return None
    try:
        with beneath.directory(root, parent, passing=True) as directory:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except (OSError, ImageRefusedError):
        tally.cannot_read(relative)
        return None
    if not stat.S_ISREG(status.st_mode):
        tally.leave(LINK if stat.S_ISLNK(status.st_mode) else SPECIAL)
    elif format_of(name) is None:
        tally.leave(kind_of(name))
    elif patterns.leaves_out(relative):
        tally.leave(EXCLUDED)
    else:
        tally.found += 1
        return Found.of(relative, status)
    return None


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
        directory, before = pending.pop(), entries
        try:
            for entry in _listing(root, directory):
                found = _classify(entry, directory, pending, tally, patterns)
                if found is not None:
                    chunk.append(found)
                entries += 1
                if entries % _CHUNK == 0:
                    yield chunk
                    chunk = []
            if entries == before and directory and len(tally.empty) < _MOST_EMPTY:
                tally.empty.append(directory)
        except (OSError, ImageRefusedError):
            tally.cannot_read(directory)
        if not recursive:
            for _ in pending:
                tally.leave(SUBFOLDER)
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
            tally.leave(EXCLUDED)
        else:
            pending.append(relative)
    elif entry.is_symlink():
        tally.leave(LINK)
    elif not entry.is_file(follow_symlinks=False):
        tally.leave(SPECIAL)
    elif format_of(name) is None:
        tally.leave(kind_of(name))
    elif patterns.leaves_out_entry(relative, is_folder=False):
        tally.leave(EXCLUDED)
    else:
        return _take(entry, relative, tally)
    return None


def kind_of(name: bytes) -> str:
    """Return a name's suffix for people, or the words for a name of another kind."""
    if is_sidecar(name):
        return SIDECAR
    suffix = display(os.path.splitext(name)[1].lower())
    return suffix if 1 < len(suffix) <= _LONGEST_SUFFIX else NO_SUFFIX


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
