"""`sharpend move`: record in the ledger that a folder has another path now.

Changes the ledger alone: the states of all images stay the same. Works while no daemon uses the
state directory. Refuses a new folder that contains none of the files in the ledger.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.commands.overrides import used_state_of
from sharpend.errors import ExitCode, InputMissingError
from sharpend.files.fingerprint import display
from sharpend.ledger.opening import open_ledger
from sharpend.logs.plain import printable
from sharpend.settings.sources import located

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sharpend.ledger.ledger import Ledger

SAMPLE = 200
"""Most files that are looked for in the new folder."""


def main(options: argparse.Namespace) -> int:
    """Move every folder whose input or output is the old path, or below it.

    Raises:
        InputMissingError: the ledger has no such folder, or the new one does not contain its files.
        StateLockedError: a daemon uses the state directory.
    """
    state_dir = used_state_of(options)
    old, new = (os.fsencode(located(path)) for path in (options.old, options.new))
    with open_ledger(state_dir) as ledger:
        moves = list(_moves(ledger, old, new))
        if not moves:
            raise InputMissingError(_unknown(ledger, old))
        if not os.path.isdir(new):
            raise InputMissingError(f"{display(new)}: no such folder; move the files there first")
        if not options.anyway:
            for name, roots, moved in moves:
                _require_alike(ledger, name, roots, moved)
        for name, _, moved in moves:
            ledger.move_roots(name, *moved)
            print(printable(f"{name}: {display(moved[0])} -> {display(moved[1])}"))
    print("change folder.input and folder.output in the settings to these paths")
    return ExitCode.OK


Roots = tuple[bytes, bytes]
"""Input and output of a folder."""


def _moves(ledger: Ledger, old: bytes, new: bytes) -> Iterator[tuple[str, Roots, Roots]]:
    """List the affected folders: name, old roots, new roots."""
    for name, roots in ledger.folders():
        moved = _moved(roots[0], old, new), _moved(roots[1], old, new)
        if moved != roots:
            yield name, roots, moved


def _moved(root: bytes, old: bytes, new: bytes) -> bytes:
    return new + root[len(old) :] if root == old or root.startswith(old + b"/") else root


def _require_alike(ledger: Ledger, name: str, roots: Roots, moved: Roots) -> None:
    """Look for known files below the new roots.

    Raises:
        InputMissingError: the ledger has files of the folder, and none of them was found.
    """
    for before, after, sample in zip(roots, moved, ledger.sample(name, SAMPLE), strict=True):
        if before == after or not sample:
            continue
        if not any(os.path.lexists(os.path.join(after, relative)) for relative in sample):
            raise InputMissingError(
                f"folder {name}: {display(after)} does not look like {display(before)}: none of "
                f"{len(sample)} known files is there, for example {display(sample[0])!r}; give the "
                "folder that they are in, or --anyway"
            )


def _unknown(ledger: Ledger, old: bytes) -> str:
    known = sorted({display(root) for _, roots in ledger.folders() for root in roots})
    return (
        f"{display(old)}: no folder of this state directory; those are: {', '.join(known)} "
        "(or give another --state)"
    )
