"""The service manager: the sd_notify protocol, the time a start asks for, and watchdog pings.

Owns the sd_notify protocol in plain Python, and when the watchdog is fed. Refuses to fail because
of systemd: without a socket, or with a broken one, it says nothing. The watchdog hears nothing
while a part stands still that only a new start can move; the loop that asks here has come round,
so whatever blocks it starves the watchdog as well.
"""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.logs.events import Event
from sharpend.logs.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.daemon.signals import Control
    from sharpend.logs.logs import Log

LONG_STEP_S = 60.0
"""What one step of a start may take, told to the service manager again and again."""
TELL_EVERY_S = 1.0
_SEND_TIMEOUT_S = 1.0
"""A notification is lost rather than let a hung service manager stop the daemon."""


class Notifier:
    """Messages to the service manager, sd_notify(3); silent where there is none.

    Args:
        environment: holds NOTIFY_SOCKET; the process's own when None.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        # "@name" is a socket in Linux's abstract namespace, whose names begin with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that start-up, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Say in one line what is going on, for `systemctl status`."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """Say that the daemon makes progress."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that a reload has begun; `ready` ends it."""
        # Without the time stamp systemd waits for the end of this reload until it gives up.
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """Say that the daemon drains and will exit."""
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for `seconds` more, from now, for a start or a stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        message = "\n".join(fields).encode()
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_TIMEOUT_S)
            sender.sendto(message, self._address)


class Patience:
    """What keeps a long step going: the service manager hears of it, and a signal ends it.

    Args:
        notifier: asks for more time.
        control: knows of signals.

    Attributes:
        next_s: when to ask again (monotonic seconds).
    """

    def __init__(self, notifier: Notifier, control: Control) -> None:
        self._notifier = notifier
        self._control = control
        self.next_s = -math.inf

    def go_on(self) -> bool:
        """Ask for time where that is due; False where the step is to end."""
        now_s = time.monotonic()
        if now_s >= self.next_s:
            self.next_s = now_s + TELL_EVERY_S
            self._notifier.extend_timeout(LONG_STEP_S)
            self._notifier.watchdog()
        return not self._control.stops

    def wait_until(self, then_s: float) -> bool:
        """Wait, at most until then, and `go_on`."""
        self._control.wait(then_s - time.monotonic())
        return self.go_on()


class Watchdog:
    """The pings of one daemon.

    Args:
        notifier: passes them on.
        log: told what stands still.

    Attributes:
        next_s: when the next is due (monotonic seconds); infinity where nobody listens.
    """

    def __init__(self, notifier: Notifier, log: Log) -> None:
        self._notifier = notifier
        self._log = log
        self._every_s = watchdog_interval_s()
        self.next_s = math.inf if self._every_s is None else 0.0

    def beat(self, now_s: float, stalled_by: Callable[[float], str | None]) -> None:
        """Feed the watchdog where that is due and nothing stands still.

        Args:
            now_s: the monotonic clock.
            stalled_by: what stands still at a time, or None.
        """
        if self._every_s is None or now_s < self.next_s:
            return
        self.next_s = now_s + self._every_s
        cause = stalled_by(now_s)
        if cause is None:
            self._notifier.watchdog()
        else:
            self._log.error(Event.DAEMON_STALLED, reason=cause)


def watchdog_interval_s(environment: Mapping[str, str] | None = None) -> float | None:
    """Seconds between two pings, half of what systemd allows; None where it expects none."""
    given = os.environ if environment is None else environment
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the parent process, which started us with its environment
    microseconds = given.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit()):
        return None
    return int(microseconds) / 2e6 or None


def _status(text: str) -> str:
    """A field of one line: a newline would let a file name set other fields."""
    return f"STATUS={printable(text)}"
