"""Installations that write one output folder: each logs the others.

Owns the record of the state directories that have worked on an output folder. On a disk it is an
extended attribute of the folder, `user.sharpend.states`, so that no extra file is among the
outputs; in object storage it is an object, `.sharpend-states.json`, which is written only under the
condition that nobody else has written it meanwhile. Errors are ignored: where the record cannot be
kept, no installation is reported.
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from sharpend.files.fingerprint import display
from sharpend.files.objects.bucket import Bucket
from sharpend.files.remote import is_remote
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.commit.destination import Destination
    from sharpend.ledger.reader import LedgerReader
    from sharpend.logs.logs import Log

ATTRIBUTE = "user.sharpend.states"
OBJECT = b".sharpend-states.json"
CHECK_EVERY_S = 60.0
_RENEW_AFTER_S = 86_400.0
_FORGET_AFTER_S = 30 * 86_400.0
_MOST_BYTES = 2000
"""Below the 4 KiB that ext4 has for all attributes of a folder."""
_TRIES = 5
"""Of a change to the record, while other installations change it."""
_LAST_S = 10.0
"""Longest wait for a request in progress at the end."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One installation, as the attribute names it."""

    host: str
    state: str
    """Absolute path of its state directory on that host."""
    at_s: float
    """Wall clock in seconds; renewed once a day."""


class Record(Protocol):
    """Record of the installations by name; every method raises OSError."""

    def read(self) -> dict[str, Writer]:
        """Read it; empty where there is none that is valid."""

    def write(self, writers: Mapping[str, Writer]) -> None:
        """Replace what was read; FileExistsError if another installation has replaced it."""


class OutputWriters:
    """The installations that write the output of one folder; called from one thread.

    Object storage is asked in a thread of its own.

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
        root = destination.output_root
        self._record: Record = ObjectRecord(root) if is_remote(root) else AttributeRecord(root)
        self._thread: threading.Thread | None = None
        self._found: queue.SimpleQueue[Mapping[str, Writer]] = queue.SimpleQueue()

    def check(self, now_s: float) -> None:
        """Log each other installation once, and name this one; once a minute."""
        self._log_found()
        if now_s < self._check_at_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._check_at_s = now_s + CHECK_EVERY_S
        if is_remote(self._destination.output_root):
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        else:
            self._look()
            self._log_found()

    def close(self) -> None:
        """Wait for a request in progress, and log what it has found."""
        if self._thread is not None:
            self._thread.join(_LAST_S)
        self._log_found()

    def _look(self) -> None:
        """Find the other installations, and name this one."""
        for _ in range(_TRIES):
            try:
                self._found.put(self._others(time.time()))
            except FileExistsError:
                continue
            except OSError:
                pass
            return

    def _others(self, at_s: float) -> Mapping[str, Writer]:
        written = self._record.read()
        others = {name: one for name, one in written.items() if self._is_other(name, one, at_s)}
        mine = written.get(self._name)
        if mine is None or mine.state != self._state or at_s - mine.at_s > _RENEW_AFTER_S:
            self._record.write(others | {self._name: Writer(self._host, self._state, at_s)})
        return others

    def _log_found(self) -> None:
        while not self._found.empty():
            others = self._found.get()
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


class AttributeRecord:
    """Record in an extended attribute: see `Record`.

    Args:
        root: of the output folder.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root

    def read(self) -> dict[str, Writer]:
        """Read the attribute."""
        with suppress(OSError, AttributeError):  # macOS has no getxattr
            return _parsed(os.getxattr(self._root, ATTRIBUTE))
        return {}

    def write(self, writers: Mapping[str, Writer]) -> None:
        """Replace the attribute."""
        with suppress(AttributeError):
            os.setxattr(self._root, ATTRIBUTE, _text(writers))


class ObjectRecord:
    """Record in an object: see `Record`.

    Args:
        root: of the output folder.
    """

    def __init__(self, root: bytes) -> None:
        self._bucket = Bucket(root)
        self._key = self._bucket.address.key(OBJECT)
        self._etag: str | None = None
        """Of the record that was read last; None: there was none."""

    def read(self) -> dict[str, Writer]:
        """Read the object."""
        self._etag = None
        with suppress(FileNotFoundError), self._bucket.opened(self._key) as (found, chunks):
            self._etag = found.etag
            return _parsed(next(iter(chunks), b""))
        return {}

    def write(self, writers: Mapping[str, Writer]) -> None:
        """Replace the object, if it is the one that was read."""
        self._bucket.put(self._key, _text(writers), replaces=self._etag)


def _parsed(text: bytes) -> dict[str, Writer]:
    with suppress(ValueError, TypeError, KeyError):
        return {
            name: Writer(str(one["host"]), str(one["state"]), float(one["at_s"]))
            for name, one in dict(json.loads(text)).items()
        }
    return {}


def _text(writers: Mapping[str, Writer]) -> bytes:
    """Format a record; the oldest installations are left out where all are too many."""
    kept = sorted(writers.items(), key=lambda pair: pair[1].at_s)
    while len(text := json.dumps({name: asdict(one) for name, one in kept})) > _MOST_BYTES:
        kept.pop(0)
    return text.encode()
