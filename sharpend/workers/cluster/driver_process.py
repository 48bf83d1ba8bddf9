"""Driver process: the daemon's end of the pipes to its driver.

Starts the process, reads its notices and validates them, writes commands without blocking, and
ends it. Its end is one notice more, with the cause in words.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sharpend.workers import framing
from sharpend.workers.cluster import notices
from sharpend.workers.cluster.notices import Refused
from sharpend.workers.jsoncodec import MessageError, dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.workers.cluster.notices import Cluster, Command, Notice

_PROGRAM = "sharpend.workers.cluster.driver"
_LAUNCH = (
    "import sys; module, sys.path[:] = sys.argv[1], sys.argv[3:]; "
    "import importlib; importlib.import_module(module).main(sys.argv[2])"
)
_STOP_GRACE_S = 5.0
_ENDS_WITHIN_S = 1.0
_NO_STATISTICS = {"RAY_USAGE_STATS_ENABLED": "0"}
_SETTINGS_OF_RAY = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20"}
"""Defaults under those of the environment; by its own, Ray gives a head up after 60 s."""
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_FOREIGN_TOKEN = (b"InvalidAuthToken", b"Unauthenticated", b"AuthenticationError")
"""Words of Ray's log where it is refused for its token; it is reported nowhere else."""


@dataclass(frozen=True, slots=True)
class DriverEnded:
    """End of the driver."""

    cause: str


def is_installed() -> bool:
    """Return whether Ray is installed; it is not imported."""
    return importlib.util.find_spec("ray") is not None


class DriverProcess:
    """The running child process that talks to Ray.

    Args:
        cluster: what it joins.
        wake: called from another thread when a notice waits.

    Raises:
        OSError: the system has no room for a process.
        RuntimeError: or for a thread.
    """

    def __init__(self, cluster: Cluster, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._address = cluster.address
        self._heard: queue.SimpleQueue[Notice | DriverEnded] = queue.SimpleQueue()
        self._unsent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # From the root folder: Ray puts the working directory on the import path of all nodes.
        self._process = subprocess.Popen(
            _command(cluster),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_environment(cluster.address),
            start_new_session=True,
        )
        targets = (self._listen, self._write, self._read_complaints)
        self._threads = [
            threading.Thread(target=one, name="driver", daemon=True) for one in targets
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, command: Command) -> None:
        """Send a command; never blocks."""
        self._unsent.put(notices.encode(command))

    def notices(self) -> Iterator[Notice | DriverEnded]:
        """Return what was heard since the last call."""
        with suppress(queue.Empty):
            while True:
                yield self._heard.get_nowait()

    def close(self) -> None:
        """End the driver, which ends its actors first; kill it if it takes too long."""
        self._unsent.put(None)
        try:
            self._process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(_STOP_GRACE_S)

    def _write(self) -> None:
        pipe = _opened(self._process.stdin)
        with suppress(OSError, ValueError):  # it ended, which the other pipe reports
            while (body := self._unsent.get()) is not None:
                framing.send(pipe, body)
        with suppress(OSError):
            pipe.close()

    def _listen(self) -> None:
        """Read notices until the pipe ends or one is not valid."""
        cause = ""
        with _opened(self._process.stdout) as pipe:
            try:
                while (body := framing.receive(pipe, notices.FRAME_BYTES)) is not None:
                    self._hear(notices.notice(body))
            except MessageError as error:
                cause = f"it sent an invalid notice: {error}"
                self._process.kill()
        self._unsent.put(None)
        self._hear(DriverEnded(cause or self._exit()))

    def _hear(self, heard: Notice | DriverEnded) -> None:
        self._heard.put(heard)
        self._wake()

    def _exit(self) -> str:
        """Describe how the process ended; one that closed its pipe and lives is killed."""
        try:
            return f"exit status {self._process.wait(_ENDS_WITHIN_S)}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "it closed its pipe"

    def _read_complaints(self) -> None:
        """Read Ray's log, the only report that the token is not the cluster's, at every try."""
        with _opened(self._process.stderr) as pipe:
            for line in pipe:
                if any(word in line for word in _FOREIGN_TOKEN):
                    self._hear(Refused(self._foreign_token, is_setting=True))
                    self._process.kill()
                    break

    @property
    def _foreign_token(self) -> str:
        change = "give sharpend the token of the head in RAY_AUTH_TOKEN_PATH, with"
        refusal = f"engine.address: {self._address}: the cluster refuses the token"
        return f"{refusal}; {change} RAY_AUTH_MODE=token"


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that was requested when the process was started."""
    assert pipe is not None  # noqa: S101 - for the type checker
    return pipe


def _environment(address: str) -> dict[str, str]:
    """Build the driver's environment: no usage statistics; on loopback, no outer address."""
    here = {**_SETTINGS_OF_RAY, **os.environ, **_NO_STATISTICS}
    if address.rpartition(":")[0] in _LOOPBACK:
        here["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return here


def _command(cluster: Cluster) -> list[str]:
    """Build a command whose imports come from where this process's do, see `process`."""
    options = dumps(notices.CLUSTER.write(cluster)).decode("ascii")
    paths = [os.path.abspath(path) for path in sys.path if path]
    return [sys.executable, "-P", "-c", _LAUNCH, _PROGRAM, options, *paths]
