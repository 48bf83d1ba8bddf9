"""Output destination of a folder: its roots, rules, and names of temporary files.

Owns the names of temporary files, and the check of a root before anything is written into it.
Refuses a root that is not the folder that it was, before a restart too: an unmounted disk leaves an
empty folder at its mount point, which must not be filled.
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
from sharpend.files.mounts import empty_mount_point
from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.files.remote import is_remote
from sharpend.files.roots import Root, is_on_system_disk, look
from sharpend.logs.logs import printable
from sharpend.policies import CollisionPolicy, ExistingPolicy, Sidecars, SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.commit.store import Store


@dataclass(slots=True)
class RootGuard:
    """Remembered roots of one folder; shared by all that work below them.

    Nothing is compared for a root that was never seen, or accepted whatever it is.
    """

    folder: str
    require_mount: bool | None = None
    """True: any disk but that of `/`; False: whatever there is; None: the same as before."""
    seen: dict[bytes, Root] = field(default_factory=dict)
    accepted: set[bytes] = field(default_factory=set)
    """Roots that the user accepted, whatever is there."""
    closed: str | None = None
    """Reason why no root may be worked in, or None."""

    def objection(self, root: bytes, setting: str) -> str | None:
        """Return in one line why a root is not the one to work in, or None.

        Args:
            root: that exists or would be created.
            setting: that names the root.
        """
        prefix = f"{setting}: {printable(display(root))}"
        try:
            found = self._objection(root)
        except OSError as error:
            return f"{prefix}: {error.strerror}"
        if found is None:
            return None
        return (
            f"{prefix}: {found}, or, if this folder is meant, run"
            f" `sharpend accept {self.folder}` (or set folder.require_mount)"
        )

    def replaced(self, root: bytes, setting: str) -> str | None:
        """Return in one line why a root is not the one of the last look, or None.

        Stricter than `objection`: a folder that was replaced on the same disk is another one.

        Raises:
            OSError: the root is missing, or cannot be looked at.
        """
        if self.closed is not None:
            return self.closed
        objection = self.objection(root, setting)
        if objection is not None:
            return objection
        inode, before = os.stat(root).st_ino, self.seen.get(root)
        if self.require_mount is None and before is not None and before.inode not in {None, inode}:
            return f"{setting}: {printable(display(root))}: the folder was replaced"
        return None

    def _objection(self, root: bytes) -> str | None:
        if self.require_mount:
            missing = is_on_system_disk(root)
            rule = "is on the system's disk, and folder.require_mount is true: mount its disk"
            return rule if missing else None
        if self.require_mount is False:
            return None
        before = self.seen.get(root)
        return self._objection_to_new(root) if before is None else _difference(before, look(root))

    def _objection_to_new(self, root: bytes) -> str | None:
        """Object to a root that was never seen, or was accepted and is missing."""
        if root in self.accepted and os.path.isdir(root):
            return None
        point = empty_mount_point(root)
        if point is None:
            return None
        return f"no disk is mounted at {printable(display(point))}: mount it"


def _difference(before: Root, now: Root) -> str | None:
    """Describe the disk that a root is on in place of the one before, or None."""
    if before.is_same(now):
        return None
    if not os.path.ismount(before.point):
        return f"{printable(before.point)} is not mounted: mount it"
    there = f"{now.kind} at {printable(now.point)}"
    return f"is on another disk than before ({there}): mount the other one"


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
    store: Store | None = field(default=None, compare=False)
    """Object storage; required where a root is in it."""
    guard: RootGuard = field(default_factory=lambda: RootGuard("folder"), compare=False)
    """Knows the roots, and whether they may be worked in."""

    @property
    def output_store(self) -> Store | None:
        """The store that the outputs are in; None: they are on a disk."""
        return self.store if is_remote(self.output_root) else None

    @property
    def input_store(self) -> Store | None:
        """The store that the inputs are in; None: they are on a disk."""
        return self.store if is_remote(self.input_root) else None


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
