"""Daemon as a child process, for commands that show it at work: start, events, drain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sharpend.errors import SharpendError, UnavailableError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEADLINE_S = 300.0


@contextmanager
def running_daemon(
    arguments: list[str], environment: Mapping[str, str]
) -> Iterator[Iterator[dict[str, Any]]]:
    """Run a real `sharpend run` for the length of a block, and drain it by SIGTERM.

    Yields:
        Its events as they come, and after the block those of its end.
    """
    daemon = subprocess.Popen(
        [sys.executable, "-m", "sharpend", "run", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    overdue = threading.Timer(DEADLINE_S, daemon.kill)
    overdue.start()
    try:
        yield _events(daemon)
        daemon.send_signal(signal.SIGTERM)
    except BaseException:
        daemon.kill()
        raise
    finally:
        overdue.cancel()


def _events(daemon: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Parse the daemon's log, event by event, until it ends."""
    if daemon.stderr is None:
        raise UnavailableError("the daemon's log cannot be read")
    with daemon.stderr:
        for line in daemon.stderr:
            try:
                yield json.loads(line)
            except ValueError:
                print(line, end="", file=sys.stderr)
    daemon.wait()


def await_event(events: Iterator[dict[str, Any]], wanted: Event) -> dict[str, Any]:
    """Return the next event of a kind; a quarantined image or the daemon's end is an error."""
    for event in events:
        if event["event"] == wanted:
            return event
        if event["event"] == Event.IMAGE_QUARANTINED:
            raise SharpendError(f"{event['path']} was quarantined: {event['message']}")
    raise UnavailableError(f"the daemon ended before {wanted}; see its own message above")
