"""`sharpend pause` and `sharpend resume`: start no image of a folder until it is resumed.

Works like `retry`, on the state directory: a running daemon reads it within seconds, a stopped one
at its next start (`daemon.intended_pauses`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.commands.overrides import used_state_of
from sharpend.daemon import operations
from sharpend.errors import InputMissingError
from sharpend.ledger.opening import open_beside
from sharpend.ledger.reader import ALL_FOLDERS
from sharpend.logs.plain import printable
from sharpend.settings.sources import located

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger


def pause(options: argparse.Namespace) -> int:
    """Pause folders, or all.

    Raises:
        InputMissingError: a folder is unknown, or there is no ledger.
    """
    with open_beside(used_state_of(options)) as ledger:
        names = _names(ledger, options.folders)
        operations.pause(ledger, names)
        for name in names:
            print(f"{name or 'all folders'}: paused; images in progress are finished")
    return 0


def resume(options: argparse.Namespace) -> int:
    """End the pause of folders, or every pause.

    Raises:
        InputMissingError: a folder is unknown, or there is no ledger.
        UsageError: a folder is named while all are paused.
    """
    with open_beside(used_state_of(options)) as ledger:
        names = _names(ledger, options.folders)
        operations.resume(ledger, names)
        for name in names:
            print(f"{name or 'all folders'}: resumed")
    return 0


def _names(ledger: Ledger, wanted: list[Path]) -> list[str]:
    """Return the names of folders that are given by name or by the path of their input."""
    known = dict(ledger.folders())
    by_path = {roots[0]: name for name, roots in known.items()}
    names = []
    for one in wanted:
        name = str(one) if str(one) in known else by_path.get(os.fsencode(located(one)))
        if name is None:
            names_known = ", ".join(sorted(known)) or "none"
            raise InputMissingError(printable(f"{one}: no such folder; known are {names_known}"))
        names.append(name)
    return names or [ALL_FOLDERS]
