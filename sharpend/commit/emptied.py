"""Removal of sub-folders of an input that are empty because their images were archived or deleted.

Owns the choice: according to the ledger a source below the folder was archived or deleted, and the
folder was not changed since, or for some time (a program may be filling it). Refuses to
remove the input itself, a folder out of which nothing was taken, and, as rmdir(2) does, one that is
not empty.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.commit.destination import require_same_root
from sharpend.errors import FolderFaultError, ImageRefusedError
from sharpend.files.beneath import directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sharpend.commit.destination import Destination
    from sharpend.ledger.reader import LedgerReader

SLACK_S = 10.0
"""Longest time from the end of a job until its source is archived or deleted."""


def remove_emptied(
    ledger: LedgerReader,
    destination: Destination,
    empty: Iterable[bytes],
    now_s: float,
    quiet_s: float | None,
) -> list[bytes]:
    """Remove empty sub-folders, and those above them that become empty by that.

    Args:
        ledger: knows what was taken out of them.
        destination: of the folder.
        empty: paths below the input folder that a scan found empty.
        now_s: wall clock in seconds.
        quiet_s: seconds for which each must be unchanged; None: since the last image was taken out
            of it.

    Returns:
        The paths that were removed, the deepest first.
    """
    root = destination.input_root
    try:
        require_same_root(destination, root, "input")
    except FolderFaultError:
        return []
    changed = {path: _changed_s(root, path) for one in empty for path in _upwards(one)}
    removed = []
    for path in sorted(changed, key=lambda path: (-path.count(b"/"), path)):
        changed_s, taken_s = changed[path], ledger.let_go_below(destination.folder, path)
        if changed_s is None or taken_s is None:
            continue
        latest_s = taken_s + SLACK_S if quiet_s is None else now_s - quiet_s
        if changed_s <= latest_s and _is_removed(root, path):
            removed.append(path)
    return removed


def _upwards(path: bytes) -> Iterable[bytes]:
    """Yield a path and those of the folders above it, without the root."""
    while path:
        yield path
        path = os.path.dirname(path)


def _changed_s(root: bytes, path: bytes) -> float | None:
    """Return when an entry was last made or removed in a folder; None if it is none."""
    parent, name = os.path.split(path)
    with suppress(OSError, ImageRefusedError), directory(root, parent) as fd:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        return status.st_mtime if stat.S_ISDIR(status.st_mode) else None
    return None


def _is_removed(root: bytes, path: bytes) -> bool:
    parent, name = os.path.split(path)
    with suppress(OSError, ImageRefusedError), directory(root, parent) as fd:
        os.rmdir(name, dir_fd=fd)
        return True
    return False
