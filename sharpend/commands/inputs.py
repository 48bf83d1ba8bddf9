"""Inputs of the configured folders as they are now, and what the ledger says of them.

Reads names and status of files only, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon import plans
from sharpend.intake import scan
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.ledger.store import has_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.commit.destination import Destination
    from sharpend.daemon.folder import FolderPlan
    from sharpend.ledger.records import Outcome
    from sharpend.settings.load import Settings


def found(settings: Settings) -> Iterator[tuple[FolderPlan, list[scan.Found], scan.Tally]]:
    """Iterate over all inputs in batches, with their folder and its tally so far."""
    for plan in plans.folder_plans(settings):
        tally, options = scan.Tally(), plan.intake
        for batch in scan.inputs(
            options.root, recursive=options.recursive, only=options.only, tally=tally
        ):
            yield plan, batch, tally


def outcomes_of(
    ledger: LedgerReader, destination: Destination, batch: Sequence[scan.Found]
) -> Iterator[Outcome]:
    """Iterate over the outcomes of those inputs of a folder that have one in the ledger."""
    name = ledger.folder_name(destination.input_root, destination.output_root)
    if name is None:
        return
    entries = [(one.relative, one.fingerprint) for one in batch]
    new = set(ledger.unknown(name, entries))  # never seen, or not the files that they were
    yield from ledger.outcomes(name, [one[0] for one in entries if one not in new])


def number_to_do(settings: Settings) -> int:
    """Count the inputs that are neither finished nor in quarantine.

    Raises:
        LedgerError: there is a ledger, and it cannot be read.
    """
    if not has_ledger(settings.state):
        return sum(len(batch) for _, batch, _ in found(settings))
    number = 0
    with LedgerReader.read_only(settings.state) as ledger:
        for plan, batch, _ in found(settings):
            outcomes = outcomes_of(ledger, plan.destination, batch)
            ended = {State.QUARANTINED, State.DONE, State.DISPOSED}
            number += len(batch) - sum(outcome.state in ended for outcome in outcomes)
    return number
