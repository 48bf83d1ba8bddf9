"""Which name an output takes, given what already stands in the output folder.

Owns the judgement of a name: free, our own earlier output of the same input, or somebody's file.
Refuses to call a link, a folder, or the output of another input replaceable, whatever the policy.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.beneath import fingerprint_at
from sharpend.commit.destination import Destination, ExistingPolicy, output_names
from sharpend.errors import ImageRefusedError
from sharpend.ledger.records import Owner

if TYPE_CHECKING:
    from sharpend.job import Job
    from sharpend.ledger.reader import LedgerReader

_NAMES_SEARCHED = 1000


class Standing(Enum):
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
    ExistingPolicy.SUFFIX: Standing.TAKEN,
    ExistingPolicy.SKIP: Standing.LEFT_ALONE,
    ExistingPolicy.REPLACE: Standing.REPLACEABLE,
}


def choose(
    ledger: LedgerReader, destination: Destination, job: Job, fd: int
) -> tuple[bytes, Standing]:
    """The output's final name below the output root, and what it is to us.

    An earlier output of the same input keeps its name, so that none is left behind; otherwise
    it is the first name that is not taken.

    Args:
        ledger: knows which outputs are ours.
        destination: the folder's way out.
        job: the input.
        fd: the output's folder, open.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when only a longer name is free.
        OSError: the folder cannot be looked at.
    """
    previous = ledger.previous_output(job.folder, job.relative)
    if (
        previous is not None
        and _could_be_named(destination, job, previous)
        and _standing(ledger, destination, job, (fd, previous)) is Standing.OURS
    ):
        return previous, Standing.OURS
    names = output_names(destination, job.relative)
    while True:
        output = next(names)
        standing = _standing(ledger, destination, job, (fd, output))
        if standing is not Standing.TAKEN:
            return output, standing


def _could_be_named(destination: Destination, job: Job, output: bytes) -> bool:
    """Today's template could have made this name; one that could not is no output any more."""
    with suppress(ImageRefusedError):
        return output in islice(output_names(destination, job.relative), _NAMES_SEARCHED)
    return False


def _standing(
    ledger: LedgerReader, destination: Destination, job: Job, at: tuple[int, bytes]
) -> Standing:
    fd, output = at
    try:
        existing = fingerprint_at(fd, os.path.basename(output))
    except FileNotFoundError:
        return Standing.FREE
    if existing is None:
        return Standing.TAKEN
    owner = ledger.output_owner(job.folder, existing)
    if owner is None:
        return _FOREIGN[destination.existing]
    return Standing.OURS if owner == Owner(job.folder, job.relative) else Standing.TAKEN
