"""Ownership of output names: decide the name of an output by what exists in its folder.

Owns the judgement of a name: free, our own earlier output of the same input, or somebody's file.
Refuses to call a link, a folder, or the output of another input replaceable, whatever the policy;
whether such an input gets a number or is refused, `collision` says.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, output_names
from sharpend.errors import ImageRefusedError, Reason
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import display
from sharpend.ledger.records import Owner
from sharpend.policies import CollisionPolicy, ExistingPolicy

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.reader import LedgerReader
    from sharpend.ledger.records import Job

_NAMES_SEARCHED = 1000


class NameStatus(Enum):
    """What a final name is to us."""

    FREE = auto()
    OURS = auto()
    """Our ledger made the file there from the same input: it is replaced."""
    REPLACEABLE = auto()
    """A foreign file, and the policy is to replace it."""
    LEFT_ALONE = auto()
    """A foreign file, and the policy is to skip the input."""
    TAKEN = auto()


_FOREIGN = {
    ExistingPolicy.SUFFIX: NameStatus.TAKEN,
    ExistingPolicy.SKIP: NameStatus.LEFT_ALONE,
    ExistingPolicy.REPLACE: NameStatus.REPLACEABLE,
}


def choose(
    ledger: LedgerReader, destination: Destination, job: Job, fd: int
) -> tuple[bytes, NameStatus]:
    """The output's final name below the output root, and what it is to us.

    An earlier output of the same input keeps its name, so that none is left behind; otherwise
    it is the first name that is not taken.

    Args:
        ledger: knows which outputs are ours.
        destination: the folder's way out.
        job: the input.
        fd: the output's folder, open.

    Raises:
        ImageRefusedError: NAME_TAKEN, when another input has the name and the policy is to refuse;
            NAME_TOO_LONG, when only a longer name is free.
        OSError: the folder cannot be looked at.
    """
    previous = ledger.previous_output(job.folder, job.relative)
    if (
        previous is not None
        and _could_be_named(destination, job, previous)
        and _status_of(ledger, destination, job, (fd, previous))[0] is NameStatus.OURS
    ):
        return previous, NameStatus.OURS
    names = output_names(destination, job.relative)
    while True:
        output = next(names)
        status, owner = _status_of(ledger, destination, job, (fd, output))
        if owner is not None and destination.collision is CollisionPolicy.REFUSE:
            raise _name_taken(output, owner)
        if status is not NameStatus.TAKEN:
            return output, status


def _could_be_named(destination: Destination, job: Job, output: bytes) -> bool:
    """Today's template could have made this name; one that could not is no output any more."""
    with suppress(ImageRefusedError):
        return output in islice(output_names(destination, job.relative), _NAMES_SEARCHED)
    return False


def _status_of(
    ledger: LedgerReader, destination: Destination, job: Job, at: tuple[int, bytes]
) -> tuple[NameStatus, Owner | None]:
    """What a name is to us, and which other input has it, if that is why it is taken."""
    fd, output = at
    me = Owner(job.folder, job.relative)
    try:
        existing, free = fingerprint_at(fd, os.path.basename(output)), False
    except FileNotFoundError:
        existing, free = None, True
    owner = _owner(ledger, destination, me, (output, existing))
    if owner is not None:
        return (NameStatus.OURS, None) if owner == me else (NameStatus.TAKEN, owner)
    if existing is not None:
        return _FOREIGN[destination.existing], None
    return NameStatus.FREE if free else NameStatus.TAKEN, None


def _owner(
    ledger: LedgerReader,
    destination: Destination,
    me: Owner,
    at: tuple[bytes, Fingerprint | None],
) -> Owner | None:
    """Whose output has this name, if anybody's: mine as it was made, or another input's.

    Another input has it if it made the file, or if its own output, under this name or a twin,
    still stands, edited or not. A twin counts where both names lead to one file, as on a disk that
    does not tell upper from lower case, and everywhere with `portable_names`. Only names in the
    ledger are compared: what else lies in the folder is met under its own name, by looking it up.
    """
    output, existing = at
    if existing is None and not destination.portable_names:
        return None
    claims = ledger.claims(me.folder, output)
    mine = [claim for claim in claims if claim.owner == me and claim.output == output]
    if any(claim.fingerprint.same_content(existing) for claim in mine):
        return me
    if existing is not None and (maker := ledger.output_owner(me.folder, existing)) is not None:
        return maker
    for claim in claims:
        there = _file(destination.output_root, claim.output) if claim.owner != me else None
        if there is not None and (destination.portable_names or there.same_content(existing)):
            return claim.owner
    return None


def _file(root: bytes, relative: bytes) -> Fingerprint | None:
    """The regular file there, or None."""
    parent, name = os.path.split(relative)
    with suppress(FileNotFoundError, ImageRefusedError), directory(root, parent) as fd:
        return fingerprint_at(fd, name)
    return None


def _name_taken(output: bytes, owner: Owner) -> ImageRefusedError:
    return ImageRefusedError(
        Reason.NAME_TAKEN,
        f"the output's name {display(output)!r} belongs to the output of"
        f" {display(owner.relative)!r}",
        setting="folder.collision",
    )
