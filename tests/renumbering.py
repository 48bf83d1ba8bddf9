"""`sharpend` on a file system that gives an input another inode number at each look.

    RENUMBERING=fuseblk python -m tests.renumbering once --config …

exFAT by FUSE does so when the kernel has dropped its caches, rclone when its own ends. The variable
is the type of file system that the mount table names. The product has none of this: this entry
point changes the numbers on their way to it.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from sharpend import cli
from sharpend.files import mounts
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake import folder, tally

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(random.randrange(1 << 40))


class Renumbered(Fingerprint):
    """A fingerprint with an inode number that no file had before."""

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        """Make the fingerprint of a stat result."""
        return Fingerprint(status.st_size, status.st_mtime_ns, next(_numbers))


@contextmanager
def renumbering(kind: str) -> Iterator[None]:
    """Inputs are on a file system of this type, and have other inode numbers at each look."""
    mount = mounts.Mount(b"/", kind)
    with (
        patch.object(tally, "Fingerprint", Renumbered),
        patch.object(folder, "mount_of", lambda _: mount),
    ):
        yield


if __name__ == "__main__":
    with renumbering(os.environ["RENUMBERING"]):
        sys.exit(cli.main())
