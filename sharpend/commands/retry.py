"""`sharpend retry`: make quarantined images pending again; a running daemon picks them up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.commands.overrides import used_state_of
from sharpend.daemon.operations import Retries
from sharpend.errors import ExitCode, InputMissingError, SharpendError
from sharpend.files.fingerprint import display
from sharpend.ledger.opening import open_beside
from sharpend.logs.plain import printable
from sharpend.settings.sources import located

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from sharpend.commit.destination import Destination
    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.reader import LedgerReader
    from sharpend.ledger.records import Quarantined


def main(options: argparse.Namespace) -> int:
    """Make quarantined images pending again, and with --all finished ones too.

    Raises:
        InputMissingError: a path is no input that the ledger knows, or there is no ledger.
    """
    state_dir = used_state_of(options)
    with open_beside(state_dir) as ledger:
        retries = Retries(ledger, state_dir)
        again, failed, met = 0, 0, set()
        destinations = retries.destinations
        wanted = {
            _input_of(ledger, destinations, os.fsencode(located(path))) for path in options.paths
        }
        for entry in ledger.quarantined():
            path = os.path.join(destinations[entry.job.folder].input_root, entry.job.relative)
            named = wanted & {path, entry.moved, entry.note}
            if wanted and not named:
                continue
            met |= named
            if _retried(retries, entry):
                again += 1
            else:
                failed += 1
        if options.all:
            again += _finished_again(ledger, destinations, wanted, met)
    if wanted - met:
        missing = printable(display(min(wanted - met)))
        raise InputMissingError(
            f"{missing}: not in quarantine or, with --all, finished: see `sharpend list`"
        )
    print(f"{again} will be retried" + (f", {failed} cannot be" if failed else ""))
    return ExitCode.SOME_QUARANTINED if failed else ExitCode.OK


def _input_of(ledger: LedgerReader, destinations: Mapping[str, Destination], path: bytes) -> bytes:
    """Return the input whose output is at a path, or the path itself."""
    for name, destination in destinations.items():
        root = destination.output_root + b"/"
        relative = path.removeprefix(root)
        claims = ledger.claims(name, relative) if path.startswith(root) else []
        for claim in claims:
            if claim.output == relative:
                owner = claim.owner
                return os.path.join(destinations[owner.folder].input_root, owner.relative)
    return path


def _retried(retries: Retries, entry: Quarantined) -> bool:
    try:
        retries.retry(entry)
    except SharpendError as error:
        print(printable(str(error)))
        return False
    return True


def _finished_again(
    ledger: Ledger, destinations: dict[str, Destination], wanted: set[bytes], met: set[bytes]
) -> int:
    """Make finished jobs of the wanted paths, or of all folders, pending again."""
    if not wanted:
        return ledger.retry_finished()
    again = 0
    for path in wanted:
        for name, destination in destinations.items():
            root = destination.input_root + b"/"
            if path.startswith(root) and ledger.retry_finished(name, path[len(root) :]):
                met.add(path)
                again += 1
    return again
