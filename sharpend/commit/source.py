"""Source of a job, opened in its input folder with a lease.

Owns the question whether a source may be moved or deleted now: it still is the file that was
judged, and no process has it open for writing. Refuses to believe leases on network file systems,
where writers on other machines are not known.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.lease import NO_LEASE, Lease, read_lease
from sharpend.files.mounts import mount_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.ledger.records import Job

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def leased_source(input_root: bytes, job: Job) -> Iterator[Lease | None]:
    """Open the source of a job and hold a lease on it for the length of a block.

    Yields:
        The lease; None if the source is missing or has become another file.

    Raises:
        ImageRefusedError: a folder on the path is a link.
        OSError: the folder cannot be read.
    """
    with ExitStack() as stack:
        try:
            descriptor = _opened(input_root, job)
        except FileNotFoundError:
            descriptor = None
        except PermissionError:  # a move or deletion needs no permission to read
            yield NO_LEASE
            return
        if descriptor is None:
            yield None
            return
        stack.callback(os.close, descriptor)
        folder = os.path.dirname(os.path.join(input_root, job.relative))
        if mount_of(folder).is_networked:
            yield NO_LEASE
        else:
            yield stack.enter_context(read_lease(descriptor))


def _opened(input_root: bytes, job: Job) -> int | None:
    """Open the source for reading; None if it has become another file."""
    parent, name = os.path.split(job.relative)
    with directory(input_root, parent) as fd:
        if fingerprint_at(fd, name) != job.fingerprint:
            return None
        descriptor = os.open(name, _READ, dir_fd=fd)
    if Fingerprint.of(os.fstat(descriptor)) == job.fingerprint:
        return descriptor
    os.close(descriptor)
    return None
