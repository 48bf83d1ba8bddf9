"""Local output folders, on disks; and what is done in a folder of either kind without opening it.

Owns how a staged file on a disk gets its final name: by a rename that never replaces a file that it
was not told to replace. The decision which name and whether to replace is the caller's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files.atomic import fsync_directory, rename_without_clobbering
from sharpend.files.beneath import (
    DirectoryEntry,
    directory,
    fingerprint_at,
    folder_identity,
    refusing_name,
    same_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sharpend.commit.store import OutputFolder, Store
    from sharpend.files.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """An open folder of a file system."""

    descriptor: int

    @property
    def identity(self) -> Hashable:
        """Device and inode."""
        return folder_identity(self.descriptor)

    def look_ahead(self, name: bytes) -> None:
        """Do nothing: a disk answers at once."""

    def fingerprint(self, name: bytes) -> Fingerprint | None:
        """See `OutputFolder`."""
        with refusing_name(self.descriptor, name, creates=False):
            return fingerprint_at(self.descriptor, name)

    def staged(self, temp: bytes) -> Fingerprint | None:
        """See `OutputFolder`."""
        return DirectoryEntry(self.descriptor, temp).fingerprint()

    def is_equal(self, temp: bytes, name: bytes) -> bool:
        """Compare the bytes."""
        entry = DirectoryEntry(self.descriptor, name)
        entry.sync()
        return same_bytes(DirectoryEntry(self.descriptor, temp), entry)

    def publish(self, temp: bytes, name: bytes, *, replaces: bool) -> None:
        """Rename it."""
        fd = self.descriptor
        with refusing_name(fd, name, creates=True):
            if replaces:
                os.replace(temp, name, src_dir_fd=fd, dst_dir_fd=fd)
            else:
                rename_without_clobbering(fd, temp, fd, name)

    def discard(self, temp: bytes) -> None:
        """Unlink it."""
        DirectoryEntry(self.descriptor, temp).unlink()

    def sync(self) -> None:
        """Flush the folder."""
        fsync_directory(self.descriptor)


def fingerprint_below(root: bytes, relative: bytes, store: Store | None) -> Fingerprint | None:
    """Return the fingerprint of the output at a path below a root, or None.

    Args:
        root: of the outputs.
        relative: path below it.
        store: that the root is in; None: it is on a disk.
    """
    parent, name = os.path.split(relative)
    with suppress(FileNotFoundError, ImageRefusedError):
        if store is not None:
            return store.outputs(root, parent).fingerprint(name)
        with directory(root, parent) as fd:
            return fingerprint_at(fd, name)
    return None


def discard_below(root: bytes, parent: bytes, temp: bytes, store: Store | None) -> None:
    """Delete a staged file in a folder below a root, as far as that is possible."""
    with suppress(OSError, ImageRefusedError):
        if store is not None:
            store.outputs(root, parent).discard(temp)
            return
        with directory(root, parent) as fd:
            DirectoryEntry(fd, temp).unlink()


def stands(folder: OutputFolder, output: bytes, meant: Fingerprint) -> bool:
    """Return whether an output has its name, below an open folder, already."""
    with suppress(FileNotFoundError):
        return folder.fingerprint(os.path.basename(output)) == meant
    return False
