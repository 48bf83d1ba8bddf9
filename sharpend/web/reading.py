"""Readings of a state directory: status, ledger and history as the pages show them.

Owns the values of each page; `pages` puts them into templates. Every file is opened for one reading
and read-only, so that a ledger that is replaced, a daemon that is down and a state that fails are
shown as they are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend.checks.state import daemon as check_daemon
from sharpend.daemon.intended_pauses import BY_OPERATOR
from sharpend.daemon.status import AT_WORK, read_status
from sharpend.ledger.opening import is_locked, locked_since
from sharpend.ledger.pages import LedgerPages
from sharpend.ledger.reader import ALL_FOLDERS
from sharpend.ledger.records import State
from sharpend.ledger.store import has_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sharpend.ledger.records import Job

WAITING = (State.PENDING, State.RUNNING, State.STAGED, State.DEFERRED)
FINISHED = (State.DONE, State.DISPOSED)


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the daemon, in one word, and why."""

    word: str
    """ok, degraded, fail, starting or not running."""
    why: str
    """The cause, in words; empty where all is well."""


@dataclass(frozen=True, slots=True)
class FolderReading:
    """One folder as the page shows it."""

    name: str
    input_root: bytes
    output_root: bytes
    waiting: int
    finished: int
    refused: int
    paused_since_s: float | None
    """Since when an operator has paused it (wall clock)."""
    paused: str
    """Cause of its pause; empty where it works."""
    unreadable: int
    left_alone: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """The state directory at one moment."""

    at_s: float
    health: Health
    last: Mapping[str, Any]
    """Last status of the daemon; empty where there is none."""
    is_current: bool
    """True if a daemon at work wrote the status: else its figures are of the past."""
    folders: Sequence[FolderReading]
    in_work: Sequence[Job]
    oldest_s: float | None
    """Age of the oldest waiting image."""
    all_paused_since_s: float | None
    """Since when an operator has paused all folders (wall clock)."""
    vanished: int

    @property
    def waiting(self) -> int:
        """Number of images that wait or are in progress."""
        return sum(one.waiting for one in self.folders)

    @property
    def left_s(self) -> float | None:
        """Time until all is done, by the rate of the last report; None where it is not known."""
        rate = self.last.get("images_per_s") if self.is_current else None
        return self.waiting / rate if rate and self.waiting else None

    @property
    def finished(self) -> int:
        """Number of finished images that the ledger knows."""
        return sum(one.finished for one in self.folders)

    @property
    def refused(self) -> int:
        """Number of images in quarantine."""
        return sum(one.refused for one in self.folders)


def read(state_dir: Path, every_s: float) -> Reading:
    """Read a state directory.

    Args:
        state_dir: in which nothing need have worked yet.
        every_s: seconds between two reports of the daemon.

    Raises:
        LedgerError: the ledger is damaged, or a newer version's; StateFaultError where the
            directory cannot be read.
    """
    now_s = time.time()
    last, is_running = read_status(state_dir), is_locked(state_dir)
    is_own = is_of_now(state_dir, last)
    health = health_of(
        last if is_own else None, is_running=is_running, now_s=now_s, every_s=every_s
    )
    is_current = is_own and last is not None and last.get("state") in AT_WORK
    if not has_ledger(state_dir):
        return Reading(now_s, health, last or {}, is_current, (), (), None, None, 0)
    with LedgerPages.read_only(state_dir) as ledger:
        tallies, pauses = ledger.tallies(), ledger.pauses()
        oldest_at = ledger.oldest_pending_at(tallies)
        folders = [
            _folder(name, roots, tallies[name], pauses, last if is_current else None)
            for name, roots in ledger.folders()
        ]
        in_work = ledger.in_work() if is_running else ()
    return Reading(
        now_s,
        health,
        last or {},
        is_current,
        folders,
        in_work,
        None if oldest_at is None else max(0.0, now_s - oldest_at),
        pauses.get(ALL_FOLDERS),
        sum(tally[State.VANISHED] for tally in tallies.values()),
    )


def is_of_now(state_dir: Path, last: Mapping[str, Any] | None) -> bool:
    """Return whether the process that works now wrote a status, and not one that was killed."""
    since_s = locked_since(state_dir)
    return last is not None and since_s is not None and last["at"] >= since_s


def health_of(
    last: Mapping[str, Any] | None, *, is_running: bool, now_s: float, every_s: float
) -> Health:
    """Judge the health of a daemon, as `sharpend status --check` does; arguments as of `daemon`."""
    found = check_daemon(last, is_running=is_running, now_s=now_s, every_s=every_s)
    if not is_running:
        return Health("not running", "no daemon works with this state directory")
    if last is None or last.get("state") not in AT_WORK:
        return Health("starting", "the first scan of the folders is not complete")
    word = "ok" if found.change == "" else "degraded"
    if found.level == "fault":
        word = "fail"
    return Health(word, f"{found.found}: {found.change}" if found.change else "")


def _folder(
    name: str,
    roots: tuple[bytes, bytes],
    tally: Mapping[State, int],
    pauses: Mapping[str, float],
    last: Mapping[str, Any] | None,
) -> FolderReading:
    """Put together what ledger and daemon know of a folder; without a daemon, the ledger alone."""
    status: Mapping[str, Any] = last or {}
    paused_since_s = pauses.get(name)
    paused = (status.get("paused") or {}).get(name, "")
    if paused == BY_OPERATOR:  # of the last report; the ledger knows it now
        paused = ""
    if paused_since_s is not None or ALL_FOLDERS in pauses:
        paused = paused or BY_OPERATOR
    return FolderReading(
        name=name,
        input_root=roots[0],
        output_root=roots[1],
        waiting=sum(tally[state] for state in WAITING),
        finished=sum(tally[state] for state in FINISHED),
        refused=tally[State.QUARANTINED],
        paused_since_s=paused_since_s,
        paused=paused or str(status.get("state_fault") or ""),
        unreadable=(status.get("unreadable") or {}).get(name, 0),
        left_alone=(status.get("left_alone") or {}).get(name, {}),
    )
