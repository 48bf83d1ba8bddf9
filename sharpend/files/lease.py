"""Leases: check whether a process has a file open for writing, and detect when one opens it.

Owns the read lease of fcntl(2): the kernel grants it only while nobody has the file open for
writing, and lets a later writer wait until the lease is given back. It needs the file's owner or
CAP_LEASE, and not every file system has leases: then it is unknown who has the file open.
"""

from __future__ import annotations

import fcntl
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Writers(Enum):
    """Processes that have a file open for writing."""

    NONE = auto()
    SOME = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Lease:
    """Result of the request for a lease on an open file."""

    writers: Writers
    """At the time of the request."""
    descriptor: int = -1
    """Of the file; used with `Writers.NONE` only."""

    def is_undisturbed(self) -> bool:
        """Return False if a writer was found, or waits to open the file; True if unknown."""
        if sys.platform == "linux" and self.writers is Writers.NONE:
            return fcntl.fcntl(self.descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK
        return self.writers is not Writers.SOME


NO_LEASE = Lease(Writers.UNKNOWN)


@contextmanager
def read_lease(descriptor: int) -> Iterator[Lease]:
    """Hold a read lease on a file for the length of a block, if the kernel grants it.

    A process that opens the file for writing meanwhile waits for the end of the block, for at most
    /proc/sys/fs/lease-break-time; `Lease.is_undisturbed` is False from then on.

    Args:
        descriptor: of a regular file, opened for reading only.
    """
    if sys.platform != "linux":
        yield NO_LEASE
        return
    try:
        # The signal for a waiting writer: one that is ignored by default, as SIGIO ends a process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        yield Lease(Writers.SOME)
        return
    except OSError:  # not the owner, or no leases on this file system
        yield NO_LEASE
        return
    try:
        yield Lease(Writers.NONE, descriptor)
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
