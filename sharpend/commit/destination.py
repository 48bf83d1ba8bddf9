"""Output destination of a folder: its roots, rules, and names of temporary files.

Owns the names of temporary files, and the check of a root before anything is written into it.
Refuses a root that is not the folder that it was at start: an unmounted disk leaves an empty folder
at its mount point, which must not be filled.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.commit.names import AS_THE_INPUT, Naming, numbered
from sharpend.errors import FolderFaultError
from sharpend.files.access import Access
from sharpend.files.faults import decision
from sharpend.files.fingerprint import display
from sharpend.policies import CollisionPolicy, ExistingPolicy, SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Destination:
    """Roots and rules for the outputs and sources of one folder."""

    folder: str
    """Name of the folder in the ledger."""
    input_root: bytes
    output_root: bytes
    source: SourcePolicy = SourcePolicy.KEEP
    archive_root: bytes | None = None
    """Required by `SourcePolicy.ARCHIVE`."""
    existing: ExistingPolicy = ExistingPolicy.SUFFIX
    naming: Naming = AS_THE_INPUT
    collision: CollisionPolicy = CollisionPolicy.NUMBER
    portable_names: bool = False
    """True if names that differ only in case or in Unicode normal form collide, too."""
    access: Access = field(default_factory=Access)
    """Group and mode of outputs and of the folders created for them."""
    identities: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)
    """(st_dev, st_ino) of each root at start; a root that is not listed is not compared."""


class TempNames:
    """Names of temporary files, which no other installation takes for its own.

    Their form is `.sharpend-<job id>-<installation><random>.tmp`. The installation is a digest of
    host name and state directory, so it stays the same when the ledger is lost.
    """

    def __init__(self, state_dir: Path) -> None:
        whose = os.uname().nodename.encode() + b"\0" + os.path.realpath(os.fsencode(state_dir))
        self._installation = hashlib.sha256(whose).hexdigest()[:12].encode()
        self._ours = re.compile(rb"\.sharpend-\d+-%s[0-9a-f]{8}\.tmp" % self._installation)

    def new(self, job_id: int) -> bytes:
        """Make a name that was never used."""
        token = self._installation + secrets.token_hex(4).encode()
        return b".sharpend-%d-%s.tmp" % (job_id, token)

    def is_ours(self, name: bytes) -> bool:
        """Return whether this installation made the name."""
        return self._ours.fullmatch(name) is not None


def identity_of(root: bytes) -> tuple[int, int]:
    """Return (st_dev, st_ino) of a folder, for `Destination.identities`; raise OSError."""
    status = os.stat(root)
    return status.st_dev, status.st_ino


def roots_of(destination: Destination) -> str | None:
    """Return the inode numbers of input and output as a text that can be stored.

    Returns:
        The text, which changes when a root is replaced or unmounted; None if one is missing.
    """
    roots = (destination.input_root, destination.output_root)
    with suppress(OSError):
        return " ".join(str(os.stat(root).st_ino) for root in roots)
    return None


def output_names(destination: Destination, relative: bytes) -> Iterator[bytes]:
    """Yield the names that an output may take, below the output root, in order of preference.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when the next name is too long and cannot be shortened.
    """
    return numbered(destination.output_root, relative, destination.naming)


def require_same_root(destination: Destination, root: bytes, setting: str) -> None:
    """Check that a root is the folder that it was at start; call before writing into it.

    Args:
        destination: with the identities at start.
        root: to check.
        setting: that names the root, for messages.

    Raises:
        FolderFaultError: the root is missing, or another folder.
    """
    with faults(destination, root, setting):
        remembered = destination.identities.get(root)
        if remembered is not None and identity_of(root) != remembered:
            raise FolderFaultError(
                f"folder {destination.folder}: {display(root)} is not the folder that it was"
                " at start (unmounted or replaced?): mount it again, or reload sharpend (SIGHUP) to"
                f" work with this one (setting `{setting}`)"
            )


@contextmanager
def faults(destination: Destination, root: bytes, setting: str) -> Iterator[None]:
    """Translate OSErrors of work below a root into errors that decide what happens next.

    Args:
        destination: of the folder.
        root: that is worked in.
        setting: that names the root, for messages.

    Raises:
        FolderFaultError: the root is full, read-only, missing or not accessible.
        ImageRefusedError: the name is too long for this file system.
        TransientError: any other error; a later attempt at this file may succeed.
    """
    try:
        yield
    except OSError as error:
        message = f"folder {destination.folder}: {display(root)}: {error.strerror}"
        of_root = f"{message} (setting `{setting}`)"
        raise decision(error, root, of_root=of_root, of_file=message) from error
