"""Local output folders, on disks.

Owns how a staged file on a disk gets its final name: by a rename that never replaces a file that it
was not told to replace. The decision which name and whether to replace is the caller's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.files.atomic import fsync_directory, rename_without_clobbering
from sharpend.files.beneath import (
    DirectoryEntry,
    fingerprint_at,
    folder_identity,
    refusing_name,
    same_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

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
