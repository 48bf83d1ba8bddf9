"""Runs of hooks: a program or an HTTP request for an event, one after the other in a thread.

Owns the bounded queue and the thread. Never blocks its caller, starts a shell or passes on the
daemon's environment: runs that do not fit into the queue are dropped and counted.
"""

from __future__ import annotations

import os
import pwd
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_WAITING = 100
"""Runs that wait; further ones are dropped."""
_END_S = 5.0
"""Wait for the end of a program that was killed."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "HOME")
"""Variables of the daemon's environment that a program gets."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Program that is started, or address that is called, at an event."""

    number: int
    """Position in the settings, from 1."""
    event: str
    command: tuple[str, ...] = ()
    """Program and arguments, or empty."""
    url: str = ""
    """Address for a POST, or empty."""
    user: str | None = None
    """User that the program runs as; None is the daemon's own."""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """Result of one run."""

    hook: Hook
    seconds: float
    status: int | None
    """Exit status, negative for a signal, or HTTP status; None if there is none."""
    message: str
    """Cause of a failure in words; empty if it went well."""


class HookRuns:
    """Queue of at most `most` runs, and its thread; methods are called from one other thread."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.dropped = 0
        """Runs that found no place in the queue, or were cut off at the stop."""
        self._waiting: queue.Queue[tuple[Hook, bytes] | None] = queue.Queue(most)
        self._ended: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._stops = threading.Event()
        # A daemon thread: a request that hangs must not prevent the end of the process.
        self._thread = threading.Thread(target=self._work, name="hooks", daemon=True)
        self._thread.start()

    def add(self, hook: Hook, body: bytes) -> None:
        """Queue a run; `body` is what the program or the address gets."""
        try:
            self._waiting.put_nowait((hook, body))
        except queue.Full:
            self.dropped += 1

    def ended(self) -> Iterator[Run]:
        """Return the runs that ended since the last call."""
        while not self._ended.empty():
            yield self._ended.get()

    def stop(self, within_s: float) -> None:
        """Wait until the queue is empty, at most so long; then end the program, drop the rest."""
        deadline_s = time.monotonic() + within_s
        with suppress(queue.Full):
            self._waiting.put(None, timeout=within_s)
        self._thread.join(max(deadline_s - time.monotonic(), 0.0))
        self._stops.set()
        with suppress(queue.Empty):
            while True:
                self.dropped += self._waiting.get_nowait() is not None
        self._waiting.put_nowait(None)
        _kill(self._process)
        self._thread.join(_END_S)

    @property
    def is_full(self) -> bool:
        """True while a further run would be dropped."""
        return self._waiting.full()

    def _work(self) -> None:
        while not self._stops.is_set() and (one := self._waiting.get()) is not None:
            hook, body = one
            began_s = time.monotonic()
            try:
                status, message = self._ask(hook, body) if hook.url else self._start(hook, body)
            except Exception as error:  # noqa: BLE001 - one hook must not end the others
                status, message = None, str(error) or type(error).__name__
            self._ended.put(Run(hook, time.monotonic() - began_s, status, message))

    def _start(self, hook: Hook, body: bytes) -> tuple[int | None, str]:
        """Run a program in a session of its own, and end all of it when its time is over."""
        with subprocess.Popen(
            hook.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **_identity(hook.user),
        ) as process:
            self._process = process
            if self._stops.is_set():
                _kill(process)
            try:
                process.communicate(body, timeout=hook.timeout_s)
            except subprocess.TimeoutExpired:
                _kill(process)
                process.communicate()
                return None, f"ended after {hook.timeout_s:g} s"
            finally:
                self._process = None
        status = process.returncode
        if self._stops.is_set() and status == -signal.SIGKILL:
            return None, "ended because the daemon stops"
        return status, f"exit status {status}" if status else ""

    def _ask(self, hook: Hook, body: bytes) -> tuple[int | None, str]:
        """Send a POST; a redirection is a failure, and the answer is not read."""
        from http.client import responses  # noqa: PLC0415 - as below
        from urllib.error import HTTPError  # noqa: PLC0415 - costs memory, and few need it
        from urllib.request import HTTPRedirectHandler, Request, build_opener  # noqa: PLC0415

        class NoRedirection(HTTPRedirectHandler):
            def redirect_request(self, *_: object) -> None:
                return None

        kind = {"Content-Type": "application/json", "User-Agent": "sharpend"}
        request = Request(hook.url, body, kind, method="POST")  # noqa: S310 - settings allow http(s) only
        try:
            with build_opener(NoRedirection).open(request, timeout=hook.timeout_s) as answer:
                return int(answer.status), ""
        except HTTPError as error:
            with error:
                return (
                    error.code,
                    f"HTTP status {error.code} {responses.get(error.code, '')}".strip(),
                )


def _identity(user: str | None) -> dict[str, Any]:
    """Return the arguments for environment and user of a program."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if user is None:
        return {"env": environment}
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    environment["HOME"] = entry.pw_dir
    return {
        "env": environment,
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": groups,
    }


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    """End a program and all that it started in its session."""
    if process is not None and process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
