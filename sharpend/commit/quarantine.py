"""Quarantine: move inputs that cannot be sharpened, write their reason files, restore on retry.

Owns `quarantine/<folder>/<path>` and `<path>.reason.json` below the state directory. The reason
file is written at once. With `source = "keep"` that is all; otherwise the source is moved there,
never over another file; one in object storage stays where it is. A source that may be half a file
is moved after it stayed unchanged for `quiet_s`. The ledger records each step first, so that a
crash can be repaired. Refuses to move a source that is no longer the file that was refused, or that
a process has open for writing. After how many failures an image is refused is decided in
`daemon.outcomes`.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, TempNames, faults, require_same_root
from sharpend.commit.names import numbered
from sharpend.commit.reason_files import place_of, write_reason
from sharpend.commit.relocate import Move, relocate
from sharpend.commit.source import leased_source
from sharpend.errors import ImageRefusedError, SourceVanishedError
from sharpend.files.atomic import try_to_write
from sharpend.files.beneath import directory, fingerprint_at
from sharpend.files.fingerprint import display
from sharpend.files.lease import Lease, Writers
from sharpend.files.remote import is_remote
from sharpend.ledger.records import Quarantined
from sharpend.ledger.store import translated
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.ledger import Ledger
    from sharpend.ledger.records import Job, QuarantineReason

_IMMOVABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors after which a source stays where it is; its reason file is written all the same."""
_NOT_NOW = {errno.EIO, errno.ESTALE, errno.EBUSY}
"""The same, but the move is tried again after `quiet_s`."""
QUIET_S = 300.0
"""Default of the seconds that a refused source stays in its place, unchanged."""
UNLEASED_FACTOR = 4.0
"""Factor on `quiet_s` if the system does not report who has the source open."""
_AT_ONCE = 20
"""Most sources that one call of `move_due` moves: the main loop waits for it."""


class Quarantine:
    """The quarantine of one state directory.

    `at` is called with the name of each step after it, so that tests can simulate a crash there:
    recorded, moved, written, noted; in a retry restored, removed.

    Every method raises StateFaultError if the state directory cannot be written.

    Args:
        ledger: records each step.
        state_dir: the quarantine is a folder in it.
        names: of temporary files.
        at: see above.
        quiet_s: seconds that a source which may be half a file must stay unchanged.
    """

    def __init__(
        self,
        ledger: Ledger,
        state_dir: Path,
        names: TempNames,
        at: Callable[[str], None] = lambda _: None,
        *,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._ledger = ledger
        self._quiet_s = quiet_s
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
        """Write the reason file, and move the source if it may leave; every step can be repeated.

        Returns:
            The absolute path of the reason file.
        """
        return self._carry_out(destination, entry, entry.at_s, waited=False)

    def move_due(self, destination: Destination, now_s: float) -> None:
        """Move the refused sources of a folder that stayed unchanged long enough, some at a time.

        Args:
            destination: of the folder.
            now_s: wall clock in seconds.

        Raises:
            FolderFaultError: the input folder is missing or was replaced.
        """
        due = self._ledger.leaving(destination.folder, now_s, _AT_ONCE)
        if due:  # only then: a file system that does not respond would hold up all folders
            require_same_root(destination, destination.input_root, "input")
        for entry in due:
            self._carry_out(destination, entry, now_s, waited=True)

    def postpone(self, now_s: float) -> None:
        """Restart the wait of all refused sources, because the wall clock was set."""
        self._ledger.postpone_leaving(now_s + UNLEASED_FACTOR * self._quiet_s)

    def _carry_out(
        self, destination: Destination, entry: Quarantined, now_s: float, *, waited: bool
    ) -> bytes:
        with translated(self._state_dir):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            moved, leaves_at = self._move_in(destination, entry, now_s, waited=waited)
            self._at("moved")
            note = entry.note
            if moved is not None or note is None:
                note = write_reason(self.root, moved, destination, entry)
                if entry.note not in {None, note}:
                    os.unlink(entry.note)
        self._at("written")
        self._ledger.noted(entry.job, note, moved and os.path.join(self.root, moved), leaves_at)
        self._at("noted")
        return note

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

    def _move_in(
        self, destination: Destination, entry: Quarantined, now_s: float, *, waited: bool
    ) -> tuple[bytes | None, float | None]:
        """Move the source into the quarantine, if it may leave now.

        Returns:
            Its new path below the quarantine, or None if it stays; and when to try again, or None
            if it stays for good, by policy or after an error.
        """
        if destination.source is SourcePolicy.KEEP or is_remote(destination.input_root):
            return None, None
        job = entry.job
        try:
            with leased_source(destination.input_root, job.relative, job.fingerprint) as lease:
                wait_s = self._wait_s(lease, entry, waited=waited)
                if wait_s:
                    return None, now_s + wait_s
                move = Move(
                    destination.input_root,
                    job.relative,
                    job.fingerprint,
                    self._names.new(job.id),
                    lambda: lease is None or lease.is_undisturbed(),
                )
                names = numbered(self.root, place_of(job))
                portable = numbered(self.root, place_of(job), portable=True)
                return relocate(move, self.root, names, portable), None
        except ImageRefusedError:
            return None, None
        except OSError as error:
            if error.errno in _NOT_NOW:
                return None, now_s + self._quiet_s
            if error.errno in _IMMOVABLE:
                return None, None
            raise

    def _wait_s(self, lease: Lease | None, entry: Quarantined, *, waited: bool) -> float:
        """Return how long the source must stay in its place from now on; 0 if it may leave.

        Args:
            lease: on the source; None if it is missing or has changed, so that nothing is moved.
            entry: the refusal.
            waited: the source stayed unchanged for as long as this method had asked for.
        """
        if lease is None:
            return 0.0
        if lease.writers is Writers.SOME:
            return self._quiet_s
        if lease.writers is Writers.UNKNOWN:
            return 0.0 if waited else UNLEASED_FACTOR * self._quiet_s
        return 0.0 if waited or entry.refusal.reason.is_final else self._quiet_s

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
