"""Folders whose names have changed: one fsync of each makes the changes of a group durable.

Folders are flushed side by side, so that a group waits for the slowest of them and not for their
sum. Owns the order: those that gained a name come before those that only lost one, so that a moved
file has one of its names after a power cut. Refuses to repeat an fsync that failed: the second one
may hide that.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from sharpend.commit.interface import Changes
from sharpend.commit.side_by_side import for_each
from sharpend.files.atomic import fsync_directory
from sharpend.files.beneath import folder_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping


@dataclass(slots=True)
class _Folder:
    descriptor: int
    owners: set[Hashable] = field(default_factory=set)
    has_gained: bool = False


class FolderSyncs:
    """Changed folders, kept open for the length of a block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folders: dict[Hashable, _Folder] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def changes(self, owner: Hashable) -> Changes:
        """Return what notes the changes for an owner."""
        gained = partial(self._note, owner, has_gained=True)
        return Changes(self._stack, gained, partial(self._note, owner, has_gained=False))

    def _note(self, owner: Hashable, descriptor: int, *, has_gained: bool) -> None:
        where = folder_identity(descriptor)
        if where not in self._folders:
            self._folders[where] = _Folder(os.dup(descriptor))
            self._stack.callback(os.close, self._folders[where].descriptor)
        self._folders[where].owners.add(owner)
        self._folders[where].has_gained |= has_gained

    def sync(self) -> dict[Hashable, OSError]:
        """Make all changes durable; return an error for each owner of a folder that failed."""
        failures: dict[Hashable, OSError] = {}
        for has_gained in (True, False):
            failed = flush(
                {
                    where: partial(fsync_directory, folder.descriptor)
                    for where, folder in self._folders.items()
                    if folder.has_gained is has_gained
                }
            )
            for where, error in failed.items():
                failures |= dict.fromkeys(self._folders[where].owners, error)
        return failures


def flush(folders: Mapping[Hashable, Callable[[], None]]) -> dict[Hashable, OSError]:
    """Make folders durable, all of them side by side.

    Args:
        folders: the fsync of each, by its identity.

    Returns:
        The errors, by the identity of the folder.
    """
    failures: dict[Hashable, OSError] = {}

    def flush_one(where: Hashable) -> None:
        try:
            folders[where]()
        except OSError as error:
            failures[where] = error

    for_each(list(folders), flush_one, at_once=lambda _: len(folders))
    return failures
