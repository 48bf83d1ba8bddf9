"""Fork server: a process that imports torch and the pipeline once, and forks every worker.

An import takes a second of processor time and 280 MB in each process; a worker that is forked
begins after milliseconds and shares that memory. The server has one thread, opens no image and
reads nothing from its workers, so it needs no sandbox; each worker enters its own. On Linux workers
end with the server, and the server ends with the daemon.

This is the daemon's side, `forking` the server's. The two exchange records over a socket pair. The
daemon numbers the workers, and asks for one with its two pipes, or for the end of one: only the
parent can kill a process without the risk that its number is another's by now. The server reports
process numbers and exit codes.

The fork server of Python's `multiprocessing` is not used: it imports from the working directory,
which may be an input folder, and hands down all environment variables.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from sharpend.workers.forking import FORK, KILL, KILLED, RECORD, STARTED

_LAUNCH = (
    "import sys; module, sys.path[:] = sys.argv[1], sys.argv[3:]; "
    "import importlib; importlib.import_module(module).main(sys.argv[2])"
)
_SECRETS = "AWS_"
"""Beginning of the variables that a worker does not get: credentials of object storage."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Numpy would start a thread for each core; nothing here multiplies matrices by numpy, and a thread
is not there after a fork."""
_BUFFER_BYTES = 4096
_ENDS_WITHIN_S = 1.0
"""A process that ends closes its socket some milliseconds before its exit code can be read."""
_NO_CRASHES = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGXCPU}
"""Ends by a signal that says nothing of the worker's memory. After any other one its server forks
no further worker: all of a server have the same addresses, and a hostile file must not find them
out crash by crash."""
_SENDS_WITHIN_S = 1.0
_KILLS_WITHIN_S = 10.0
"""A server that has not killed a worker by then hangs, and is replaced."""


@dataclass(slots=True)
class Worker:
    """One worker, as far as the server has reported of it."""

    number: int
    pid: int | None = None
    exit_code: int | None = None
    """None while it runs; minus the signal's number after one."""
    lost_server: bool = False
    """True if it ended because its server did."""
    kill_by_s: float = math.inf
    """Time by which it must have been killed (monotonic)."""


class ForkServer:
    """The server as the daemon sees it; all methods are called from one thread.

    Args:
        program: module whose `main` the server runs.

    Raises:
        OSError: the system has no room for a process.
    """

    def __init__(self, program: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_SENDS_WITHIN_S)
        with theirs:
            try:
                self._process = _started(program, theirs)
            except BaseException:
                self._socket.close()
                raise
        self._workers: dict[int, Worker] = {}
        self._numbers = itertools.count(1)
        self._rest = b""
        self._has_ended = False
        self._has_crashed = False

    @property
    def may_fork(self) -> bool:
        """True if the server lives and answers, and no worker of it has crashed."""
        if self.has_ended:
            return False
        if any(time.monotonic() > worker.kill_by_s for worker in self._workers.values()):
            self.end()
        return not self._has_ended and not self._has_crashed

    @property
    def has_workers(self) -> bool:
        """True if a worker has not ended."""
        self._look(0.0)
        return bool(self._workers)

    @property
    def has_ended(self) -> bool:
        """True if the server is gone, and its workers with it."""
        self._look(0.0)
        return self._has_ended

    def fork(self, requests: int, answers: int, *, prepared: bool) -> Worker:
        """Ask for a worker; it is forked once the server has its imports.

        Args:
            requests: descriptor of the pipe that it reads; closed by the caller.
            answers: descriptor of the pipe that it writes; likewise.
            prepared: the server imports first what only some workers need.

        Raises:
            OSError: the system has no room for the descriptors, or the server does not read.
        """
        number = next(self._numbers)
        worker = self._workers[number] = Worker(number)
        record = RECORD.pack(FORK, number, prepared)
        try:
            socket.send_fds(self._socket, [record], [requests, answers])
        except ConnectionError:  # the server has just ended, and this worker with it
            self._all_ended()
        except OSError:
            del self._workers[number]
            raise
        return worker

    def kill(self, worker: Worker) -> None:
        """Kill a worker that has not ended, even if it is stopped."""
        worker.kill_by_s = time.monotonic() + _KILLS_WITHIN_S
        with suppress(OSError):  # without the server it ends anyway
            self._socket.sendall(RECORD.pack(KILL, worker.number, 0))

    def pid_of(self, worker: Worker) -> int | None:
        """Return the worker's process number; None before it is forked and after its end."""
        self._look(0.0)
        return worker.pid if worker.exit_code is None else None

    def exit_code(self, worker: Worker, timeout_s: float = 0.0) -> int | None:
        """Return the worker's exit code; None if it runs, for this time at least."""
        give_up_s = time.monotonic() + timeout_s
        self._look(0.0)
        while worker.exit_code is None and (left_s := give_up_s - time.monotonic()) > 0:
            self._look(left_s)
        return worker.exit_code

    def end(self) -> None:
        """End the server, which kills its workers first."""
        if not self._workers:
            self._process.kill()  # it may be importing
        if not self._has_ended:
            self._all_ended()

    def _look(self, timeout_s: float) -> None:
        """Read what the server has reported; wait for this long if it is nothing."""
        if self._has_ended:
            return
        self._socket.settimeout(timeout_s)
        try:
            received = self._socket.recv(_BUFFER_BYTES)
        except (BlockingIOError, TimeoutError):
            return
        except ConnectionError:
            received = b""
        finally:
            self._socket.settimeout(_SENDS_WITHIN_S)
        if not received:
            self._all_ended()
            return
        received = self._rest + received
        whole = len(received) // RECORD.size * RECORD.size
        self._rest = received[whole:]
        for record in RECORD.iter_unpack(received[:whole]):
            self._take(*record)

    def _take(self, what: bytes, number: int, value: int) -> None:
        if what == STARTED:
            self._workers[number].pid = value
        elif what == KILLED:
            if number in self._workers:
                self._workers[number].kill_by_s = math.inf
        else:
            self._workers.pop(number).exit_code = value
            self._has_crashed |= value < 0 and value not in _NO_CRASHES

    def _all_ended(self) -> None:
        """Give every worker the exit code of the server, with which it ended."""
        self._socket.close()
        self._has_ended = True
        with self._process:
            try:
                self._process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for worker in self._workers.values():
            worker.exit_code, worker.lost_server = self._process.returncode, True
        self._workers.clear()


def _started(program: str, connection: socket.socket) -> subprocess.Popen[bytes]:
    """Start a server whose standard input is its end of the socket pair."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith(_SECRETS)}
    # A session of its own: no terminal to write to, and a signal to the daemon's whole group
    # (`timeout`, Ctrl-C) is for the daemon alone, which then drains.
    return subprocess.Popen(
        _command(program),
        stdin=connection.fileno(),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=environment | _ONE_THREAD,
    )


def _command(program: str) -> list[str]:
    """Build a command whose imports come from where this process's do, and from nowhere else.

    Python alone would look into the working directory first. That may be an input folder, and an
    untrusted file in it may have the name of a module.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]
    return [sys.executable, "-P", "-c", _LAUNCH, program, str(os.getpid()), *paths]
