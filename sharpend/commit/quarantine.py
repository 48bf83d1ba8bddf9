"""Inputs that cannot be sharpened: each gets a reason that people can read, and a way back.

Owns `quarantine/<folder>/<path>` and `<path>.reason.json` below the state directory. With
`source = "keep"` only the reason is written; otherwise the source is moved there, never over
another file. The ledger is told first, so that a crash on the way is made good by `recover`.
Refuses to move a source that is no longer the file that was refused.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, TempNames, faults
from sharpend.commit.names import numbered, shortened
from sharpend.commit.relocate import Move, relocate
from sharpend.errors import ImageRefusedError, SourceVanishedError
from sharpend.files.atomic import replacing_at, try_to_write
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import display
from sharpend.ledger.records import Quarantined
from sharpend.ledger.store import translated
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import Job, QuarantineReason

_NOTE_SUFFIX = b".reason.json"
_LONGEST_NAME_BYTES = 200  # leaves room for `-2`, the reason's suffix and a temporary sibling
_IMMOVABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EIO, errno.ESTALE, errno.EBUSY),
}
"""A source that cannot be moved now stays where it is; its reason is written all the same."""


class Quarantine:
    """The quarantine of one state directory.

    `at` is called with the name of each step just after it, for tests to raise in: recorded,
    moved, written, noted; on the way back restored, removed.

    Every method raises StateFaultError where the state directory cannot be written.
    """

    def __init__(
        self,
        ledger: Ledger,
        state_dir: Path,
        names: TempNames,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._state_dir = state_dir
        self.root = os.path.join(os.path.abspath(os.fsencode(state_dir)), b"quarantine")
        self._names = names
        self._at = at

    def probe(self) -> None:
        """Find out whether it can be written; it may lie on a disk of its own."""
        with translated(self._state_dir):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            try_to_write(self.root)

    def record(self, job: Job, refusal: QuarantineReason, now_s: float) -> Quarantined:
        """Give a job up in the ledger: from here on it is quarantined, and its reason is owed."""
        self._ledger.quarantine(job, refusal, now_s)
        self._at("recorded")
        return Quarantined(job, refusal, now_s, None, None)

    def complete(self, destination: Destination, entry: Quarantined) -> bytes:
        """Do on disk what the ledger says; every step can be repeated.

        Returns:
            The absolute path of the reason file.
        """
        place = _place(entry.job)
        with translated(self._state_dir):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            moved = self._take_in(destination, entry.job, place)
            self._at("moved")
            note = self._write((moved or place) + _NOTE_SUFFIX, _told(destination, entry))
        self._at("written")
        absolute = os.path.join(self.root, note)
        self._ledger.noted(entry.job, absolute, moved and os.path.join(self.root, moved))
        self._at("noted")
        return absolute

    def recover(self, destinations: Mapping[str, Destination]) -> int:
        """At start: write the reasons, and make the moves, that a crash cut off; how many."""
        repaired = 0
        for entry in self._ledger.quarantined():
            destination = destinations.get(entry.job.folder)
            if entry.note is None and destination is not None:
                self.complete(destination, entry)
                repaired += 1
        return repaired

    def retry(self, destination: Destination, entry: Quarantined) -> None:
        """Put a moved source back, remove the reason, and make the job pending again.

        Raises:
            SourceVanishedError: the moved source is gone, or another file has taken its place.
        """
        fingerprint = entry.job.fingerprint
        if entry.moved is not None:
            moved = os.path.relpath(entry.moved, self.root)
            fingerprint = self._restore(destination, entry.job, moved)
        self._at("restored")
        if entry.note is not None:
            with translated(self._state_dir), suppress(FileNotFoundError):
                os.unlink(entry.note)
        self._at("removed")
        self._ledger.retry(entry.job, fingerprint)

    def _take_in(self, destination: Destination, job: Job, place: bytes) -> bytes | None:
        """Move the source here; None where it stays, by policy or because it cannot be moved."""
        if destination.source is SourcePolicy.KEEP:
            return None
        move = Move(destination.input_root, job.relative, job.fingerprint, self._names.new(job.id))
        try:
            return relocate(move, self.root, numbered(self.root, place))
        except ImageRefusedError:
            return None
        except OSError as error:
            if error.errno in _IMMOVABLE:
                return None
            raise

    def _write(self, note: bytes, told: Mapping[str, object]) -> bytes:
        """Write the reason; the path below the quarantine where it lies now.

        Where the way leads through a file or a link (a quarantined `a.jpg`, and later a folder of
        that name), the reason lies at the top, under a digest of its path.
        """
        try:
            self._write_at(note, told)
        except ImageRefusedError:
            note = hashlib.sha256(note).hexdigest().encode() + _NOTE_SUFFIX
            self._write_at(note, told)
        return note

    def _write_at(self, note: bytes, told: Mapping[str, object]) -> None:
        parent, name = os.path.split(note)
        with (
            directory(self.root, parent, create=True) as fd,
            replacing_at(fd, name) as file,
        ):
            file.write(json.dumps(told, indent=2).encode() + b"\n")

    def _restore(self, destination: Destination, job: Job, moved: bytes) -> Fingerprint:
        """Move the source back to its own place; the fingerprint that it has there."""
        parent, name = os.path.split(moved)
        meant = job.fingerprint
        with suppress(FileNotFoundError), directory(self.root, parent) as fd:
            meant = fingerprint_at(fd, name) or meant
        move = Move(self.root, moved, meant, self._names.new(job.id))
        with faults(destination, destination.input_root, "input"):
            if relocate(move, destination.input_root, [job.relative]) is None:
                raise SourceVanishedError(
                    f"{display(job.relative)!r} cannot be put back: it is gone from quarantine,"
                    " or another file has taken its place"
                )
            parent, name = os.path.split(job.relative)
            with directory(destination.input_root, parent) as fd:
                return fingerprint_at(fd, name) or meant


def _place(job: Job) -> bytes:
    """Where a job's file belongs below the quarantine; a long name is shortened."""
    folder = os.fsencode(job.folder).replace(b"/", b"_")
    parent, name = os.path.split(job.relative)
    if len(name) > _LONGEST_NAME_BYTES:
        name = shortened(name, _LONGEST_NAME_BYTES)
    return os.path.join(folder, parent, name)


def _told(destination: Destination, entry: Quarantined) -> dict[str, object]:
    """The reason file's content; non-UTF-8 bytes of the path are escaped lone surrogates."""
    return {
        "code": entry.refusal.reason,
        "message": entry.refusal.message,
        "setting": entry.refusal.setting,
        "attempts": entry.job.attempts,
        "source": display(os.path.join(destination.input_root, entry.job.relative)),
        "size": entry.job.fingerprint.size,
        "when": datetime.fromtimestamp(entry.at_s, UTC).isoformat(timespec="seconds"),
    }
