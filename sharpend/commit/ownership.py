"""Ownership of output names: choose the name of an output by the files that exist already.

Owns the status of a name: free, an earlier output of the same input, or another file. A foreign
file with the same bytes as the new output counts as this output, so that a second daemon, or one
whose state was lost, makes no double. Refuses to replace a link, a folder, or the output of another
input, whatever the policy; `collision` decides whether the input then gets a numbered name or is
refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, NameStatus, output_names
from sharpend.errors import ImageRefusedError, Reason
from sharpend.files.fingerprint import display
from sharpend.ledger.records import Owner
from sharpend.policies import CollisionPolicy, ExistingPolicy

if TYPE_CHECKING:
    from sharpend.commit.interface import CommitPlace, OutputFolder
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.reader import LedgerReader
    from sharpend.ledger.records import Job, Product

_NAMES_SEARCHED = 1000


_FOREIGN = {
    ExistingPolicy.SUFFIX: NameStatus.TAKEN,
    ExistingPolicy.SKIP: NameStatus.LEFT_ALONE,
    ExistingPolicy.REPLACE: NameStatus.REPLACEABLE,
}


def choose(
    ledger: LedgerReader,
    destination: Destination,
    job: Job,
    at: tuple[CommitPlace, OutputFolder],
    staged: Product | None = None,
) -> tuple[bytes, NameStatus]:
    """Choose the output's name below the output root, and return it with its status.

    An earlier output of the same input is replaced, so its name is kept; otherwise the first name
    that is not taken is chosen.

    Args:
        ledger: holds the outputs of all inputs.
        destination: of the job's folder.
        job: the input.
        at: place of the outputs, and the folder of the output.
        staged: the new output under its temporary name, if it is there already.

    Raises:
        ImageRefusedError: NAME_TAKEN, when another input has the name and the policy is to refuse;
            NAME_TOO_LONG, when only a longer name is free.
        OSError: the folder cannot be read.
    """
    previous = ledger.previous_output(job.folder, job.relative)
    if (
        previous is not None
        and _matches_template(destination, job, previous)
        and _status_of(ledger, destination, job, (*at, previous))[0] is NameStatus.OURS
    ):
        return previous, NameStatus.OURS
    names = output_names(destination, job.relative)
    while True:
        output = next(names)
        status, owner = _status_of(ledger, destination, job, (*at, output))
        if owner is not None and destination.collision is CollisionPolicy.REFUSE:
            raise _name_taken(output, owner)
        if status is NameStatus.TAKEN and owner is None and _is_equal(staged, at[1], output):
            status = NameStatus.EQUAL
        if status is not NameStatus.TAKEN:
            return output, status


def _matches_template(destination: Destination, job: Job, output: bytes) -> bool:
    """Return whether the current template can make this name."""
    with suppress(ImageRefusedError):
        return output in islice(output_names(destination, job.relative), _NAMES_SEARCHED)
    return False


def _status_of(
    ledger: LedgerReader,
    destination: Destination,
    job: Job,
    at: tuple[CommitPlace, OutputFolder, bytes],
) -> tuple[NameStatus, Owner | None]:
    """Return the status of a name, and the other input that has it, if any."""
    place, folder, output = at
    me = Owner(job.folder, job.relative)
    try:
        existing, free = folder.fingerprint(os.path.basename(output)), False
    except FileNotFoundError:
        existing, free = None, True
    owner = _owner(ledger, destination, me, (place, output, existing))
    if owner is not None:
        return (NameStatus.OURS, None) if owner == me else (NameStatus.TAKEN, owner)
    if existing is not None:
        return _FOREIGN[destination.existing], None
    return NameStatus.FREE if free else NameStatus.TAKEN, None


def _is_equal(staged: Product | None, folder: OutputFolder, output: bytes) -> bool:
    """Return whether the file at a name has the bytes of the staged file; they are durable then."""
    name = os.path.basename(output)
    if staged is None or not staged.temp:
        return False
    with suppress(OSError):  # a file that cannot be read is a foreign one
        existing = folder.fingerprint(name)
        if existing is not None and existing.size == staged.fingerprint.size:
            return folder.is_equal(staged.temp, name)
    return False


def _owner(
    ledger: LedgerReader,
    destination: Destination,
    me: Owner,
    at: tuple[CommitPlace, bytes, Fingerprint | None],
) -> Owner | None:
    """Return the input whose output has this name: this one, another one, or None.

    This input owns it if the file is unchanged since it was made. Another input owns it if the file
    is its output, or if its output exists, changed or not, under this name or an equivalent one.
    Names that differ in case or in Unicode normal form are equivalent where both lead to one file,
    as on a case-insensitive disk, and always with `portable_names`. Only names in the ledger are
    compared: other files are found by looking up the name itself.
    """
    place, output, existing = at
    if existing is None and not destination.portable_names:
        return None
    claims = ledger.claims(me.folder, output)
    mine = [claim for claim in claims if claim.owner == me and claim.output == output]
    if any(claim.fingerprint.same_content(existing) for claim in mine):
        return me
    if existing is not None and (maker := ledger.output_owner(me.folder, existing)) is not None:
        return maker
    for claim in claims:
        if claim.owner == me:
            continue
        there = _fingerprint(place, destination.output_root, claim.output)
        if there is not None and (destination.portable_names or there.same_content(existing)):
            return claim.owner
    return None


def _fingerprint(place: CommitPlace, root: bytes, output: bytes) -> Fingerprint | None:
    """Return the fingerprint of the output at a path below a root, or None."""
    parent, name = os.path.split(output)
    with suppress(FileNotFoundError, ImageRefusedError), place.outputs(root, parent) as folder:
        return folder.fingerprint(name)
    return None


def _name_taken(output: bytes, owner: Owner) -> ImageRefusedError:
    return ImageRefusedError(
        Reason.NAME_TAKEN,
        f"the output's name {display(output)!r} belongs to the output of"
        f" {display(owner.relative)!r}",
        setting="folder.collision",
    )
