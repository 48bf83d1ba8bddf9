"""Daemon as a child process, for commands that show or measure it at work: start, events, drain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sharpend.errors import SharpendError, UnavailableError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEADLINE_S = 300.0
LOGGED = {"SHARPEND_LOG__FORMAT": "json", "SHARPEND_LOG__LEVEL": "info"}
"""Environment of commands whose events are read."""


class LiveDaemon:
    """Running daemon.

    Attributes:
        last_events: those of its end, once it has ended.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._events = _events(process)
        self.last_events: list[dict[str, Any]] = []

    def await_event(self, wanted: Event) -> dict[str, Any]:
        """Return the next event of a kind.

        Raises:
            SharpendError: an image was quarantined before.
            UnavailableError: the daemon ended before.
        """
        for event in self._events:
            if event["event"] == wanted:
                return event
            if event["event"] == Event.IMAGE_QUARANTINED:
                raise SharpendError(f"{event['path']} was quarantined: {event['message']}")
        raise UnavailableError(f"the daemon ended before {wanted}; see its own message above")

    def drain(self) -> None:
        """Ask it to end, and read its log until it has ended."""
        self._process.send_signal(signal.SIGTERM)
        self.last_events = list(self._events)

    def cpu_s(self) -> float:
        """Return the processor time of the daemon's own process so far, seconds."""
        return _Times.of(self._process.pid).own_s

    def tree_cpu_s(self) -> float:
        """Return the processor time of the daemon and its workers so far, seconds."""
        return tree_cpu_s(self._process.pid)


class _Times(NamedTuple):
    """Parent and processor times of a process."""

    parent: int
    own_s: float
    ended_children_s: float

    @classmethod
    def of(cls, pid: int) -> _Times:
        """Read them; OSError where the process has ended."""
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        user, system, of_children, in_system = (int(one) for one in fields[11:15])
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
        return cls(int(fields[1]), (user + system) * tick_s, (of_children + in_system) * tick_s)


def tree_cpu_s(root: int) -> float:
    """Return the processor time of a process and of all its descendants so far, seconds."""
    found: dict[int, _Times] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended meanwhile
            found[int(name)] = _Times.of(int(name))
    tree, is_new = {root}, True
    while is_new:
        more = {pid for pid, one in found.items() if one.parent in tree} - tree
        tree, is_new = tree | more, bool(more)
    return sum(found[pid].own_s + found[pid].ended_children_s for pid in tree & found.keys())


@contextmanager
def running_daemon(
    arguments: list[str], environment: Mapping[str, str], deadline_s: float = DEADLINE_S
) -> Iterator[LiveDaemon]:
    """Run a real `sharpend run` for the length of a block; it has ended when the block has.

    Args:
        arguments: its options.
        environment: of it, beside this process's and LOGGED.
        deadline_s: longest time for the block, after which the daemon is killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sharpend", "run", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **LOGGED, **environment},
    )
    overdue = threading.Timer(deadline_s, process.kill)
    overdue.start()
    with process:  # closes its pipe and waits for it
        try:
            daemon = LiveDaemon(process)
            yield daemon
            daemon.drain()
        finally:
            process.kill()
            overdue.cancel()


def _events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Parse the daemon's log, event by event, until it ends."""
    if process.stderr is None:
        raise UnavailableError("the daemon's log cannot be read")
    yield from parsed(process.stderr)
    process.wait()


def parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Parse a log of JSON lines; lines that are no events are passed on to stderr."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="", file=sys.stderr)  # noqa: T201 - for people
            continue
        yield event
