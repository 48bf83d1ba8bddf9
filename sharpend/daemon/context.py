"""Process context: objects that a reload does not replace."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sharpend.daemon.signals import Control
from sharpend.daemon.state_outage import StateOutage
from sharpend.daemon.systemd import KeepAlive, Notifier, Watchdog
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.opening import open_ledger
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """Signals, service manager, watchdog, and the state of the state directory."""

    control: Control
    notifier: Notifier
    keep_alive: KeepAlive
    watchdog: Watchdog
    outage: StateOutage

    def open_ledger(self, state_dir: Path, *, waits: bool) -> Ledger | None:
        """Open the ledger; extend the service manager's timeout while a large one is opened.

        Args:
            state_dir: created if missing.
            waits: True waits until a state directory that fails can be written.

        Returns:
            The ledger, or None if a signal ended that.

        Raises:
            LedgerError: as `opening.open_ledger`; also StateFaultError, StateLockedError.
        """
        if waits:
            wait, go_on = self.keep_alive.wait_until, self.keep_alive.go_on
            return self.outage.wait_for_ledger(state_dir, wait, go_on)
        with suppress(AbandonedError):
            return open_ledger(state_dir, self.keep_alive.go_on)
        return None


def process_context(log: Log) -> ProcessContext:
    """Construct the context; no signal handler is installed yet."""
    control, notifier = Control(partial(_log_ignored, log)), Notifier()
    keep_alive, watchdog = KeepAlive(notifier, control), Watchdog(notifier, log)
    return ProcessContext(control, notifier, keep_alive, watchdog, StateOutage(notifier, log))


def _log_ignored(log: Log, name: str) -> None:
    advice = "SIGHUP reloads the settings, SIGTERM stops; the log is stderr, no file"
    log.info(Event.SIGNAL_IGNORED, signal=name, advice=advice)
