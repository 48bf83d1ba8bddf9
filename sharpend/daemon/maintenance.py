"""Periodic maintenance: ledger backups and retention.

Owns the schedule and the log of maintenance. Works in small steps between two turns of the main
loop; a backup is made in a thread that only reads. Refuses to compute ages right after the clock
was set: every file could seem old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sharpend.commit.retention import prune_archive, prune_ledger, prune_quarantine
from sharpend.errors import FolderFaultError, LedgerError
from sharpend.files.remote import is_remote
from sharpend.intake.wall_clock import WallClock
from sharpend.ledger import copies
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.store import DamagedError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.commit.ages import Retention
    from sharpend.commit.destination import Destination
    from sharpend.commit.retention import Removed, Round
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log

EVERY_S = 3600.0
"""Interval of each chore; the first run is one interval after the start."""
BACKUP_EVERY_S = 86_400.0
REST_S = 0.02
"""Pause between two steps of a chore: loop and disk have other work."""

Chore: TypeAlias = Callable[[float], Iterator[None]]
"""Begins a run at a time (wall clock); each item of the iterator is one small step."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths that maintenance works on."""

    state_dir: Path
    quarantine_root: bytes
    destinations: Mapping[str, Destination]
    """By folder."""


class Maintenance:
    """Maintenance of one daemon; all methods are called from one thread.

    Args:
        retention: limits.
        paths: of quarantine and archives.
        ledger: to prune and to copy.
        log: for the results.
    """

    def __init__(self, retention: Retention, paths: Paths, ledger: Ledger, log: Log) -> None:
        self._retention = retention
        self._paths = paths
        self._ledger = ledger
        self._log = log
        self._chores = list(self._wanted())
        self._due_s: list[float] = []
        self._work: Iterator[None] | None = None
        self._clock = WallClock()
        self._backup: Backup | None = None

    def step(self, now_s: float, wall_s: float) -> float:
        """Run one small step of a due chore; return the time of the next (monotonic seconds)."""
        if self._clock.was_set(now_s, wall_s) or not self._due_s:
            self._work = None
            self._due_s = [now_s + EVERY_S] * len(self._chores)
        if self._work is None:
            due = [number for number, due_s in enumerate(self._due_s) if due_s <= now_s]
            if not due:
                return min(self._due_s, default=now_s + EVERY_S)
            self._due_s[due[0]] = now_s + EVERY_S
            self._work = self._chores[due[0]](wall_s)
        self._go_on()
        return now_s + REST_S

    def close(self) -> None:
        """Cancel the running chore; a later run does it."""
        self._work = None
        if self._backup is not None:
            self._backup.stop()

    def _go_on(self) -> None:
        try:
            if self._work is not None:
                next(self._work)
        except StopIteration:
            self._work = None
        except (FolderFaultError, LedgerError, OSError) as error:
            self._work = None
            self._log.warning(Event.UPKEEP_FAILED, reason=str(error))

    def _wanted(self) -> Iterator[Chore]:
        """List the chores that the settings ask for."""
        retention = self._retention
        if retention.backups:
            yield self._back_up
        if not retention.quarantine.keep_everything:
            yield self._prune_quarantine
        if not retention.archive.keep_everything:
            for destination in self._paths.destinations.values():
                root = destination.archive_root
                if root is not None and not is_remote(root):  # a bucket has rules of its own
                    yield partial(self._prune_archive, destination)
        if retention.ledger_days is not None:
            yield partial(self._prune_ledger, retention.ledger_days)

    def _prune_quarantine(self, wall_s: float) -> Iterator[None]:
        paths, limits = self._paths, self._retention.quarantine
        work = prune_quarantine(
            self._ledger, paths.quarantine_root, paths.destinations, limits, wall_s
        )
        yield from self._logged(Event.QUARANTINE_PRUNED, work)

    def _prune_archive(self, destination: Destination, wall_s: float) -> Iterator[None]:
        work = prune_archive(destination, self._retention.archive, wall_s)
        yield from self._logged(Event.ARCHIVE_PRUNED, work, folder=destination.folder)

    def _prune_ledger(self, days: float, wall_s: float) -> Iterator[None]:
        removed = yield from prune_ledger(self._ledger, self._paths.destinations, days, wall_s)
        if removed.files:
            self._log.info(Event.LEDGER_PRUNED, inputs=removed.files)

    def _logged(self, event: Event, work: Round, **values: object) -> Iterator[None]:
        """Run a chore to its end and log the number of removed files."""
        removed: Removed = yield from work
        if removed.files or removed.failed:
            write = self._log.warning if removed.failed else self._log.info
            megabytes = round(removed.size / 1e6, 3)
            write(event, **values, files=removed.files, megabytes=megabytes, left=removed.failed)

    def _back_up(self, wall_s: float) -> Iterator[None]:
        """Back up once a day by the age of the last backup, so that restarts do not matter."""
        kept_at = copies.kept_at(self._paths.state_dir)
        if kept_at is not None and 0 <= wall_s - kept_at < BACKUP_EVERY_S:
            return
        self._backup = Backup(self._paths.state_dir, self._retention.backups)
        self._backup.start()
        while self._backup.is_alive():
            yield
        if self._backup.fault is not None:
            self._log.warning(Event.UPKEEP_FAILED, reason=self._backup.fault)
            if self._backup.is_damage:
                self._ledger.distrust()
        elif self._backup.path is not None:
            self._log.info(Event.BACKUP_MADE, path=self._backup.path)
        self._backup = None


class Backup(threading.Thread):
    """Thread that makes one backup of the ledger.

    Attributes:
        path: of the finished backup.
        fault: cause of a failure.
    """

    def __init__(self, state_dir: Path, count: int) -> None:
        super().__init__(name="backup", daemon=True)
        self._state_dir = state_dir
        self._count = count
        self._wanted = True
        self.path: Path | None = None
        self.fault: str | None = None
        self.is_damage = False

    def run(self) -> None:
        """Make the backup."""
        try:
            self.path = copies.keep(self._state_dir, self._count, lambda: self._wanted)
        except AbandonedError:
            return
        except LedgerError as error:
            self.fault, self.is_damage = str(error), isinstance(error, DamagedError)

    def stop(self) -> None:
        """Cancel the backup, and wait until its temporary files are removed."""
        self._wanted = False
        self.join()
