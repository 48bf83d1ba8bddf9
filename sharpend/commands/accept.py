"""`sharpend accept`: accept the roots of a folder as they are now, after its disk was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.commands.overrides import used_state_of
from sharpend.errors import UsageError
from sharpend.ledger.opening import is_locked, open_beside
from sharpend.logs.plain import printable

if TYPE_CHECKING:
    import argparse


def main(options: argparse.Namespace) -> int:
    """Forget the recorded disks of a folder; a running daemon accepts those now there in seconds.

    Raises:
        UsageError: the ledger knows no folder of that name.
        InputMissingError: there is no ledger.
    """
    state_dir = used_state_of(options)
    with open_beside(state_dir) as ledger:
        names = [name for name, _ in ledger.folders()]
        if options.folder not in names:
            raise UsageError(
                f"accept: no folder is named {printable(options.folder)}; "
                f"known are {printable(', '.join(names)) or 'none'}"
            )
        ledger.accept_roots(options.folder)
    when = "within seconds" if is_locked(state_dir) else "at the next start"
    text = f"{options.folder}: the disks of its input, output and archive are accepted {when}"
    print(printable(text))
    return 0
