"""Status reporting: daemon.ready, report.published, the status file and the status line.

Reads a snapshot and knows none of the parts. The figures are those of `report`.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend import __version__
from sharpend.daemon.report import current_figures, precision_figures
from sharpend.daemon.snapshot import paused_line
from sharpend.files.atomic import write_atomically
from sharpend.logs.events import Event
from sharpend.logs.plain import plain
from sharpend.workers import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sharpend.daemon.history import History
    from sharpend.daemon.snapshot import Snapshot
    from sharpend.logs.logs import Log
    from sharpend.workers.loading import LoadedModel


STATUS_FILE = "status.json"
"""File name in the state directory."""
AT_WORK = frozenset({"running", "paused"})
"""Values of its key `state` while a daemon works."""


@dataclass(frozen=True, slots=True)
class StatusReporter:
    """Writer of status file, history and reports.

    The status file is written before the event that belongs to it, so a reader that waits for the
    event finds it.
    """

    state_dir: Path
    loaded: LoadedModel
    """Facts about the main model."""
    log: Log
    history: History

    def report_ready(self, now: Snapshot) -> None:
        """Log that the first scan of every folder is complete."""
        loaded = self.loaded
        self._write_status("running", now, current_figures(now, self.loaded))
        missing = sandbox.PARTS - set(loaded.confined_by)
        if missing:
            self.log.warning(Event.WORKER_UNCONFINED, missing=sorted(missing))
        self.log.info(
            Event.DAEMON_READY,
            version=__version__,
            pid=os.getpid(),
            model=loaded.model,
            model_digest=loaded.digest[:12],
            device=loaded.device,
            **precision_figures(loaded),
            teacher=loaded.teacher,
            workers=now.workers,
            folders=list(now.folders),
            queue_depth=now.queue_depth,
            softened_by=loaded.softened_by,
            meant_for=_meant_for(loaded.softened_by),
        )

    def report_paused(self, now: Snapshot) -> None:
        """Write to the status file that all work is paused."""
        self._write_status("paused", now, current_figures(now, self.loaded))

    def publish(
        self, now: Snapshot, window: Mapping[str, object], *, state: str = "running"
    ) -> None:
        """Write the periodic report to the status file, the history and the log.

        Args:
            now: current snapshot.
            window: numbers since the last report, `Throughput.publish`.
            state: of the daemon.
        """
        report = {**window, **current_figures(now, self.loaded)}
        self._write_status(state, now, report)
        self._write_history(now, report, is_last=state == "stopped")
        self.log.info(Event.REPORT_PUBLISHED, **report)

    def summary(self, now: Snapshot) -> str:
        """Format the line for `systemctl status`."""
        if now.state_fault is not None:
            return paused_line(now.state_fault)
        return (
            f"{now.queue_depth} waiting, {now.sharpened} sharpened, "
            f"{now.quarantined} quarantined, health {now.health}"
        )

    def _write_status(self, state: str, now: Snapshot, report: dict[str, object]) -> None:
        front = {"state": state, "pid": os.getpid(), "version": __version__, "at": time.time()}
        front["folders"] = list(now.folders)
        with self._failure_logged(now):
            write_status(self.state_dir, front | report)

    def _write_history(self, now: Snapshot, report: dict[str, object], *, is_last: bool) -> None:
        with self._failure_logged(now):
            self.history.add(report, time.time())
            if is_last:
                self.history.flush()

    @contextmanager
    def _failure_logged(self, now: Snapshot) -> Iterator[None]:
        """Log an OSError of a block, unless the fault of the state directory was logged already."""
        try:
            yield
        except OSError as error:
            if now.state_fault is None:
                self.log.warning(Event.STATUS_FAILED, reason=str(error))


def _meant_for(factor: int | None) -> str:
    """Describe the images that the model is for."""
    if factor is None:
        return "photographs of any softness; sharp ones stay as they are"
    return f"images softened by a factor of about {factor}"


def write_status(state_dir: Path, status: Mapping[str, object]) -> None:
    """Replace the status file atomically.

    Raises:
        OSError: the state directory is missing, full or not writable.
    """
    text = json.dumps(plain(status), allow_nan=False, indent=1)
    write_atomically(state_dir / STATUS_FILE, text.encode() + b"\n")


def read_status(state_dir: Path) -> dict[str, Any] | None:
    """Read the last status, or None if there is none that can be read."""
    with suppress(OSError, ValueError):
        status = json.loads((state_dir / STATUS_FILE).read_bytes())
        return status if isinstance(status, dict) else None
    return None
