"""`sharpend list`: list the images that wait, are in quarantine, or are done."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from sharpend.commands.overrides import used_state_of
from sharpend.errors import InputMissingError
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.logs.plain import plain, printable

if TYPE_CHECKING:
    import argparse

    from sharpend.ledger.records import Listed

STATES = {
    "waiting": (State.PENDING, State.RUNNING, State.STAGED, State.DEFERRED),
    "quarantined": (State.QUARANTINED,),
    "done": (State.DONE, State.DISPOSED),
}
"""States in the ledger by the word of the command line."""


def main(options: argparse.Namespace) -> int:
    """Print one line per image: the time of its state, its path, and the cause.

    Raises:
        InputMissingError: there is no ledger, or no such folder in it.
    """
    with LedgerReader.read_only(used_state_of(options)) as ledger:
        roots = dict(ledger.folders())
        if options.folder is not None and options.folder not in roots:
            known = ", ".join(roots) or "none"
            raise InputMissingError(f"--folder: {options.folder}: no such folder; known: {known}")
        for listed in ledger.listed(*STATES[options.which]):
            if options.folder in {None, listed.job.folder}:
                values = _values(listed, *roots[listed.job.folder])
                print(json.dumps(plain(values)) if options.json else _text(listed, values))
    return 0


def _values(listed: Listed, input_root: bytes, output_root: bytes) -> dict[str, object]:
    output = listed.output
    return {
        "input": os.path.join(input_root, listed.job.relative),
        "output": output and os.path.join(output_root, output),
        "folder": listed.job.folder,
        "state": listed.job.state,
        "reason": listed.reason,
        "message": listed.message,
        "setting": listed.setting,
        "attempts": listed.job.attempts,
        "since": listed.since_s,
        "next_attempt": listed.next_s,
        "reason_file": listed.note,
    }


def _text(listed: Listed, values: dict[str, object]) -> str:
    """Format one image for people, in local time."""
    why = f": {listed.reason}: {listed.message}" if listed.reason else ""
    return printable(f"{local_time(listed.since_s)}  {plain(values['input'])}{why}")


def local_time(at_s: float) -> str:
    """Format a wall-clock time in the local time zone, with its offset."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at_s))
