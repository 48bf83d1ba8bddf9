"""Forking of workers: the loop of the fork server, and the start of a worker from it.

See `forkserver` for the reasons and for the daemon's side.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = struct.Struct("=cIq")
"""One record: request or report, number of a worker, value."""
FORK, KILL = b"F", b"K"
"""Requests of the daemon; the value of FORK is 1 for a worker that needs more imports."""
STARTED, KILLED, ENDED = b"S", b"K", b"E"
"""Reports of the server; the value of STARTED is a process number, that of ENDED an exit code. A
process that waits for a disk ends later than it is killed."""
_BUFFER_BYTES = 4096
_PR_SET_PDEATHSIG = 1


def die_with_parent(pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the pipe ends)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != pid:
            os._exit(1)


def serve(connection: socket.socket, prepare: Callable[[], None] | None) -> tuple[int, int] | None:
    """Fork a worker for each request of the daemon.

    Args:
        connection: the server's end of the socket pair.
        prepare: imports what only some workers need; called before each of them is forked. None if
            workers import themselves.

    Returns:
        In each worker, the descriptors of its requests and answers; in the server None, when the
        daemon is gone or needs no worker.
    """
    return _Server(connection, prepare).run()


class _Server:
    """Loop of the server process.

    Attributes:
        _numbers: the daemon's numbers of workers that were not waited for, by process number.
    """

    def __init__(self, connection: socket.socket, prepare: Callable[[], None] | None) -> None:
        self._connection, self._prepare = connection, prepare
        self._numbers: dict[int, int] = {}
        self._ended, self._ends = socket.socketpair()

    def run(self) -> tuple[int, int] | None:
        """Answer requests; see `serve`."""
        self._ended.setblocking(False)
        self._ends.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler of its own, to be woken by it
        signal.set_wakeup_fd(self._ends.fileno(), warn_on_full_buffer=False)
        ready = select.poll()
        ready.register(self._connection, select.POLLIN)
        ready.register(self._ended, select.POLLIN)
        while True:
            descriptors = {descriptor for descriptor, _ in ready.poll()}
            if self._ended.fileno() in descriptors:
                self._report()
            if self._connection.fileno() not in descriptors:
                continue
            body, pipes = self._request()
            if len(body) < RECORD.size:
                self._kill(*self._numbers.values())
                return None
            what, number, needs_more = RECORD.unpack(body)
            if what == KILL:
                self._kill(number)
                self._send(KILLED, number, 0)
                continue
            if needs_more and self._prepare is not None:
                self._prepare()
            if self._fork(number, pipes):
                return pipes[0], pipes[1]

    def _request(self) -> tuple[bytes, list[int]]:
        """Receive a request with its pipes; nothing if the daemon is gone."""
        try:
            body, pipes, _, _ = socket.recv_fds(self._connection, RECORD.size, 2)
        except ConnectionError:  # it ended before it had read all reports
            return b"", []
        return body, pipes

    def _fork(self, number: int, pipes: list[int]) -> bool:
        """Fork; True in the worker. Where the system refuses, the daemon gets an exit status."""
        server_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            with suppress(OSError):
                os.write(2, f"sharpend: no worker could be forked: {error}\n".encode())
            self._send(ENDED, number, os.EX_OSERR)
        else:
            if pid == 0:
                self._become_worker(server_pid, pipes)
                return True
            self._numbers[pid] = number
            self._send(STARTED, number, pid)
        for pipe in pipes:
            os.close(pipe)
        return False

    def _become_worker(self, server_pid: int, pipes: list[int]) -> None:
        die_with_parent(server_pid)
        os.setsid()
        for pipe in pipes:  # a program that a driver starts would keep them open
            os.set_inheritable(pipe, False)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._connection, self._ended, self._ends):
            one.close()

    def _kill(self, *numbers: int) -> None:
        for pid, number in self._numbers.items():
            if number in numbers:
                os.kill(pid, signal.SIGKILL)

    def _report(self) -> None:
        """Report workers that have ended."""
        with suppress(BlockingIOError):
            while self._ended.recv(_BUFFER_BYTES):
                pass
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                if (number := self._numbers.pop(pid, None)) is not None:
                    self._send(ENDED, number, os.waitstatus_to_exitcode(status))

    def _send(self, what: bytes, number: int, value: int) -> None:
        with suppress(OSError):  # the daemon is gone; the end of the socket says so next
            self._connection.sendall(RECORD.pack(what, number, value))
