"""Installations that write one output folder: each logs the others.

Owns an extended attribute of the output folder, `user.sharpend.states`, which names the state
directories that have worked on it: no file of ours lies among the outputs. Errors are
ignored: without support for such attributes, or after an error, no installation is reported.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import display
from sharpend.files.remote import is_remote
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.commit.destination import Destination
    from sharpend.ledger.reader import LedgerReader
    from sharpend.logs.logs import Log

ATTRIBUTE = "user.sharpend.states"
CHECK_EVERY_S = 60.0
_RENEW_AFTER_S = 86_400.0
_FORGET_AFTER_S = 30 * 86_400.0
_MOST_BYTES = 2000
"""Below the 4 KiB that ext4 has for all attributes of a folder."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One installation, as the attribute names it."""

    host: str
    state: str
    """Absolute path of its state directory on that host."""
    at_s: float
    """Wall clock in seconds; renewed once a day."""


class OutputWriters:
    """The installations that write the output of one folder.

    Args:
        destination: of the folder.
        state_dir: of this installation.
        ledger: knows the name of this installation.
        log: for others.
    """

    def __init__(
        self, destination: Destination, state_dir: Path, ledger: LedgerReader, log: Log
    ) -> None:
        self._destination = destination
        self._name = ledger.installation()
        self._host, self._state = os.uname().nodename, os.path.realpath(state_dir)
        self._log = log
        self._logged: set[str] = set()
        self._check_at_s = -math.inf

    def check(self, now_s: float) -> None:
        """Log each other installation once, and name this one; once a minute."""
        if now_s < self._check_at_s:
            return
        self._check_at_s = now_s + CHECK_EVERY_S
        root, at_s = self._destination.output_root, time.time()
        if is_remote(root):  # the condition of each completion keeps two of them apart
            return
        written = read(root)
        others = {name: one for name, one in written.items() if self._is_other(name, one, at_s)}
        mine = written.get(self._name)
        if mine is None or mine.state != self._state or at_s - mine.at_s > _RENEW_AFTER_S:
            write(root, others | {self._name: Writer(self._host, self._state, at_s)})
        for name in others.keys() - self._logged:
            self._logged.add(name)
            self._log_other(others[name])

    def _log_other(self, other: Writer) -> None:
        output = display(self._destination.output_root)
        self._log.warning(
            Event.OUTPUT_SHARED,
            folder=self._destination.folder,
            host=other.host,
            state=other.state,
            message=f"{output} is also written by the sharpend on {other.host} with the state "
            f"directory {other.state}: neither knows the other's outputs, so an image may be made "
            "twice; let one of them work there, or remove a state directory that is not used any "
            "more (setting state)",
        )

    def _is_other(self, name: str, writer: Writer, at_s: float) -> bool:
        """Return whether a name is that of another installation that may still work."""
        if name == self._name or at_s - writer.at_s > _FORGET_AFTER_S:
            return False
        if writer.host != self._host:
            return True
        return writer.state != self._state and _may_exist(writer.state)


def _may_exist(state: str) -> bool:
    """Return False if a state directory of this host is certainly gone."""
    try:
        os.stat(os.path.join(state, "ledger.db"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def read(root: bytes) -> dict[str, Writer]:
    """Read the installations by name; none where there is no valid attribute."""
    invalid = (ValueError, TypeError, KeyError)
    with suppress(OSError, AttributeError, *invalid):  # macOS has no getxattr
        given = dict(json.loads(os.getxattr(root, ATTRIBUTE)))
        return {
            name: Writer(str(one["host"]), str(one["state"]), float(one["at_s"]))
            for name, one in given.items()
        }
    return {}


def write(root: bytes, writers: Mapping[str, Writer]) -> None:
    """Replace the attribute; the oldest installations are left out where all are too many."""
    kept = sorted(writers.items(), key=lambda pair: pair[1].at_s)
    while len(text := json.dumps({name: asdict(one) for name, one in kept})) > _MOST_BYTES:
        kept.pop(0)
    with suppress(OSError, AttributeError):
        os.setxattr(root, ATTRIBUTE, text.encode())
