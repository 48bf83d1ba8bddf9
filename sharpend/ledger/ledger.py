"""Ledger writer: every state transition of a job, each in one transaction.

Owns every change of a job's state. A move that is not in `records.MOVES` is refused, in one place;
each method is one durable transaction. Refuses to hold jobs in memory, to look at the file system,
and to run beside a second writer of the same state directory.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sharpend.errors import LedgerError
from sharpend.ledger import clean_shutdown, sql
from sharpend.ledger.case_folding import name_key
from sharpend.ledger.operator_state import OperatorState
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import MOVES, Job, State, binary, fingerprint_text, job_of
from sharpend.ledger.registration import Registration
from sharpend.ledger.scheduling import Scheduler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from sharpend.errors import Reason
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.records import Product, QuarantineReason
    from sharpend.ledger.store import Connection, Store

GIVE_UP_AFTER_ORPHANS = 12
"""Deaths of the daemon during attempts at a job after which the job is quarantined."""


class Ledger(Registration, OperatorState, LedgerReader):
    """Write access to the ledger; one process at a time.

    Every method raises LedgerError (StateFaultError where the disk is at fault), and leaves the
    ledger as it was when it raises.

    Attributes:
        rebuilt: the previous ledger was damaged or missing; this one was created empty or is a
            copy, and not all folders were scanned since. Stays True while it is open.
        needs_reconciling: the same, but False after `set_reconciled`.
        recovery_paths: of the damaged ledger (`moved_aside`) and of the `newest_backup`, or None.
    """

    def __init__(self, store: Store, lock_fd: int | None, *, rebuilt: bool = False) -> None:
        super().__init__(store)
        self._lock_fd = lock_fd
        self._scheduler = Scheduler(store)
        self.rebuilt = self.needs_reconciling = rebuilt
        self.recovery_paths: dict[str, Path | None] = {}

    def distrust(self) -> None:
        """Make the next start check the whole file: damage was found."""
        self._store.distrust()

    def close(self) -> None:
        """Close the ledger and unlock the state directory."""
        if self._lock_fd is None:
            super().close()
            return
        if self._store.close_in_order():
            with suppress(OSError):  # then the next start reads the whole file
                clean_shutdown.write_marker(self._store.state_dir)
        os.close(self._lock_fd)
        self._lock_fd = None

    def probe(self) -> None:
        """Test whether the state directory can be written: StateFaultError if not."""
        self._store.probe()

    def set_reconciled(self) -> None:
        """Record that all folders were scanned: the next start need not adopt existing outputs."""
        self._store.set_reconciled()
        self.needs_reconciling = False

    def claim(
        self, now_s: float, folders: Collection[str], newest: Collection[str] = ()
    ) -> Job | None:
        """Start the next due job, as `scheduling` orders them; its attempt is counted.

        A job during which the daemon died three times runs alone: it waits until nothing runs and
        nothing else is due, and while it runs nothing else is claimed. A deferred job is due at its
        time, or when that time is impossibly far off because the clock was set back.

        A death of the machine may lose the claim until the next transaction or `sync`: then the job
        is pending, as a start would make it.

        Args:
            now_s: the wall clock in seconds.
            folders: names of the folders that may work; paused folders are left out.
            newest: those of them whose newest job is next; in the others it is the oldest.
        """
        row = self._scheduler.next(now_s, folders, newest)
        if row is None:
            return None
        with self._store.soon_durable() as cursor:
            self._scheduler.served(row)
            _refuse_illegal(cursor, row["id"], State.RUNNING)
            cursor.execute(sql.CLAIM, {"id": row["id"]})
            return job_of(cursor.execute(sql.BY_ID, (row["id"],)).fetchone())

    def sync(self) -> None:
        """Make claims durable, so that an attempt counts even if it crashes the machine."""
        self._store.sync()

    @contextmanager
    def joined(self, *, waits: bool = True) -> Iterator[None]:
        """Make all changes within a block durable in one transaction, or none of them.

        Without `waits` a death of the machine may lose them, until the next transaction or `sync`.
        """
        with self._store.transaction() if waits else self._store.soon_durable():
            yield

    def release(self, job: Job) -> None:
        """Return a job to pending without counting the attempt: drain, paused folder, redo."""
        self._move(job, State.PENDING, sql.RELEASE)

    def lose(self, job: Job) -> bool:
        """Return a job to pending after its worker was lost; an orphan, no attempt.

        Returns:
            False if workers or daemons were lost too often during attempts at it: quarantine it.
        """
        self._move(job, State.PENDING, sql.LOSE)
        return job.orphans + 1 <= GIVE_UP_AFTER_ORPHANS

    def stage(self, job: Job, product: Product) -> None:
        """Record the durable staged file and the final name chosen for it, before the rename."""
        values = {
            "id": job.id,
            "temp": product.temp,
            "output": product.output,
            "mark": fingerprint_text(product.fingerprint),
            "key": name_key(product.output),
            "unchanged": product.kept_existing,
            "model": product.model_digest,
            "options": product.options_digest,
            "pixels": product.pixels,
            "digest": binary(product.input_digest),
            "stays_for": product.kept_reason or None,
        }
        with self._store.transaction() as cursor:
            _refuse_illegal(cursor, job.id, State.STAGED)
            cursor.execute(sql.KNOW_DIGESTS, values)
            cursor.execute(sql.STAGE, values)

    def restage(self, job: Job, product: Product) -> None:
        """Change the final name of a staged job, and whether a foreign file is kept there."""
        values = {
            "id": job.id,
            "output": product.output,
            "mark": fingerprint_text(product.fingerprint),
            "key": name_key(product.output),
            "unchanged": product.kept_existing,
        }
        with self._store.transaction() as cursor:
            if cursor.execute(sql.RESTAGE, values).rowcount != 1:
                raise LedgerError(f"job {job.id} is not staged")

    def finish(self, job: Job, now_s: float) -> list[bytes]:
        """Record that the output has its final name, durably; delete older jobs of the same path.

        Returns:
            Reason files of the deleted jobs, which no longer apply.
        """
        with self._store.transaction() as cursor:
            _refuse_illegal(cursor, job.id, State.DONE)
            cursor.execute(sql.FINISH, {"id": job.id, "now_s": now_s})
            forgotten = cursor.execute(sql.FORGET_OLDER, {"id": job.id}).fetchall()
        return [row["note"] for row in forgotten if row["note"] is not None]

    def begin_disposal(self, job: Job) -> None:
        """Record that the source of a finished job will be archived or deleted now.

        From now on the job cannot be repeated and its output is never replaced: a file that comes
        to its path later is another image.
        """
        with self._store.transaction() as cursor:
            cursor.execute(sql.BEGIN_DISPOSAL, {"id": job.id})

    def dispose(self, job: Job, *, keeps_source: bool = False) -> None:
        """Mark a job as complete; `keeps_source` if its source could not be removed and is kept."""
        self._move(job, State.DISPOSED, sql.DISPOSE, keeps_source=keeps_source)

    def defer(self, job: Job, next_at: float, reason: Reason, message: str = "") -> None:
        """Retry at `next_at` (wall clock), at most `scheduling.LONGEST_BACKOFF_S` from now."""
        self._move(job, State.DEFERRED, sql.DEFER, next_at=next_at, reason=reason, message=message)

    def quarantine(self, job: Job, refusal: QuarantineReason, now_s: float) -> None:
        """Quarantine a job with a reason; the reason file is written next, then `noted`.

        It replaces the reason file of an earlier content of the same path, whose job is deleted.
        """
        values = {
            "id": job.id,
            "now_s": now_s,
            "reason": refusal.reason,
            "message": refusal.message,
            "setting": refusal.setting,
            "digest": binary(refusal.input_digest),
        }
        with self._store.transaction() as cursor:
            _refuse_illegal(cursor, job.id, State.QUARANTINED)
            cursor.execute(sql.FORGET_EARLIER_REFUSAL, {"id": job.id})
            cursor.execute(sql.QUARANTINE, values)

    def noted(
        self, job: Job, note: bytes, moved: bytes | None, leaves_at: float | None = None
    ) -> None:
        """Record that the reason file of a quarantined job is written.

        Args:
            job: quarantined.
            note: absolute path of the reason file.
            moved: absolute path of the moved source; None if it is in its place.
            leaves_at: when it may be moved (wall clock); None if it stays, or is moved.
        """
        values = {"id": job.id, "note": note, "moved": moved, "leaves_at": leaves_at}
        with self._store.transaction() as cursor:
            cursor.execute(sql.NOTED, values)

    def postpone_leaving(self, leaves_at: float) -> None:
        """Move no refused source before `leaves_at`: the wall clock was set."""
        with self._store.transaction() as cursor:
            cursor.execute(sql.POSTPONE_LEAVING, {"leaves_at": leaves_at})

    def vanish(self, job: Job) -> None:
        """Record that the input does not exist any more, or is no longer the settled file."""
        self._move(job, State.VANISHED, sql.VANISH)

    def recover(self) -> list[Job]:
        """Reset jobs that ran when the daemon died to pending, at start; no attempt is counted.

        Returns:
            The pending jobs during which the daemon died too often: quarantine them.
        """
        with self._store.transaction() as cursor:
            cursor.execute(sql.RECOVER)
            given_up = cursor.execute(sql.GIVEN_UP, (GIVE_UP_AFTER_ORPHANS,)).fetchall()
        return [job_of(row) for row in given_up]

    def retry(self, job: Job, fingerprint: Fingerprint) -> None:
        """Make a quarantined job pending again, for the file that is at its path now."""
        with self._store.transaction() as cursor:
            _refuse_illegal(cursor, job.id, State.PENDING)
            cursor.execute(sql.RETRY, {"id": job.id, "mark": fingerprint_text(fingerprint)})
            # If a scan already found the restored file, its own row is used.
            cursor.execute(sql.FORGET_QUARANTINED, {"id": job.id})

    def retry_finished(self, folder: str | None = None, relative: bytes | None = None) -> int:
        """Make finished jobs pending again, of one folder, one path or all; return how many."""
        with self._store.transaction() as cursor:
            values = {"folder": folder, "relative": relative}
            return cursor.execute(sql.RETRY_FINISHED, values).rowcount

    def retry_outdated(self, folder: str, *, model: str, options: str) -> int:
        """Make jobs of a folder pending again if another model or other options made them."""
        values = {"folder": folder, "model": model, "options": options}
        with self._store.transaction() as cursor:
            cursor.execute(sql.KNOW_DIGESTS, {"model": model, "options": options})
            return cursor.execute(sql.RETRY_OUTDATED, values).rowcount

    def forget(self, job_ids: Iterable[int]) -> int:
        """Delete rows of completed jobs; others stay. Return how many were deleted."""
        with self._store.transaction() as cursor:
            return cursor.executemany(sql.FORGET, [(job_id,) for job_id in job_ids]).rowcount

    def hasten(self, folder: str, now_s: float) -> int:
        """Make a folder's deferred jobs due now: `once` does not wait for a daemon's backoff."""
        with self._store.transaction() as cursor:
            return cursor.execute(sql.HASTEN, {"folder": folder, "now_s": now_s}).rowcount

    def _move(self, job: Job, to: State, statement: str, **values: object) -> None:
        """Move one job to another state, durably, if that is legal."""
        with self._store.transaction() as cursor:
            _refuse_illegal(cursor, job.id, to)
            cursor.execute(statement, {"id": job.id, **values})


def _refuse_illegal(cursor: Connection, job_id: int, to: State) -> None:
    """Raise LedgerError unless the job may move from its state to the state `to`."""
    row = cursor.execute(sql.STATE_OF, (job_id,)).fetchone()
    if row is None:
        raise LedgerError(f"job {job_id} is not in the ledger")
    if to not in MOVES[State(row["state"])]:
        raise LedgerError(f"job {job_id}: {row['state']} to {to} is not a legal transition")
