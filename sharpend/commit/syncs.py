"""Folders whose names have changed: one fsync of each makes the changes of a group durable.

Owns the order: folders that gained a name come before those that only lost one, so that a moved
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
from sharpend.files.atomic import fsync_directory
from sharpend.files.beneath import folder_identity

if TYPE_CHECKING:
    from collections.abc import Hashable


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
        for folder in sorted(self._folders.values(), key=lambda one: not one.has_gained):
            try:
                fsync_directory(folder.descriptor)
            except OSError as error:
                failures |= dict.fromkeys(folder.owners, error)
        return failures
