"""Output destination of a folder: roots, and the names that outputs may take.

Owns the temporary names, and the look at a root before anything is written into it. Refuses a
root that is no longer the one that was there at start: an unmounted disk leaves an empty folder
behind that nobody wants filled.
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
    """One folder's way out."""

    folder: str
    """The ledger's name of the folder."""
    input_root: bytes
    output_root: bytes
    source: SourcePolicy = SourcePolicy.KEEP
    archive_root: bytes | None = None
    """Needed by `SourcePolicy.ARCHIVE`."""
    existing: ExistingPolicy = ExistingPolicy.SUFFIX
    naming: Naming = AS_THE_INPUT
    collision: CollisionPolicy = CollisionPolicy.NUMBER
    portable_names: bool = False
    """Outputs whose names differ only in case or in Unicode's normal form collide as well."""
    access: Access = field(default_factory=Access)
    """Group and mode of outputs and of the folders that are made for them."""
    identities: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)
    """(st_dev, st_ino) of the roots when the daemon started, by root; others are not compared."""


class TempNames:
    """Names for staged files that no other installation takes for its own.

    They read `.sharpend-<job id>-<installation><random>.tmp`. The installation stands for this
    host and state directory, so it outlives a lost ledger.
    """

    def __init__(self, state_dir: Path) -> None:
        whose = os.uname().nodename.encode() + b"\0" + os.path.realpath(os.fsencode(state_dir))
        self._installation = hashlib.sha256(whose).hexdigest()[:12].encode()
        self._ours = re.compile(rb"\.sharpend-\d+-%s[0-9a-f]{8}\.tmp" % self._installation)

    def new(self, job_id: int) -> bytes:
        """A name that was never used."""
        token = self._installation + secrets.token_hex(4).encode()
        return b".sharpend-%d-%s.tmp" % (job_id, token)

    def is_ours(self, name: bytes) -> bool:
        """This installation made the name."""
        return self._ours.fullmatch(name) is not None


def identity_of(root: bytes) -> tuple[int, int]:
    """(st_dev, st_ino) of a folder, to be remembered in `Destination.identities`."""
    status = os.stat(root)
    return status.st_dev, status.st_ino


def roots_of(destination: Destination) -> str | None:
    """Which directories the input and the output are, in a form that outlives a restart.

    Returns:
        Another text when one is replaced, or its disk is not mounted; None where one is missing.
    """
    roots = (destination.input_root, destination.output_root)
    with suppress(OSError):
        return " ".join(str(os.stat(root).st_ino) for root in roots)
    return None


def output_names(destination: Destination, relative: bytes) -> Iterator[bytes]:
    """The names that the output of an input may take, below the output root, best first.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when the next name would be and cannot be shortened.
    """
    return numbered(destination.output_root, relative, destination.naming)


def require_same_root(destination: Destination, root: bytes, setting: str) -> None:
    """Look at a root before it is written.

    Raises:
        FolderFaultError: it is missing, or not the folder that was there at start.
    """
    with faults(destination, root, setting):
        remembered = destination.identities.get(root)
        if remembered is not None and identity_of(root) != remembered:
            raise FolderFaultError(
                f"folder {destination.folder}: {display(root)} is not the folder that was there"
                " at start (unmounted or replaced?): mount it again, or reload sharpend (SIGHUP) to"
                f" work with this one (setting `{setting}`)"
            )


@contextmanager
def faults(destination: Destination, root: bytes, setting: str) -> Iterator[None]:
    """Translate what the file system says about work below a root into a decision.

    Raises:
        FolderFaultError: full, read-only, not permitted at all, or gone: the whole folder.
        ImageRefusedError: the name is too long for this file system.
        TransientError: anything else; this file may do better later.
    """
    try:
        yield
    except OSError as error:
        told = f"folder {destination.folder}: {display(root)}: {error.strerror}"
        of_root = f"{told} (setting `{setting}`)"
        raise decision(error, root, of_root=of_root, of_file=told) from error
