"""File identity (size, mtime, inode), and display of paths."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identity of a file: equal fingerprints on one path mean the same, unchanged content."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        """Make the fingerprint of a stat result."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def same_content(self, other: Fingerprint | None) -> bool:
        """One content, as far as size and time tell.

        A move to another disk gives another inode, and on some, such as FAT, inodes do not last.
        """
        return other is not None and (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


def display(path: bytes) -> str:
    """Decode a path for people, logs and JSON: non-UTF-8 bytes become lone surrogates."""
    return os.fsdecode(path)
