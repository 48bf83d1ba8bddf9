"""A Ray cluster on this machine's loopback, as a person would start it, and always ended.

Only processes that were started here are ended: `ray stop` would end those of others, too.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from sharpend.workers.ahead import PROGRAM
from tests.daemons import parent_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
WITH_RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs the extra ray: pip install ray"
    ),
]
ACTOR, RAYLET = "ray::WorkerActor", "raylet/raylet"
"""In the command lines of an actor and of a node's own process."""
NAMES = {"actor": ACTOR, "raylet": RAYLET}
_TOO_LATE = "timed out during startup"
"""Said by `ray start` where its processes take more than 30 s."""
_STORE_BYTES = 80_000_000
_START = """
import sys
import ray._private.services as services
services.resolve_ip_for_localhost = lambda host: host  # else Ray opens this machine's outer address
from ray.scripts.scripts import main
sys.exit(main())
"""
_USUAL = (
    *("--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"),
    f"--object-store-memory={_STORE_BYTES}",
)


class Node:
    """One `ray start --block` with all its processes."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        environment: dict[str, str],
        prefix: Sequence[str] = (),
    ) -> None:
        self._said = home / f"{secrets.token_hex(4)}.log"
        self._command = [*prefix, sys.executable, "-c", _START, "start", *_USUAL, *arguments]
        self._environment = environment
        self._seen: set[psutil.Process] = set()
        self._start()
        until(self._runs, every_s=0.1)

    def _start(self) -> None:
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _runs(self) -> bool:
        """Return whether `ray start` says that all its processes run; busy machines try again."""
        said = self._said.read_text()
        if self._process.poll() is not None:
            assert _TOO_LATE in said, said
            self._start()
        return "block forever" in said

    def processes(self) -> list[psutil.Process]:
        """All living processes of the node, actors and workers included, the oldest first."""
        with suppress(psutil.NoSuchProcess):
            self._seen |= set(psutil.Process(self._process.pid).children(recursive=True))
        for one in list(self._seen):  # those whose parents have ended
            with suppress(psutil.NoSuchProcess):
                self._seen |= set(one.children(recursive=True))
        living = [one for one in self._seen if one.is_running() and _status(one) != "zombie"]
        return sorted(living, key=lambda one: one.create_time())

    def named(self, part: str) -> list[psutil.Process]:
        """Its processes with this in their command line."""
        return [one for one in self.processes() if part in " ".join(_command(one))]

    def workers(self) -> list[psutil.Process]:
        """Its processes that sharpen."""
        forked = self.named(PROGRAM)
        servers = {one.pid for one in forked}
        return [one for one in forked if parent_of(one) in servers]

    def freeze(self) -> None:
        """Stop all its processes."""
        for one in self.processes():
            with suppress(psutil.NoSuchProcess):
                one.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for one in self.processes():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        ended = self.processes()
        self._process.kill()
        for one in ended:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        self._process.wait()
        until(lambda: not self.processes())  # one that nobody waits for stays a zombie


class RayCluster:
    """A head without workers of its own, and nodes; with a token."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        token = self.home / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
            "PYTHONPATH": str(ROOT),
        }
        self.nodes: list[Node] = []
        self.head = self.start_head()

    def start_head(self) -> Node:
        """Start a head without processors for workers."""
        self.head = Node(
            self.home,
            *("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false"),
            f"--temp-dir={self.home}",
            environment={**os.environ, **self.environment},
        )
        return self.head

    def add(self, cpus: int = 1, *, prefix: Sequence[str] = (), **environment: str) -> Node:
        """Start one node more, by a command that becomes it."""
        node = Node(
            self.home,
            *(f"--address={self.address}", f"--num-cpus={cpus}"),
            environment={**os.environ, **self.environment, **environment},
            prefix=prefix,
        )
        self.nodes.append(node)
        return node

    def close(self) -> None:
        """End everything."""
        for node in [*self.nodes, self.head]:
            node.kill()
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def cluster(*cpus: int) -> Iterator[RayCluster]:
    """A cluster with nodes of so many processors, and its environment for what joins it."""
    made = RayCluster()
    before = dict(os.environ)
    os.environ.update(made.environment)
    try:
        for count in cpus:
            made.add(count)
        yield made
    finally:
        os.environ.clear()
        os.environ.update(before)
        made.close()


def _status(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.status())
    return "zombie"


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


def _free_port() -> int:
    """A port that the kernel gives to nobody by itself, so that it stays free."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
