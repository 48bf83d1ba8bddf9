"""Inputs in the configured folders now, and their records in the ledger.

Reads names and status of files only, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.commit.places import place_of
from sharpend.daemon import settings_values
from sharpend.errors import InputMissingError
from sharpend.files.fingerprint import display
from sharpend.files.objects.uploads import Uploads
from sharpend.intake.tally import Found, Tally
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.ledger.store import has_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.commit.destination import Destination
    from sharpend.commit.place import Place
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.intake.interface import FolderOptions
    from sharpend.ledger.records import KnownInput
    from sharpend.settings.schema import Settings

ENDED = frozenset({State.QUARANTINED, State.DONE, State.DISPOSED})
"""States of inputs on which nothing is left to do."""


def found(settings: Settings) -> Iterator[tuple[FolderPlan, list[Found], Tally]]:
    """Iterate over all inputs in batches, with their folder and its tally so far.

    Raises:
        InputMissingError: a place does not list them.
    """
    for plan in settings_values.folder_plans(settings):
        tally, options = Tally(), plan.intake
        place = place_of(options.root, Uploads(settings_values.spool_of(settings)))
        for batch in _inputs(place, options, tally):
            yield plan, batch, tally


def _inputs(place: Place, options: FolderOptions, tally: Tally) -> Iterator[list[Found]]:
    try:
        yield from place.inputs(options, tally)
    except OSError as error:
        text = f"folder.input: {display(options.root)}: {error.strerror}"
        raise InputMissingError(text) from error


def outcomes_of(
    ledger: LedgerReader, destination: Destination, batch: Sequence[Found]
) -> Iterator[KnownInput]:
    """Iterate over the outcomes of those inputs of a folder that have one in the ledger."""
    name = ledger.folder_name(destination.input_root, destination.output_root)
    if name is None:
        return
    # A run compares a file whose inode alone differs by content; here size and time decide.
    entries = [(one.relative, one.fingerprint.without_inode) for one in batch]
    new = set(ledger.unknown(name, entries))  # never seen, or changed since
    yield from ledger.outcomes(name, [one[0] for one in entries if one not in new])


def left_at_start(
    ledger: LedgerReader | None, plan: FolderPlan, batch: Sequence[Found]
) -> set[bytes]:
    """Return the paths of those inputs of a folder that `only_new` skips.

    Before the folder's first start these are all inputs, except files that are named one by one.
    """
    if not plan.only_new:
        return set()
    destination, entries = plan.destination, {(one.relative, one.fingerprint) for one in batch}
    name = (
        ledger.folder_name(destination.input_root, destination.output_root)
        if ledger is not None
        else None
    )
    if ledger is not None and name is not None and ledger.is_surveyed(name):
        entries -= set(ledger.unseen(name, entries))
    elif plan.intake.only is not None:
        return set()
    return {relative for relative, _ in entries}


def number_to_do(settings: Settings) -> int:
    """Count the inputs that are neither finished nor in quarantine nor skipped.

    Raises:
        LedgerError: there is a ledger, and it cannot be read.
    """
    if not has_ledger(settings.state):
        return sum(
            len(batch) - len(left_at_start(None, plan, batch)) for plan, batch, _ in found(settings)
        )
    number = 0
    with LedgerReader.read_only(settings.state) as ledger:
        for plan, batch, _ in found(settings):
            outcomes = outcomes_of(ledger, plan.destination, batch)
            needless = {one.relative for one in outcomes if one.state in ENDED}
            number += len(batch) - len(needless | left_at_start(ledger, plan, batch))
    return number
