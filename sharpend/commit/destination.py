"""Output destination of a folder: its roots, rules, and names of temporary files.

Owns the names of temporary files, and the check that a root is the folder that it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from sharpend.commit.names import AS_THE_INPUT, Naming, numbered
from sharpend.errors import FolderFaultError
from sharpend.files.access import Access
from sharpend.files.disk_errors import decision
from sharpend.files.fingerprint import display
from sharpend.files.mounted_roots import RootGuard
from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.files.remote import is_remote
from sharpend.policies import CollisionPolicy, ExistingPolicy, Sidecars, SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NameStatus(Enum):
    """Status of an output name for one input."""

    FREE = auto()
    OURS = auto()
    """The file is an earlier output of the same input: it is replaced."""
    REPLACEABLE = auto()
    """A foreign file has the name, and the policy is to replace it."""
    EQUAL = auto()
    """A foreign file with the bytes of the new output has the name: it becomes the output."""
    LEFT_ALONE = auto()
    """A foreign file has the name, and the policy is to skip the input."""
    TAKEN = auto()
    """The name cannot be used: try the next one."""


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
    """True if names that differ only in case or in Unicode normal form collide, too, and names that
    Windows or the output's file system does not take are rewritten."""
    access: Access = field(default_factory=Access)
    """Group and mode of outputs and of the folders created for them."""
    remove_empty_folders: bool = False
    """True if sub-folders of the input go once their images were archived or deleted."""
    sidecars: Sidecars = Sidecars.FOLLOW
    left_alone: Patterns = EVERYTHING
    """Leaves out the sidecars that the user excludes."""
    quarantine_root: bytes | None = None
    """Compared with what it was before, if it is known."""
    guard: RootGuard = field(default_factory=lambda: RootGuard("folder"), compare=False)
    """Knows the roots, and whether they may be worked in."""


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
    return numbered(
        destination.output_root, relative, destination.naming, portable=destination.portable_names
    )


def is_rewritten(destination: Destination, relative: bytes) -> bool:
    """Return whether an output's name, or that of a folder above it, is another to be portable."""
    if not destination.portable_names:
        return False
    plain = numbered(destination.output_root, relative, destination.naming)
    return next(output_names(destination, relative)) != next(plain)


def require_same_root(destination: Destination, root: bytes, setting: str) -> None:
    """Check that a root is the folder that it was; call before working below it.

    Args:
        destination: with the guard of the roots.
        root: to check.
        setting: that names the root, for messages.

    Raises:
        FolderFaultError: the root is missing, another folder, or on another disk.
    """
    if is_remote(root):  # a bucket is mounted nowhere: its name alone says which one it is
        return
    with faults(destination, root, setting):
        objection = destination.guard.replaced(root, setting)
    if objection is not None:
        raise FolderFaultError(f"folder {destination.folder}: {objection}")


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
