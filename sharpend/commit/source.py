"""File of an input folder, opened with a lease: the source of a job, or a sidecar.

Owns the question whether a source may be moved or deleted now: it still is the file that was
judged, and no process has it open for writing. Refuses to believe leases on network file systems,
where writers on other machines are not known.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sharpend.files.atomic import READ_FILE
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.lease import NO_LEASE, Lease, read_lease
from sharpend.files.mounts import mount_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def leased_source(input_root: bytes, relative: bytes, meant: Fingerprint) -> Iterator[Lease | None]:
    """Open a file of an input folder and hold a lease on it for the length of a block.

    Args:
        input_root: of the folder.
        relative: path below it.
        meant: fingerprint that the file must have.

    Yields:
        The lease; None if the file is missing or has become another file.

    Raises:
        ImageRefusedError: a folder on the path is a link.
        OSError: the folder cannot be read.
    """
    with ExitStack() as stack:
        try:
            descriptor = _opened(input_root, relative, meant)
        except FileNotFoundError:
            descriptor = None
        except PermissionError:  # a move or deletion needs no permission to read
            yield NO_LEASE
            return
        if descriptor is None:
            yield None
            return
        stack.callback(os.close, descriptor)
        folder = os.path.dirname(os.path.join(input_root, relative))
        if mount_of(folder).is_networked:
            yield NO_LEASE
        else:
            yield stack.enter_context(read_lease(descriptor))


def _opened(input_root: bytes, relative: bytes, meant: Fingerprint) -> int | None:
    """Open the file for reading; None if it has become another file."""
    parent, name = os.path.split(relative)
    with directory(input_root, parent) as fd:
        if not meant.is_same_file(fingerprint_at(fd, name)):
            return None
        descriptor = os.open(name, READ_FILE, dir_fd=fd)
    if meant.is_same_file(Fingerprint.of(os.fstat(descriptor))):
        return descriptor
    os.close(descriptor)
    return None
