"""Status reporting: daemon.ready, report.published, the status file and its one line.

Owns the values of `daemon.ready` and `report.published` and what stands in the status file. Reads
a snapshot and knows none of the parts.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend import __version__
from sharpend.daemon.snapshot import paused_line
from sharpend.files.atomic import replacing
from sharpend.logs.events import Event
from sharpend.logs.logs import plain
from sharpend.workers import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sharpend.daemon.snapshot import Snapshot
    from sharpend.logs.logs import Log
    from sharpend.workers.worker import Engine


STATUS_FILE = "status.json"
"""In the state directory."""


@dataclass(frozen=True, slots=True)
class StatusReporter:
    """The voice of one set of parts; a reload makes new parts and a new voice.

    The status file is written before the event that goes with it: who heard the event can read it.
    """

    state_dir: Path
    engine: Engine
    """The main network's."""
    log: Log

    def say_ready(self, now: Snapshot) -> None:
        """Tell that the first look at every folder is through."""
        engine = self.engine
        self._write_status("running", now, self._standing(now))
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
            workers=now.workers,
            folders=list(now.folders),
            queue_depth=now.queue_depth,
            softened_by=engine.softened_by,
            meant_for=_meant_for(engine.softened_by),
        )

    def say_paused(self, now: Snapshot) -> None:
        """Leave in the status file, where that can still be written, that nothing is done."""
        self._write_status("paused", now, self._standing(now))

    def publish(
        self, now: Snapshot, window: Mapping[str, object], *, state: str = "running"
    ) -> None:
        """The periodic report: to the log and the status file.

        Args:
            now: how everything stands.
            window: what was finished since the last report, `Throughput.publish`.
            state: of the daemon.
        """
        report = {**window, **self._standing(now)}
        self._write_status(state, now, report)
        self.log.info(Event.REPORT_PUBLISHED, **report)

    def summary(self, now: Snapshot) -> str:
        """One line for `systemctl status`."""
        if now.state_fault is not None:
            return paused_line(now.state_fault)
        return (
            f"{now.queue_depth} waiting, {now.sharpened} sharpened, "
            f"{now.quarantined} quarantined, health {now.health}"
        )

    def _standing(self, now: Snapshot) -> dict[str, object]:
        """The queue, the folders and the agreement, as reports spell them."""
        return {
            "queue_depth": now.queue_depth,
            "oldest_pending_s": now.oldest_pending_s,
            "model": self.engine.model,
            "device": self.engine.device,
            "agreement": next(iter(now.agreement.values()), None),
            "agreement_by_model": now.agreement if len(now.agreement) > 1 else None,
            "paused": now.paused,
            "unreadable": now.unreadable,
            "left_alone": now.left_alone,
            "state_fault": now.state_fault,
            "health": now.health,
        }

    def _write_status(self, state: str, now: Snapshot, report: dict[str, object]) -> None:
        front = {"state": state, "pid": os.getpid(), "version": __version__, "at": time.time()}
        try:
            write_status(self.state_dir, front | report)
        except OSError as error:
            if now.state_fault is None:  # else it was told already
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
