"""Operations on the state directory beside a running daemon: retry, pause, resume.

The command line and the status page use these, so that both do the same. A running daemon takes a
change up within seconds, a stopped one at its next start.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.quarantine import Quarantine
from sharpend.daemon.roots import recall
from sharpend.errors import UsageError
from sharpend.files.mounted_roots import RootGuard
from sharpend.ledger.reader import ALL_FOLDERS
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import Quarantined


class Retries:
    """Retries of quarantined images.

    Args:
        ledger: opened beside a daemon.
        state_dir: its state directory.

    Attributes:
        destinations: roots of the folders, by name.
    """

    def __init__(self, ledger: Ledger, state_dir: Path) -> None:
        self._quarantine = Quarantine(ledger, state_dir, TempNames(state_dir))
        self.destinations = {name: _destination(name, *roots) for name, roots in ledger.folders()}
        for destination in self.destinations.values():
            recall(destination, ledger)

    def retry(self, entry: Quarantined) -> None:
        """Make an image pending again; errors as `Quarantine.retry`."""
        self._quarantine.retry(self.destinations[entry.job.folder], entry)


def _destination(name: str, input_root: bytes, output_root: bytes) -> Destination:
    """Make a minimal destination, enough to put a moved source back."""
    guard = RootGuard(name)
    return Destination(name, input_root, output_root, source=SourcePolicy.KEEP, guard=guard)


def pause(ledger: Ledger, names: Sequence[str]) -> None:
    """Pause folders by name, or `ALL_FOLDERS`."""
    for name in names:
        ledger.pause(name, time.time())


def resume(ledger: Ledger, names: Sequence[str]) -> None:
    """End the pause of folders by name, or with `ALL_FOLDERS` every pause.

    Raises:
        UsageError: a folder is named while all are paused.
    """
    if ALL_FOLDERS not in names and ALL_FOLDERS in ledger.pauses():
        raise UsageError("all folders are paused: `sharpend resume` without a folder ends that")
    for name in names:
        ledger.resume(name)
