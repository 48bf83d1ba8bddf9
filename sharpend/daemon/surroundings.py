"""Objects that exist before the parts and after them, unchanged by a reload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.daemon.signals import Control
from sharpend.daemon.state_outage import StateOutage
from sharpend.daemon.systemd import Notifier, Patience, Watchdog

if TYPE_CHECKING:
    from sharpend.logs.logs import Log


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Signals, the service manager, and how the state directory fares."""

    control: Control
    notifier: Notifier
    patience: Patience
    watchdog: Watchdog
    outage: StateOutage


def surroundings(log: Log) -> Surroundings:
    """Make them; nothing is listened to yet."""
    control, notifier = Control(), Notifier()
    patience, watchdog = Patience(notifier, control), Watchdog(notifier, log)
    return Surroundings(control, notifier, patience, watchdog, StateOutage(notifier, log))
