"""Service manager: sd_notify protocol, timeout extension of long steps, watchdog pings.

Owns the sd_notify protocol in plain Python, and the schedule of watchdog pings. Never fails because
of systemd: without a socket, or with a broken one, nothing is sent. No ping is sent while a part is
stalled that only a restart can help; a blocked main loop sends none either.
"""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.logs.events import Event
from sharpend.logs.plain import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.daemon.signals import Control
    from sharpend.logs.logs import Log

LONG_STEP_S = 60.0
"""Timeout that each message to the service manager asks for during a long step."""
EXTEND_EVERY_S = 1.0
_SEND_TIMEOUT_S = 1.0
"""A notification is lost rather than the daemon blocked by a hung service manager."""


class Notifier:
    """Messages to the service manager, sd_notify(3); none are sent without one.

    Args:
        environment: with NOTIFY_SOCKET; None is that of the process.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        # "@name" is a socket in Linux's abstract namespace, whose names begin with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Report that start-up, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Set the line of `systemctl status`."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """Report that the daemon makes progress."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` ends it."""
        # Without the time stamp systemd waits for the end of this reload until it gives up.
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self) -> None:
        """Report that the daemon drains and will exit."""
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Extend the timeout of a start or a stop to `seconds` from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        message = "\n".join(fields).encode()
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_TIMEOUT_S)
            sender.sendto(message, self._address)


class KeepAlive:
    """Timeout extension during long steps, with cancellation by a signal.

    Args:
        notifier: extends the timeout and pings the watchdog.
        control: counts requests to stop.

    Attributes:
        next_s: time of the next message (monotonic seconds).
    """

    def __init__(self, notifier: Notifier, control: Control) -> None:
        self._notifier = notifier
        self._control = control
        self.next_s = -math.inf

    def go_on(self) -> bool:
        """Extend the timeout if that is due; return False if the step has to end."""
        now_s = time.monotonic()
        if now_s >= self.next_s:
            self.next_s = now_s + EXTEND_EVERY_S
            self._notifier.extend_timeout(LONG_STEP_S)
            self._notifier.watchdog()
        return not self._control.stops

    def wait_until(self, then_s: float) -> bool:
        """Wait for a wake-up, at most until `then_s`, then `go_on`."""
        self._control.wait(then_s - time.monotonic())
        return self.go_on()


class Watchdog:
    """Watchdog pings of one daemon.

    Args:
        notifier: sends them.
        log: for stalls.

    Attributes:
        next_s: time of the next ping (monotonic seconds); infinity without a watchdog.
    """

    def __init__(self, notifier: Notifier, log: Log) -> None:
        self._notifier = notifier
        self._log = log
        self._every_s = watchdog_interval_s()
        self.next_s = math.inf if self._every_s is None else 0.0

    def ping(self, now_s: float, stalled_by: Callable[[float], str | None]) -> None:
        """Ping the watchdog if that is due and nothing is stalled.

        Args:
            now_s: the monotonic clock.
            stalled_by: returns what is stalled at a time, or None.
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
    """Return the seconds between two pings, half of systemd's limit; None without a watchdog."""
    given = os.environ if environment is None else environment
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # set for the parent process, whose environment this one inherited
    microseconds = given.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit()):
        return None
    return int(microseconds) / 2e6 or None


def _status(text: str) -> str:
    """Format a STATUS field; a newline in a file name must not add other fields."""
    return f"STATUS={printable(text)}"
