"""Quarantine: move inputs that cannot be sharpened, write their reason files, restore on retry.

Owns `quarantine/<folder>/<path>` and `<path>.reason.json` below the state directory. With
`source = "keep"` only the reason file is written; otherwise the source is moved there, never over
another file. The ledger records it first, so that `recover` can complete it after a crash. Refuses
to move a source that is no longer the file that was refused.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, TempNames, faults, require_same_root
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
_LONGEST_NAME_BYTES = 200  # with room for `-2`, `.reason.json` and the name of a temporary file
_IMMOVABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EIO, errno.ESTALE, errno.EBUSY),
}
"""Errors after which a source stays where it is; its reason file is written all the same."""


class Quarantine:
    """The quarantine of one state directory.

    `at` is called with the name of each step after it, so that tests can simulate a crash there:
    recorded, moved, written, noted; in a retry restored, removed.

    Every method raises StateFaultError if the state directory cannot be written.
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
        """Test whether it can be written; it may be on another disk than the state directory."""
        with translated(self._state_dir):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            try_to_write(self.root)

    def record(self, job: Job, refusal: QuarantineReason, now_s: float) -> Quarantined:
        """Quarantine a job in the ledger; `complete` then does the work on disk.

        Args:
            job: that failed for good.
            refusal: reason, message and setting.
            now_s: wall clock in seconds.
        """
        self._ledger.quarantine(job, refusal, now_s)
        self._at("recorded")
        return Quarantined(job, refusal, now_s, None, None)

    def complete(self, destination: Destination, entry: Quarantined) -> bytes:
        """Move the source and write the reason file; every step can be repeated.

        Returns:
            The absolute path of the reason file.
        """
        place = _place(entry.job)
        with translated(self._state_dir):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            moved = self._move_in(destination, entry.job, place)
            self._at("moved")
            note = self._write((moved or place) + _NOTE_SUFFIX, _reason_of(destination, entry))
        self._at("written")
        absolute = os.path.join(self.root, note)
        self._ledger.noted(entry.job, absolute, moved and os.path.join(self.root, moved))
        self._at("noted")
        return absolute

    def recover(self, destinations: Mapping[str, Destination]) -> int:
        """Complete the entries that a crash interrupted, at start; return how many."""
        repaired = 0
        for entry in self._ledger.quarantined():
            destination = destinations.get(entry.job.folder)
            if destination is None or destination.guard.closed is not None:
                continue
            if entry.note is None:
                self.complete(destination, entry)
                repaired += 1
        return repaired

    def retry(self, destination: Destination, entry: Quarantined) -> None:
        """Move the source back, delete the reason file, and make the job pending again.

        Raises:
            SourceVanishedError: the moved source is missing, or another file has its old path.
            FolderFaultError: the input folder cannot be written.
            TransientError: the source cannot be moved now.
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

    def _move_in(self, destination: Destination, job: Job, place: bytes) -> bytes | None:
        """Move the source into the quarantine; None if it stays, by policy or after an error."""
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

    def _write(self, note: bytes, content: Mapping[str, object]) -> bytes:
        """Write the reason file; return its path below the quarantine.

        If a parent of the path is a file or a link (a quarantined `a.jpg`, and later a folder of
        that name), the reason file is put at the top, named by a digest of its path.
        """
        try:
            self._write_at(note, content)
        except ImageRefusedError:
            note = hashlib.sha256(note).hexdigest().encode() + _NOTE_SUFFIX
            self._write_at(note, content)
        return note

    def _write_at(self, note: bytes, content: Mapping[str, object]) -> None:
        parent, name = os.path.split(note)
        with (
            directory(self.root, parent, create=True) as fd,
            replacing_at(fd, name) as file,
        ):
            file.write(json.dumps(content, indent=2).encode() + b"\n")

    def _restore(self, destination: Destination, job: Job, moved: bytes) -> Fingerprint:
        """Move the source back to its input folder; return its fingerprint there."""
        parent, name = os.path.split(moved)
        meant = job.fingerprint
        with suppress(FileNotFoundError), directory(self.root, parent) as fd:
            meant = fingerprint_at(fd, name) or meant
        move = Move(self.root, moved, meant, self._names.new(job.id))
        require_same_root(destination, destination.input_root, "input")
        with faults(destination, destination.input_root, "input"):
            if relocate(move, destination.input_root, [job.relative]) is None:
                raise SourceVanishedError(
                    f"{display(job.relative)!r} cannot be put back: it is missing in the"
                    " quarantine, or another file has its path"
                )
            parent, name = os.path.split(job.relative)
            with directory(destination.input_root, parent) as fd:
                return fingerprint_at(fd, name) or meant


def _place(job: Job) -> bytes:
    """Return the path of a job's file below the quarantine; a long name is shortened."""
    folder = os.fsencode(job.folder).replace(b"/", b"_")
    parent, name = os.path.split(job.relative)
    if len(name) > _LONGEST_NAME_BYTES:
        name = shortened(name, _LONGEST_NAME_BYTES)
    return os.path.join(folder, parent, name)


def _reason_of(destination: Destination, entry: Quarantined) -> dict[str, object]:
    """Return the content of the reason file; non-UTF-8 bytes of the path become surrogates."""
    return {
        "code": entry.refusal.reason,
        "message": entry.refusal.message,
        "setting": entry.refusal.setting,
        "attempts": entry.job.attempts,
        "source": display(os.path.join(destination.input_root, entry.job.relative)),
        "size": entry.job.fingerprint.size,
        "when": datetime.fromtimestamp(entry.at_s, UTC).isoformat(timespec="seconds"),
    }
