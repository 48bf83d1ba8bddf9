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
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files import beneath
from sharpend.files.atomic import READ_FOLDER
from sharpend.files.beneath import folder_identity
from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.imaging.formats import format_of
from sharpend.intake.junk import ignored
from sharpend.intake.tally import EXCLUDED, LINK, SPECIAL, SUBFOLDER, Found, Tally, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK = 1000


def identity(root: bytes) -> tuple[int, int]:
    """Return the identity of the directory `root`: (st_dev, st_ino).

    Raises:
        OSError: it is missing, no directory, or cannot be listed.
    """
    with opened(root) as descriptor:
        return folder_identity(descriptor)


@contextmanager
def opened(root: bytes) -> Iterator[int]:
    """Open a root for `look`; the root itself may be a symbolic link.

    Raises:
        OSError: it is missing, no directory, or cannot be listed.
    """
    descriptor = os.open(root, READ_FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def look(
    root_descriptor: int, relative: bytes, patterns: Patterns = EVERYTHING
) -> os.stat_result | None:
    """Return the stat result of an input or a directory below an open root, or None.

    None also means a path that is missing, leads through a symbolic link, contains a junk name, is
    left out by the patterns, or cannot be read: the next scan checks it again.
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
        tally.ignore(LINK if stat.S_ISLNK(status.st_mode) else SPECIAL)
    elif format_of(name) is None:
        tally.ignore(kind_of(name))
    elif patterns.leaves_out(relative):
        tally.ignore(EXCLUDED)
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
        caller can do other work in between. Entries that cannot be read are counted in `tally` and
        skipped.
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
            if entries == before and directory:
                tally.found_empty(directory)
        except (OSError, ImageRefusedError):
            tally.cannot_read(directory)
        if not recursive:
            for _ in pending:
                tally.ignore(SUBFOLDER)
            break
    yield chunk


def _listing(root: bytes, directory: bytes) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of one directory, which stays open for their stat calls."""
    parent, name = os.path.split(directory)
    with opened(root) as top, beneath.directory(top, parent, passing=True) as above:
        descriptor = os.open(name or b".", READ_FOLDER | os.O_NOFOLLOW, dir_fd=above)
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
            tally.ignore(EXCLUDED)
        else:
            pending.append(relative)
    elif entry.is_symlink():
        tally.ignore(LINK)
    elif not entry.is_file(follow_symlinks=False):
        tally.ignore(SPECIAL)
    elif format_of(name) is None:
        tally.ignore(kind_of(name))
    elif patterns.leaves_out_entry(relative, is_folder=False):
        tally.ignore(EXCLUDED)
    else:
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
