"""Connection to the cluster: a driver process, and new tries with growing waits.

Owns the text of the fault that is reported while there is no connection.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpend.backoff import Backoff
from sharpend.workers.cluster.driver_process import DriverEnded, DriverProcess
from sharpend.workers.cluster.notices import Joined, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.workers.cluster.notices import Cluster, Command, Notice

_WAITS = Backoff(first_s=1.0, longest_s=30.0)


class Connection:
    """The one connection to a cluster; all methods are called from one thread.

    Args:
        cluster: what to join.
        wake: called from any thread when something was heard.

    Attributes:
        fault: why there is no connection, in words; empty while there is one.
        refused: the last refusal of the cluster, or None.
        next_s: time of the next try (monotonic); infinite while a driver runs.
    """

    def __init__(self, cluster: Cluster, wake: Callable[[], None]) -> None:
        self._cluster = cluster
        self._wake = wake
        self._driver: DriverProcess | None = None
        self._failures = 0
        self.fault = ""
        self.refused: Refused | None = None
        self.next_s = -math.inf

    def heard(self, now_s: float) -> Iterator[Notice | DriverEnded]:
        """Return what was heard since the last call; connect first where a try is due."""
        if self._driver is None and now_s >= self.next_s:
            self._connect(now_s)
        for notice in [] if self._driver is None else list(self._driver.notices()):
            if isinstance(notice, Joined):
                self._failures, self.fault = 0, ""
            elif isinstance(notice, Refused):
                self.refused = notice
            elif isinstance(notice, DriverEnded):
                where = f"engine.address: {self._cluster.address}"
                lost = f"{where}: the connection to the cluster was lost ({notice.cause})"
                self._fail(self.refused.message if self.refused else lost, now_s)
            yield notice

    def _connect(self, now_s: float) -> None:
        self.refused, self.next_s = None, math.inf
        try:
            self._driver = DriverProcess(self._cluster, self._wake)
        except (OSError, RuntimeError) as error:
            self._fail(f"engine: the process for Ray could not be started: {error!r}", now_s)

    def _fail(self, cause: str, now_s: float) -> None:
        """Begin an outage, or go on with one."""
        self.fault = cause
        self._drop()
        self._failures += 1
        self.next_s = now_s + _WAITS.wait_s(self._failures)

    def send(self, command: Command) -> None:
        """Send a command, if there is a connection; never blocks."""
        if self._driver is not None:
            self._driver.send(command)

    def close(self) -> None:
        """End the driver and all actors; the next call of `heard` would connect again."""
        self._drop()
        self.next_s = -math.inf

    def _drop(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()


def no_free_slots(cluster: Cluster) -> str:
    """Describe the fault that no node has room for an actor."""
    each = f"{cluster.cpus:g} CPUs and {cluster.gpus:g} GPUs"
    advice = "start nodes with `ray start`, or change engine.cpus or engine.gpus"
    return f"engine: no node of the cluster has room for a worker of {each}; {advice}"
