"""How the daemon tells the world that it lives: systemd's notify socket and a status file.

Owns the sd_notify protocol in plain Python and the file `status.json` in the state directory.
Refuses to fail because of systemd: without a socket, or with a broken one, it says nothing. When
to ping the watchdog is the daemon's decision, made from the progress of its parts.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sharpend.files.atomic import replacing
from sharpend.logs.logs import plain, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STATUS_FILE = "status.json"

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


def watchdog_interval_s(environment: Mapping[str, str] | None = None) -> float | None:
    """Seconds between two pings, half of what systemd allows; None where it expects none."""
    given = os.environ if environment is None else environment
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the parent process, which started us with its environment
    microseconds = given.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit()):
        return None
    return int(microseconds) / 2e6 or None


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


def _status(text: str) -> str:
    """A field of one line: a newline would let a file name set other fields."""
    return f"STATUS={printable(text)}"
