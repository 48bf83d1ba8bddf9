"""Removal of stale temporary files and uploads: staged files of workers that died.

Refuses to remove a file of another installation, and one that an unfinished commit still needs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.files.objects.uploads import Uploads
from sharpend.files.remote import STORE_FAULT
from sharpend.ledger.records import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.commit.destination import TempNames
    from sharpend.ledger.reader import LedgerReader


def remove_stale_temps(
    ledger: LedgerReader, names: TempNames, root: bytes, go_on: Callable[[], bool] = lambda: True
) -> int:
    """Remove the stale temporary files below a root; call at start, after `Committer.recover`.

    Args:
        ledger: its staged jobs, those of paused folders, keep their files.
        names: of this installation.
        root: may be missing or unreadable: then nothing is removed.
        go_on: asked in each folder; False ends the walk.

    Returns:
        The number of files removed.
    """
    wanted = {product.temp for _, product in ledger.unfinished(State.STAGED)}
    removed = 0
    with suppress(OSError):
        for _, _, files, folder_fd in os.fwalk(root, follow_symlinks=False):
            if not go_on():
                break
            for name in files:
                if names.is_ours(name) and name not in wanted:
                    with suppress(OSError):
                        os.unlink(name, dir_fd=folder_fd)
                        removed += 1
    return removed


def remove_stale_uploads(
    ledger: LedgerReader, spool: bytes | None, go_on: Callable[[], bool] = lambda: True
) -> int:
    """Drop what stale attempts left in object storage and in the spool; call as the function above.

    Args:
        ledger: its staged jobs keep their uploads.
        spool: None: no folder is in object storage.
        go_on: asked before each attempt; False ends it.

    Returns:
        The number of attempts that were dropped.
    """
    if spool is None:
        return 0
    wanted = {product.temp for _, product in ledger.unfinished(State.STAGED)}
    uploads = Uploads(spool)
    stale = [temp for temp in uploads.attempts() if temp not in wanted]
    for temp in stale:
        with suppress(OSError):
            uploads.unstage(temp)
    return drop(uploads, stale, go_on)


def drop(uploads: Uploads, temps: Sequence[bytes], go_on: Callable[[], bool]) -> int:
    """Drop the uploads of attempts that are over; return how many could be dropped.

    What cannot be dropped stays on record, in `Uploads.leftovers`; where the store as a whole
    fails, the rest does too, for each try would wait.
    """
    dropped = 0
    for temp in temps:
        if not go_on():
            break
        try:
            uploads.discard(temp)
        except OSError as error:
            if error.errno == STORE_FAULT:
                break
        else:
            dropped += 1
    return dropped
