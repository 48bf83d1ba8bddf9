"""File identity (size, mtime, inode), and display of paths.

Owns the rule when two checks of a path have found one file. An inode of 0 means one that does not
last: some file systems (FUSE, exFAT, network) give an unchanged file another number each time. The
ledger stores fingerprints in its columns `mark`. Where the inode alone differs, the contents are
compared (`digest`, `daemon.content_comparison`).
"""

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

    @property
    def without_inode(self) -> Fingerprint:
        """The same with inode 0: for a file system whose inode numbers do not last."""
        return Fingerprint(self.size, self.mtime_ns, 0)

    def is_same_file(self, other: Fingerprint | None) -> bool:
        """Return whether this is the same, unchanged file; an inode of 0 is equal to any."""
        if other is None or not self.same_content(other):
            return False
        return self.inode == other.inode or 0 in {self.inode, other.inode}

    def same_content(self, other: Fingerprint | None) -> bool:
        """True if size and time are equal: the content is taken to be the same.

        A move to another disk gives another inode, and on some, such as FAT, inodes do not last.
        """
        return other is not None and (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


def display(path: bytes) -> str:
    """Decode a path for people, logs and JSON: non-UTF-8 bytes become lone surrogates."""
    return os.fsdecode(path)
