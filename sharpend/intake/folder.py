"""Intake of one input folder: find its files and report those that have settled.

Combines scans, events and settling, and owns the folder's state: working or paused. Refuses to open
a file, to conclude anything from a missing file, to believe times of files on a file system with
another clock, and to remember finished files: a callable asks the ledger.
"""

from __future__ import annotations

import math
import stat
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.files.mounts import Mount, mount_of
from sharpend.intake import scan
from sharpend.intake.file_times import FileTimes
from sharpend.intake.interface import FolderOptions, Step
from sharpend.intake.listen import Listener
from sharpend.intake.schedule import ScanSchedule
from sharpend.intake.settle_time import FINISHED_WAIT_S, NETWORK_WAIT_S, WAIT_S, Settler
from sharpend.intake.tally import Found

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from sharpend.intake.interface import Fresh
    from sharpend.intake.patience import Patience

_CHECK_S = 2.0  # interval of the check for a deleted or replaced folder
_BATCH = 1000
_POLL_SHARE = 100.0  # scans by polling take at most 1 % of the time


class FolderIntake:
    """Intake of one folder in small steps. All times are monotonic seconds.

    Not thread-safe, and without a thread of its own; only `wake` is called from watchdog's threads.

    Args:
        options: of the folder.
        fresh: selects the files that are new to the ledger.
        patience: lengthens the wait for files that were judged too early.
        wake: asks for a step soon; must return at once.
        chance: spreads the scans of several folders.
        objection: returns why the folder is not the one to work in, or None.
    """

    def __init__(
        self,
        options: FolderOptions,
        *,
        fresh: Fresh,
        patience: Patience,
        wake: Callable[[], None],
        chance: random.Random,
        objection: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._options = options
        self._fresh = fresh
        self._patience = patience
        self._wake = wake
        self._chance = chance
        self._objection = objection
        self._times = FileTimes()
        self._mount: Mount | None = None
        self._identity: tuple[int, int] | None = None
        self._reset()

    def step(self, now_s: float) -> Step:
        """Do a small piece of work: one chunk of a scan, one batch of checks."""
        fault = self._fault()
        if fault is not None:
            if self._identity is not None:
                self.restart()
            return Step(now_s + _CHECK_S, paused=fault)
        self._times.look(now_s, time.time())
        self._read_events(now_s)
        settled = self._scan(now_s)
        settled += self._check_files(now_s, {found.relative for found in settled})
        return Step(
            self._next_s(now_s),
            settled=settled,
            settling=len(self._settler),
            tally=self._schedule.completed,
            polling=self._listener.polling,
        )

    def unsettle(self, relative: bytes) -> None:
        """Make a file settle again that changed after it was reported as settled."""
        self._dirty.setdefault(relative, False)

    def restart(self) -> None:
        """Discard all state: the next step begins with a full scan."""
        self.close()
        self._identity = None
        self._reset()

    def close(self) -> None:
        """Stop watching and close all descriptors."""
        self._listener.stop()
        self._schedule.close()

    # The folder as a whole

    def _fault(self) -> str | None:
        """Return why the folder cannot be read now, or None; accept a root that (re)appeared."""
        objection = self._objection()
        if objection is not None:
            return objection
        try:
            identity = scan.identity(self._options.root)
        except (FileNotFoundError, NotADirectoryError):
            return "the folder is gone"
        except OSError as error:
            return f"the folder cannot be read: {error.strerror}"
        if self._identity is None:
            self._identity, self._mount = identity, mount_of(self._options.root)
            self._reset()
        return None if identity == self._identity else "the folder was replaced"

    def _reset(self) -> None:
        """Reset to the state before the first scan."""
        options = self._options
        self._settler = Settler()
        self._dirty: dict[bytes, bool] = {}
        self._schedule = ScanSchedule(
            options.root,
            recursive=options.recursive,
            only=options.only,
            patterns=options.patterns,
            chance=self._chance,
        )
        self._listener = Listener(
            options.root,
            recursive=options.recursive,
            poll_reason=self._poll_reason(),
            retry_s=options.rescan_s,
            wake=self._wake,
        )

    @property
    def _networked(self) -> str | None:
        return self._mount.kind if self._mount is not None and self._mount.is_networked else None

    def _poll_reason(self) -> str | None:
        if self._options.polling:
            return "configured"
        if self._options.polling is None and self._networked is not None:
            return f"{self._networked} does not report changes made by other machines"
        return None

    # Its files

    def _read_events(self, now_s: float) -> None:
        dirty = self._listener.take(now_s)
        if dirty.everything:
            self._schedule.request_full()
        self._dirty.update(dirty.paths)

    def _scan(self, now_s: float) -> list[Found]:
        if self._schedule.due(now_s):
            self._listener.renew(now_s)  # watch first, then scan: no change is missed in between
            self._schedule.begin(now_s, every_s=self._scan_interval_s())
        chunk = sorted(self._schedule.advance(now_s), key=lambda found: found.relative)
        found_now = [self._as_it_lasts(found) for found in chunk]
        return self._settled_of(found_now, {}, now_s, is_scan=True)

    def _scan_interval_s(self) -> float:
        """Return the interval of scans: by polling `poll_s`, or more where a scan takes long."""
        options = self._options
        if self._listener.polling is None:
            return options.rescan_s
        seldom_s = min(_POLL_SHARE * self._schedule.took_s, options.rescan_s)
        return max(options.poll_s, seldom_s)

    def _check_files(self, now_s: float, reported: set[bytes]) -> list[Found]:
        """Check single files: those that events named, and those whose wait is over.

        The scan, the wait and an event can name one file in the same step. After one of them has
        reported it as settled the others skip it: it would settle a second time.
        """
        dirty = dict(islice(self._dirty.items(), _BATCH))
        due = self._settler.due(now_s, limit=_BATCH - len(dirty))
        if not dirty and not due:
            return []
        try:
            with scan.opened(self._options.root) as root:
                changed = [found for path in dirty if (found := self._check(root, path))]
                looked = [found for path in due if (found := self._check(root, path))]
        except OSError:  # the next step reports the reason, and the scan finds these files again
            for path in due:
                self._settler.forget(path)
            return []
        for path in dirty:
            del self._dirty[path]
        looked = [found for found in looked if found.relative not in reported]
        settled = [found for found in looked if self._has_settled(found, now_s)]
        reported |= {found.relative for found in settled}
        changed = [found for found in changed if found.relative not in reported]
        return settled + self._settled_of(changed, dirty, now_s)

    def _check(self, root: int, relative: bytes) -> Found | None:
        """Check one path; a directory is left to a scan."""
        status = scan.look(root, relative, self._options.patterns)
        if status is None:
            self._settler.forget(relative)
            return None
        if stat.S_ISDIR(status.st_mode):
            self._schedule.request_part(relative)
            return None
        return self._as_it_lasts(Found.of(relative, status))

    def _as_it_lasts(self, found: Found) -> Found:
        """Return the file without its inode number, where that does not last."""
        if self._mount is None or not self._mount.renumbers:
            return found
        return replace(found, fingerprint=found.fingerprint.without_inode)

    def _settled_of(
        self,
        found_now: Sequence[Found],
        events: Mapping[bytes, bool],
        now_s: float,
        *,
        is_scan: bool = False,
    ) -> list[Found]:
        """Check files that the ledger does not know, and return those that have settled.

        Only a scan believes times: what an event or a failure names is looked at twice.
        """
        waiting: list[Found] = []
        others: list[Found] = []
        for found in found_now:
            waits = self._settler.waits(found.relative, found.fingerprint)
            (waiting if waits else others).append(found)
        if others:
            waiting.extend(self._fresh(others))
        return [
            found
            for found in waiting
            if self._has_settled(
                found, now_s, finished=events.get(found.relative, False), is_scan=is_scan
            )
        ]

    def _has_settled(
        self, found: Found, now_s: float, *, finished: bool = False, is_scan: bool = False
    ) -> bool:
        relative, fingerprint = found.relative, found.fingerprint
        usual_s = self._wait_s(finished=finished)
        wait_s = self._patience.wait_s(relative, fingerprint, usual_s)
        since_s = math.inf
        if (
            is_scan
            and wait_s == usual_s
            and self._mount is not None
            and self._mount.has_exact_times
        ):
            since_s = self._times.unchanged_since_s(found.changed_s)
        return self._settler.look(
            relative, fingerprint, now_s=now_s, wait_s=wait_s, since_s=since_s
        )

    def _wait_s(self, *, finished: bool) -> float:
        if self._options.settle_s is not None:
            return self._options.settle_s
        if self._networked is not None:
            return NETWORK_WAIT_S
        return FINISHED_WAIT_S if finished else WAIT_S

    def _next_s(self, now_s: float) -> float:
        if self._dirty:
            return now_s
        soonest_s = min(
            self._schedule.next_s(now_s),
            self._settler.next_due_s,
            self._listener.next_s,
            now_s + _CHECK_S,
        )
        return max(now_s, soonest_s)
