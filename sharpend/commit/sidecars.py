"""Sidecars of an image: move them into the archive after it, copy them beside its output.

Owns the choice of the sidecars that lie beside an image now, and their places elsewhere. Each step
can be repeated after a crash. Refuses to take a sidecar from another image that it belongs to and
that lies there, one that a process writes or that is larger than any sidecar, and to overwrite.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, faults
from sharpend.commit.names import numbered
from sharpend.commit.relocate import Move, duplicate, relocate
from sharpend.commit.results import NOTHING, Followed
from sharpend.commit.source import leased_source
from sharpend.errors import ImageRefusedError, Reason, TransientError
from sharpend.files.attributes import copy_attributes
from sharpend.files.beneath import DirectoryEntry, directory
from sharpend.files.fingerprint import display
from sharpend.files.lease import Writers
from sharpend.files.mounts import mount_of
from sharpend.files.sidecars import belongs_to, core, is_own, possible_sidecars, renamed
from sharpend.intake.junk import ignored
from sharpend.policies import ExistingPolicy, Sidecars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.files.access import Access
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.records import Product

SETTLED_S = 2.0
"""A sidecar that changed later may be half a file: its writer can open it again."""
UNLEASED_SETTLED_S = 10.0
"""The same if the system does not tell who has it open."""
_NO_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
"""Answers to a name that no file can have, such as one of 254 bytes with a suffix more."""
MOST_BYTES = 64_000_000
"""A larger file is no sidecar; masks in XMP take some megabytes."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A sidecar in the folder of its image."""

    relative: bytes
    """Path below the input folder."""
    fingerprint: Fingerprint

    @property
    def name(self) -> bytes:
        """Return its name without the folders."""
        return os.path.basename(self.relative)


def archive_sidecars(
    destination: Destination, image: bytes, archived: bytes | None, temp_name: bytes
) -> Followed:
    """Move the sidecars of an archived image beside it.

    Args:
        destination: of the folder.
        image: path that the image had below the input folder.
        archived: path of the image below the archive; None if it is not there.
        temp_name: name of an unfinished copy in an archive on another file system.

    Raises:
        FolderFaultError: the archive or the input folder cannot be worked on.
        TransientError: a sidecar may be moved later; a process has it open for writing.
    """
    root = destination.archive_root
    if root is None or archived is None or destination.sidecars is Sidecars.LEAVE:
        return NOTHING
    parent, new_name = os.path.split(archived)
    paths, refusals = list[bytes](), list[str]()
    for one in _sidecars(destination, image, alone=True):
        preferred = renamed(one.name, os.path.basename(image), new_name)
        suffix = os.path.splitext(one.name)[1]
        places = chain(
            [os.path.join(parent, preferred)],
            numbered(root, archived + suffix),
        )
        with _noting_refusal(one, refusals), _moving(destination, one, temp_name) as move:
            with faults(destination, root, "archive"):
                portable = numbered(root, archived + suffix, portable=True)
                otherwise = portable if destination.portable_names else None
                place = relocate(move, root, places, otherwise)
            paths += [] if place is None else [place]
    return Followed(tuple(paths), tuple(refusals))


def copy_sidecars(
    destination: Destination, image: bytes, product: Product, temp_name: bytes
) -> Followed:
    """Copy the sidecars of an image beside its output, under the output's name.

    A file that has that name and another content stays, unless `existing = "replace"`.

    Args:
        destination: of the folder.
        image: path of the image below the input folder.
        product: its output; nothing is copied beside an existing file that was kept.
        temp_name: name of an unfinished copy.

    Raises:
        FolderFaultError: the output or the input folder cannot be worked on.
        TransientError: a sidecar may be copied later; a process has it open for writing.
    """
    if product.kept_existing or destination.sidecars is not Sidecars.COPY:
        return NOTHING
    name, (parent, new_name) = os.path.basename(image), os.path.split(product.output)
    paths, refusals = list[bytes](), list[str]()
    replaces = destination.existing is ExistingPolicy.REPLACE
    for one in _sidecars(destination, image, alone=False):
        place = os.path.join(parent, renamed(one.name, name, new_name))
        with _noting_refusal(one, refusals), _moving(destination, one, temp_name) as move:
            root = destination.output_root
            with faults(destination, root, "output"):
                given = replace(move, complete=partial(_give, destination.access))
                is_there = duplicate(given, root, place, replaces=replaces)
            if is_there:
                paths.append(place)
            else:
                refusals.append(f"{display(one.name)} was not copied: another file has its place")
    return Followed(tuple(paths), tuple(refusals))


def sidecars_alone(fd: int, image: bytes) -> list[tuple[bytes, Fingerprint]]:
    """List the sidecars of an image that is gone from an open folder, and of nothing else there.

    Raises:
        OSError: the folder cannot be read.
    """
    found = _looked_up(fd, image)
    if not found:
        return []
    entries = os.listdir(fd)  # a folder may have 100,000, so each is looked at once, and shortly
    return [one for one in found if not _has_another(fd, one[0], entries)]


def _has_another(fd: int, sidecar: bytes, entries: list[str]) -> bool:
    """Return whether a sidecar belongs to one of the entries of an open folder, or will."""
    part = os.fsdecode(core(sidecar))
    similar = (os.fsencode(entry) for entry in entries if part in entry)
    return any(
        belongs_to(sidecar, _without_temporary(name)) and not _is_folder(fd, name)
        for name in similar
    )


def _is_folder(fd: int, name: bytes) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    return False


def _sidecars(destination: Destination, image: bytes, *, alone: bool) -> list[Beside]:
    """List the sidecars beside an image that the folder's patterns do not leave out.

    Args:
        destination: of the folder.
        image: path below the input folder.
        alone: list those that belong to nothing else there; else those named after the image.
    """
    root, (parent, name) = destination.input_root, os.path.split(image)
    with faults(destination, root, "input"), suppress(FileNotFoundError, ImageRefusedError):
        with directory(root, parent) as fd:
            found = sidecars_alone(fd, name) if alone else _looked_up(fd, name)
        named = [one for one in found if alone or is_own(one[0], name)]
        lasts = not (named and mount_of(os.path.join(root, parent)).renumbers)
        placed = [
            Beside(os.path.join(parent, one), fingerprint if lasts else fingerprint.without_inode)
            for one, fingerprint in named
        ]
        return [one for one in placed if not destination.left_alone.leaves_out(one.relative)]
    return []


def _looked_up(fd: int, image: bytes) -> list[tuple[bytes, Fingerprint]]:
    """List the regular files with names of its sidecars; once where upper case is lower case."""
    found: dict[Fingerprint, bytes] = {}
    for name in possible_sidecars(image):
        try:
            fingerprint = DirectoryEntry(fd, name).fingerprint()
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise
            continue
        if fingerprint is not None:
            found.setdefault(fingerprint, name)
    return [(name, fingerprint) for fingerprint, name in found.items()]


def _without_temporary(name: bytes) -> bytes:
    """Return the name that a file will have: `a.CR2` of `a.CR2.part` and of `.a.CR2.x8fA2c`."""
    return os.path.splitext(name.lstrip(b"."))[0] if ignored(name) else name


def _give(access: Access, copy: int, original: int) -> None:
    """Give a copy the permissions of outputs; both files are open."""
    copy_attributes(original, copy)
    access.give_file(copy)
    access.take_after(copy, os.fstat(original))


@contextmanager
def _noting_refusal(sidecar: Beside, refusals: list[str]) -> Iterator[None]:
    """Turn a final error into a text in `refusals`; re-raise an error that may pass."""
    try:
        yield
    except (ImageRefusedError, TransientError) as error:
        if isinstance(error, TransientError) and error.reason is not Reason.PERMISSION_DENIED:
            raise
        refusals.append(f"{display(sidecar.name)} was left: {error}")


@contextmanager
def _moving(destination: Destination, sidecar: Beside, temp_name: bytes) -> Iterator[Move]:
    """Describe the move of a sidecar, which no process writes meanwhile."""
    if sidecar.fingerprint.size > MOST_BYTES:
        raise ImageRefusedError(Reason.TOO_MANY_BYTES, f"it is larger than {MOST_BYTES} bytes")
    root, path = destination.input_root, sidecar.relative
    with (
        faults(destination, root, "input"),
        leased_source(root, path, sidecar.fingerprint) as lease,
    ):
        if lease is None or not _has_settled(root, path, lease.writers):
            raise TransientError(Reason.IO_ERROR, f"{display(path)} is still being written")
        yield Move(root, path, sidecar.fingerprint, temp_name, lease.is_undisturbed)


def _has_settled(root: bytes, path: bytes, writers: Writers) -> bool:
    """Return whether no process writes a file, as far as is known, and its last change is past."""
    parent, name = os.path.split(path)
    with directory(root, parent) as fd:
        changed_s = os.stat(name, dir_fd=fd, follow_symlinks=False).st_ctime
    wait_s = UNLEASED_SETTLED_S if writers is Writers.UNKNOWN else SETTLED_S
    return writers is not Writers.SOME and not 0 <= time.time() - changed_s < wait_s
