"""Process context: objects that a reload does not replace."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sharpend.daemon.signals import Control
from sharpend.daemon.state_outage import StateOutage
from sharpend.daemon.systemd import KeepAlive, Notifier, Watchdog
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from sharpend.logs.logs import Log


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """Signals, service manager, watchdog, and the state of the state directory."""

    control: Control
    notifier: Notifier
    keep_alive: KeepAlive
    watchdog: Watchdog
    outage: StateOutage


def process_context(log: Log) -> ProcessContext:
    """Construct the context; no signal handler is installed yet."""
    control, notifier = Control(partial(_log_ignored, log)), Notifier()
    keep_alive, watchdog = KeepAlive(notifier, control), Watchdog(notifier, log)
    return ProcessContext(control, notifier, keep_alive, watchdog, StateOutage(notifier, log))


def _log_ignored(log: Log, name: str) -> None:
    advice = "SIGHUP reloads the settings, SIGTERM stops; the log is stderr, no file"
    log.info(Event.SIGNAL_IGNORED, signal=name, advice=advice)
