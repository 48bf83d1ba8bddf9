"""Log that starts hooks for its events, and logs how they ended.

Owns the choice of events and the payload of a hook: the line of the log, with the paths of the
folder, never an image's content. The result of a run is logged with the next event of any kind.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sharpend.daemon.hook_runs import HookRuns
from sharpend.logs.events import Event
from sharpend.logs.logs import Log
from sharpend.logs.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sharpend.daemon.hook_runs import Hook

STOP_S = 10.0
"""Longest wait for hooks at a stop; with the drain below the unit's TimeoutStopSec."""


class HookedLog(Log):
    """Wrapper of a log; all methods are called from one thread.

    Args:
        log: writes the lines.
        hooks: to start.
        folders: input and output roots by the folder's name in the log.
        runs: of the log that a reload replaces, which go on; None at a start.
    """

    def __init__(
        self,
        log: Log,
        hooks: Sequence[Hook],
        folders: Mapping[str, tuple[bytes, bytes]],
        runs: HookRuns | None = None,
    ) -> None:
        self.inner = log
        self._hooks = hooks
        self._folders = folders
        self.runs = runs or HookRuns()

    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        """Write an event, and queue its hooks; the daemon's last event waits for them."""
        if event is Event.DAEMON_STOPPED:
            self.close(STOP_S)
        self._log_runs()
        self.inner.write(level, event, values)
        for hook in self._hooks:
            if hook.event == event:
                self.runs.add(hook, self._body(event, values))

    def close(self, within_s: float = 0.0) -> None:
        """End the hooks; those that wait longer than `within_s` are dropped."""
        self.runs.stop(within_s)
        self._log_runs()

    def _body(self, event: Event, values: Mapping[str, object]) -> bytes:
        """Format the payload of a hook."""
        payload = {"event": event, "at": time.time(), **values}
        roots = self._folders.get(str(values.get("folder")))
        if roots is not None:
            payload |= {"input_root": roots[0], "output_root": roots[1]}
        return json.dumps(plain(payload), allow_nan=False).encode() + b"\n"

    def _log_runs(self) -> None:
        for run in self.runs.ended():
            write = self.inner.warning if run.message else self.inner.debug
            write(
                Event.HOOK_ENDED,
                hook=run.hook.number,
                cause=run.hook.event,
                status=run.status,
                message=run.message or None,
                seconds=round(run.seconds, 3),
            )
        if self.runs.dropped and not self.runs.is_full:  # one line for a flood
            self.inner.warning(Event.HOOK_DROPPED, dropped=self.runs.dropped)
            self.runs.dropped = 0
