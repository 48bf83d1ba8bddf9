"""Worker process handle: start it, exchange messages over two pipes, kill it, wait for it.

Options and requests go to the worker's standard input, answers come from its standard output, one
JSON frame each (see `sharpend.workers.messages` and `framing`). Nothing else is shared: no other
descriptor, no memory, no lock, no terminal. One thread writes the requests, in order; another one
reads the answers, at most two ahead of the daemon: that a task began, which wakes nobody, and its
result.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from sharpend import machine
from sharpend.workers import framing, messages
from sharpend.workers.jsoncodec import MessageError, dumps
from sharpend.workers.messages import Began

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.workers.loading import WorkerOptions
    from sharpend.workers.messages import Answer, Request

PROGRAM = "sharpend.workers.serve"
"""The module whose `main` a worker process runs."""
_LAUNCH = (
    "import sys; module, sys.path[:] = sys.argv[1], sys.argv[3:]; "
    "import importlib; importlib.import_module(module).main(sys.argv[2])"
)
_SECRETS = "AWS_"
"""Beginning of the variables that a worker does not get: credentials of object storage."""
_ENDS_WITHIN_S = 1.0
"""A process that ended closes its pipe some milliseconds before its status can be read."""
_ahead: list[subprocess.Popen[bytes]] = []
"""A process that waits for its options; at most one."""


def start_ahead() -> None:
    """Start the process of the first worker before its options are known.

    It imports torch meanwhile, which takes over a second. It ends with this process at the latest.
    """
    with suppress(OSError):  # the worker starts it then, or says why not
        _ahead.append(_started())


def end_ahead() -> None:
    """End a process that was started ahead, where no worker needs it."""
    while _ahead:
        with _ahead.pop() as process:
            process.kill()


class WorkerProcess:
    """A running worker process.

    Args:
        options: what the worker is started with.
        wake: called from another thread when an answer waits that ends something: any but Began.

    Raises:
        OSError: the system has no room for a process.
        RuntimeError: or for a thread.
    """

    def __init__(self, options: WorkerOptions, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._answers: queue.SimpleQueue[Answer | MessageError | EOFError] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._taken = threading.Semaphore(1)
        self._is_dropped = False
        self._process = _ahead.pop() if _ahead else _started()
        self._requests.put(dumps(messages.WORKER_OPTIONS.write(options)))
        try:
            self._threads = [_in_thread(self._write), _in_thread(self._listen)]
        except RuntimeError:
            self._requests.put(None)
            with self._process:
                self._process.kill()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """True if the process lives and has no unread answer."""
        return self._answers.empty() and self._process.poll() is None

    @property
    def has_ended(self) -> bool:
        """True if the process has ended and its exit status was read."""
        return self._process.poll() is not None

    def held_bytes(self) -> int:
        """Resident memory; 0 if it has ended, or the system does not report it."""
        return machine.resident_bytes(self.pid) or 0

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
        try:
            return self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill the process, even if it is stopped; its status is read later."""
        self._is_dropped = True
        self._process.kill()
        self._taken.release()

    def wait(self, timeout_s: float) -> None:
        """Wait until the killed process and its threads have ended."""
        with suppress(subprocess.TimeoutExpired):
            # The end of its pipe wakes this thread; its status alone would have to be asked for.
            for thread in self._threads:
                thread.join(timeout_s)
            self._process.wait(timeout_s)

    def _write(self) -> None:
        """Write requests until the other thread reports the end; it closes nothing in use."""
        with suppress(OSError), _opened(self._process.stdin) as pipe:
            while (body := self._requests.get()) is not None:
                with suppress(OSError):  # it ended: the end of the other pipe reports that
                    framing.send(pipe, body)

    def _listen(self) -> None:
        """Read answers until the pipe ends or one is not valid."""
        pipe = _opened(self._process.stdout)
        with pipe:
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


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that was requested when the process was started."""
    assert pipe is not None  # noqa: S101 - for the type checker
    return pipe


def _started() -> subprocess.Popen[bytes]:
    """Start a process that waits for its options."""
    # A session of its own: no terminal to write to, and a signal to the daemon's whole group
    # (`timeout`, Ctrl-C) is for the daemon alone, which then drains.
    return subprocess.Popen(
        _command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={key: text for key, text in os.environ.items() if not key.startswith(_SECRETS)},
    )


def _command() -> list[str]:
    """Build a command whose imports come from where this process's do, and from nowhere else.

    Python alone would look into the working directory first. That may be an input folder, and an
    untrusted file in it may have the name of a module.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]
    return [sys.executable, "-P", "-c", _LAUNCH, PROGRAM, str(os.getpid()), *paths]
