"""What the daemon says of itself: that it is ready, its reports, its status file, its one line.

Owns the values of `daemon.ready` and `report.published` and what stands in the status file. Asks
the parts and changes none of them, except that a report begins a new window of throughput.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend import __version__
from sharpend.files.atomic import replacing
from sharpend.logs.events import Event
from sharpend.logs.logs import plain
from sharpend.workers import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.daemon.dispatcher import Dispatcher
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.workers.worker import Engine


STATUS_FILE = "status.json"
"""In the state directory."""


def paused_line(fault: str) -> str:
    """The line for `systemctl status` while the state directory cannot be written."""
    return f"paused, health fail: {fault}"


@dataclass(slots=True)
class StatusReporter:
    """The voice of one set of parts; a reload makes new parts and a new voice.

    The status file is written before the event that goes with it: who heard the event can read it.
    """

    state_dir: Path
    ledger: Ledger
    dispatcher: Dispatcher
    engine: Engine
    """The main network's."""
    log: Log
    fault: str | None = None
    """Why the state directory cannot be written, or None."""

    def say_ready(self) -> None:
        """Tell that the first look at every folder is through."""
        engine = self.engine
        self._write_status("running", self._standing())
        missing = sandbox.PARTS - set(engine.confined_by)
        if missing:
            self.log.warning(Event.WORKER_UNCONFINED, missing=sorted(missing))
        self.log.info(
            Event.DAEMON_READY,
            version=__version__,
            pid=os.getpid(),
            model=engine.model,
            model_digest=engine.digest[:12],
            device=engine.device,
            teacher=engine.teacher,
            workers=self.dispatcher.pool.count,
            folders=list(self.dispatcher.folders),
            queue_depth=self._queue_depth(),
            softened_by=engine.softened_by,
            meant_for=_meant_for(engine.softened_by),
        )

    def say_paused(self) -> None:
        """Leave in the status file, where that can still be written, that nothing is done."""
        self._write_status("paused", self._standing())

    def publish(self, now_s: float, *, state: str = "running") -> None:
        """The periodic report: to the log and the status file."""
        report = self.dispatcher.throughput.publish(now_s) | self._standing()
        self._write_status(state, report)
        self.log.info(Event.REPORT_PUBLISHED, **report)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        if self.fault is not None:
            return paused_line(self.fault)
        totals = self.dispatcher.throughput
        return (
            f"{self._queue_depth()} waiting, "
            f"{totals.total_images - totals.total_unchanged} sharpened, "
            f"{totals.total_failures} quarantined, health {self._health()}"
        )

    def _standing(self) -> dict[str, object]:
        """The queue, the folders and the agreement as they are now."""
        oldest_at = self.ledger.oldest_pending_at(self.dispatcher.folders)
        summaries = {model: alarm.summary() for model, alarm in self.dispatcher.alarms.items()}
        folders = self.dispatcher.folders
        return {
            "queue_depth": self._queue_depth(),
            "oldest_pending_s": None if oldest_at is None else max(0.0, time.time() - oldest_at),
            "model": self.engine.model,
            "device": self.engine.device,
            "agreement": next(iter(summaries.values()), None),
            "agreement_by_model": summaries if len(summaries) > 1 else None,
            "paused": {name: one.paused for name, one in folders.items() if one.paused},
            "unreadable": {name: one.unreadable for name, one in folders.items() if one.unreadable},
            "left_alone": {name: one.left_alone for name, one in folders.items()},
            "state_fault": self.fault,
            "health": self._health(),
        }

    def _health(self) -> str:
        if self.fault is not None:
            return "fail"
        paused = any(folder.paused for folder in self.dispatcher.folders.values())
        low = any(alarm.low for alarm in self.dispatcher.alarms.values())
        return "degraded" if paused or low else "ok"

    def _queue_depth(self) -> int:
        return self.ledger.waiting(self.dispatcher.folders)

    def _write_status(self, state: str, report: dict[str, object]) -> None:
        front = {"state": state, "pid": os.getpid(), "version": __version__, "at": time.time()}
        try:
            write_status(self.state_dir, front | report)
        except OSError as error:
            if self.fault is None:  # else it was told already
                self.log.warning(Event.STATUS_FAILED, reason=str(error))


def _meant_for(factor: int | None) -> str:
    """What the network is for, in words."""
    if factor is None:
        return "photographs of any softness; sharp ones stay as they are"
    return f"images softened by a factor of about {factor}"


def write_status(state_dir: Path, status: Mapping[str, object]) -> None:
    """Replace the status file as a whole.

    Raises:
        OSError: the state directory is missing, full or not writable.
    """
    text = json.dumps(plain(status), allow_nan=False, indent=1)
    with replacing(state_dir / STATUS_FILE) as file:
        file.write(text.encode() + b"\n")


def read_status(state_dir: Path) -> dict[str, Any] | None:
    """What was written last, or None where there is nothing that can be read."""
    with suppress(OSError, ValueError):
        status = json.loads((state_dir / STATUS_FILE).read_bytes())
        return status if isinstance(status, dict) else None
    return None
