"""Worker process handle: start it, exchange messages over two pipes, kill it, wait for it.

Options and requests go through one pipe, answers come through the other one, one JSON frame each
(see `sharpend.workers.messages` and `framing`). Nothing else is shared with the daemon: no other
descriptor, no memory, no lock, no terminal. One thread writes the requests, in order; another one
reads the answers, at most two ahead of the daemon: that a task began, which wakes nobody, and its
result.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from sharpend import machine
from sharpend.model.trial import TORCH
from sharpend.workers import ahead, framing, messages
from sharpend.workers.forkserver import ForkServer
from sharpend.workers.jsoncodec import MessageError, dumps
from sharpend.workers.messages import Began

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.workers.forkserver import Worker
    from sharpend.workers.loading import WorkerOptions
    from sharpend.workers.messages import Answer, Request

_ENDS_WITHIN_S = 1.0
"""A process that ended closes its pipe some milliseconds before its exit code is reported."""


class Launcher:
    """Start of the workers of one pool, by a fork server that is replaced when it must be."""

    def __init__(self) -> None:
        self._servers: list[ForkServer] = []
        """The last one forks; the others have workers that work."""

    def start(self, options: WorkerOptions, wake: Callable[[], None]) -> WorkerProcess:
        """Start a worker; takes what `WorkerProcess` takes, and raises its errors."""
        if not self._servers and (waiting := ahead.take()) is not None:
            self._servers.append(waiting)
        if not self._servers or not self._servers[-1].may_fork:
            self._servers.append(ForkServer(ahead.PROGRAM))
        *others, server = self._servers
        for other in others:
            if not other.has_workers:
                other.end()
        self._servers = [*(other for other in others if not other.has_ended), server]
        return WorkerProcess(server, options, wake)

    def end(self) -> None:
        """End the servers, and workers that have not ended with them."""
        for server in self._servers:
            server.end()
        self._servers = []


class WorkerProcess:
    """A running worker process.

    Args:
        server: its parent.
        options: what the worker is started with.
        wake: called from another thread when an answer waits that ends something: any but Began.

    Raises:
        OSError: the system has no room for a pipe.
        RuntimeError: or for a thread.
    """

    def __init__(
        self, server: ForkServer, options: WorkerOptions, wake: Callable[[], None]
    ) -> None:
        self._wake = wake
        self._answers: queue.SimpleQueue[Answer | MessageError | EOFError] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._taken = threading.Semaphore(1)
        self._is_dropped = False
        self._server = server
        self._worker, self._to_worker, self._from_worker = _forked(server, options)
        self._requests.put(dumps(messages.WORKER_OPTIONS.write(options)))
        try:
            self._threads = [_in_thread(self._write), _in_thread(self._listen)]
        except RuntimeError:
            self._requests.put(None)
            self._server.kill(self._worker)
            self._to_worker.close()
            self._from_worker.close()
            raise

    @property
    def is_idle(self) -> bool:
        """True if the process lives, or will be forked, and has no unread answer."""
        return self._answers.empty() and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """True if the process has ended and its exit code is known."""
        return self._server.exit_code(self._worker) is not None

    @property
    def lost_server(self) -> bool:
        """True if it ended because its server did."""
        return self._worker.lost_server

    def held_bytes(self) -> int:
        """Resident memory; 0 if it has ended, or the system does not report it."""
        pid = self._server.pid_of(self._worker)
        return (pid and machine.resident_bytes(pid)) or 0

    def send(self, request: Request) -> None:
        """Send a request without blocking: a worker that does not read fills its pipe."""
        self._requests.put(messages.encode(request))

    def take(self, timeout_s: float = 0.0) -> Answer | MessageError | EOFError | None:
        """Return the next answer, an error, or the end of the pipe; None if nothing has come."""
        try:
            answer = (
                self._answers.get(timeout=timeout_s) if timeout_s else self._answers.get_nowait()
            )
        except queue.Empty:
            return None
        self._taken.release()
        return answer

    def exit_code(self) -> int | None:
        """Exit code after the pipe ended; None if it closed the pipe and still lives."""
        return self._server.exit_code(self._worker, _ENDS_WITHIN_S)

    def kill(self) -> None:
        """Kill the process, even if it is stopped; its exit code is read later."""
        self._is_dropped = True
        self._server.kill(self._worker)
        self._taken.release()

    def wait(self, timeout_s: float) -> None:
        """Wait until the killed process and its threads have ended."""
        for thread in self._threads:
            thread.join(timeout_s)
        self._server.exit_code(self._worker, timeout_s)

    def _write(self) -> None:
        """Write requests until the other thread reports the end; it closes nothing in use."""
        with suppress(OSError), self._to_worker as pipe:
            while (body := self._requests.get()) is not None:
                with suppress(OSError):  # it ended: the end of the other pipe reports that
                    framing.send(pipe, body)

    def _listen(self) -> None:
        """Read answers until the pipe ends or one is not valid."""
        with self._from_worker as pipe:
            while not self._is_dropped:
                answer = _received(pipe)
                self._answers.put(answer)
                if not isinstance(answer, Began):
                    self._wake()
                if isinstance(answer, Exception):
                    break
                self._taken.acquire()
        self._requests.put(None)


def _in_thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name="worker pipe", daemon=True)
    thread.start()
    return thread


def _received(pipe: IO[bytes]) -> Answer | MessageError | EOFError:
    try:
        body = framing.receive(pipe, messages.ANSWER_BYTES)
        return EOFError() if body is None else messages.answer(body)
    except MessageError as error:
        return error
    except Exception as error:  # noqa: BLE001 - no message may stop the daemon
        return MessageError(f"reading it failed: {type(error).__name__}")


def _forked(server: ForkServer, options: WorkerOptions) -> tuple[Worker, IO[bytes], IO[bytes]]:
    """Ask for a worker with two new pipes; return it, and this process's ends of the pipes."""
    requests, to_worker = os.pipe()
    try:
        from_worker, answers = os.pipe()
    except OSError:
        os.close(requests)
        os.close(to_worker)
        raise
    try:
        worker = server.fork(requests, answers, prepared=_may_use_openvino(options))
    except OSError:
        os.close(to_worker)
        os.close(from_worker)
        raise
    finally:
        os.close(requests)
        os.close(answers)
    return worker, os.fdopen(to_worker, "wb"), os.fdopen(from_worker, "rb")


def _may_use_openvino(options: WorkerOptions) -> bool:
    on_cpu = options.device == "cpu" or not machine.may_have_gpu()
    return on_cpu and options.runtime != TORCH
