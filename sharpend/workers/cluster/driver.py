"""Driver: the child process of the daemon that talks to Ray for it.

Reads commands from standard input and writes notices to standard output, see `notices`. Ray ends
this process when the head of the cluster is gone; to the daemon that is the end of a pipe. Joins a
cluster that runs and never starts one. Keeps nothing that the daemon does not know.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from sharpend.workers import framing
from sharpend.workers.cluster import notices
from sharpend.workers.cluster.actor import WorkerActor
from sharpend.workers.cluster.notices import (
    Answered,
    AskActor,
    Cluster,
    FreeSlots,
    Gone,
    Joined,
    Placed,
    Refused,
    StartActor,
)
from sharpend.workers.jsoncodec import loads

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import IO

    from sharpend.workers.cluster.notices import Command, Notice

_PROBE_S = 3.0
_CONNECT_S = 6.0
"""Together less than the ten seconds after which a person wants to know."""
_LOOK_EVERY_S = 2.0
_LEAVE_S = 3.0
"""Longest time to end the actors by Ray's own means at a stop."""
_CAUSE_CHARACTERS = 300


class Driver:
    """Actors by number, while the connection lasts; all in one event loop."""

    def __init__(self, cluster: Cluster, pipe: IO[bytes]) -> None:
        self._cluster = cluster
        self._pipe = pipe
        self._actors: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}
        """Identifier of the node by actor."""
        self._busy: set[int] = set()
        """Actors whose answer is awaited."""
        self._running: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._new_actor = ray.remote(WorkerActor).options(
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            max_restarts=0,
            max_task_retries=0,  # else Ray does an image twice by itself
            max_concurrency=1,
            scheduling_strategy="SPREAD",
        )

    async def run(self, commands: IO[bytes]) -> None:
        """Obey commands until their pipe ends, then end all actors."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(commands, loop), daemon=True).start()
        self._start(self._watch_free_slots())
        await self._ended.wait()
        for number in list(self._actors):
            self._end(number)
        ray.shutdown()

    def _listen(self, commands: IO[bytes], loop: asyncio.AbstractEventLoop) -> None:
        while (body := framing.receive(commands, notices.FRAME_BYTES)) is not None:
            loop.call_soon_threadsafe(self._obey, notices.command(body))
        threading.Timer(_LEAVE_S, os._exit, (0,)).start()
        loop.call_soon_threadsafe(self._ended.set)

    def _obey(self, command: Command) -> None:
        if isinstance(command, StartActor):
            self._actors[command.actor] = self._new_actor.remote()
            self._start(self._place(command.actor))
        elif isinstance(command, AskActor):
            self._start(self._ask(command.actor, command.body))
        else:
            self._end(command.actor)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _place(self, number: int) -> None:
        """Wait until an actor runs on a node, which takes as long as there is no room."""
        try:
            answer = await self._actors[number].where.remote()
        except RayError as error:
            self._lose(number, _cause_of(error))
            return
        self._nodes[number] = answer["node"]
        answer["node"] = await asyncio.to_thread(_name_of, answer["node"])
        self._send(Placed(number, **answer))

    async def _ask(self, number: int, body: bytes) -> None:
        actor = self._actors.get(number)
        if actor is None:
            return  # it is gone, and the daemon knows
        self._busy.add(number)
        try:
            answer = await actor.answer.remote(body)
        except RayError as error:
            self._lose(number, _cause_of(error))
        else:
            self._send(Answered(number, answer))
        finally:
            self._busy.discard(number)

    async def _try(self, number: int) -> None:
        """Find out whether an idle actor lives: Ray reports its end only to a caller that waits."""
        actor = self._actors.get(number)
        if actor is None:
            return
        self._busy.add(number)
        try:
            await actor.where.remote()
        except RayError as error:
            self._lose(number, _cause_of(error))
        finally:
            self._busy.discard(number)

    def _lose(self, number: int, cause: str) -> None:
        """Report an actor that is gone; one that is out of reach may be alive, and is ended."""
        if number in self._actors:
            self._end(number)
            self._send(Gone(number, cause))

    def _end(self, number: int) -> None:
        actor = self._actors.pop(number, None)
        self._nodes.pop(number, None)
        if actor is not None:
            with suppress(Exception):  # the head may be gone; then the end of this process ends it
                ray.kill(actor, no_restart=True)

    async def _watch_free_slots(self) -> None:
        """Report the number of actors there is room for when it changes, and actors that ended."""
        answer = None
        while True:
            with suppress(Exception):  # the head does not answer: Ray ends this process soon
                nodes = await asyncio.to_thread(_living)
                for number in [one for one, node in self._nodes.items() if node not in nodes]:
                    self._lose(number, "its node has ended")
                for number in self._nodes.keys() - self._busy:
                    self._start(self._try(number))
                slots = sum(_fitting(one, self._cluster) for one in nodes.values())
                if slots != answer:
                    answer = slots
                    self._send(FreeSlots(slots))
            await asyncio.sleep(_LOOK_EVERY_S)

    def _send(self, notice: Notice) -> None:
        try:
            framing.send(self._pipe, notices.encode(notice))
        except OSError:  # the daemon has ended
            os._exit(0)


def _cause_of(error: RayError) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _living() -> dict[str, dict[str, float]]:
    """Resources of the nodes that live, by identifier."""
    return {one["NodeID"]: one["Resources"] for one in ray.nodes() if one["Alive"]}


def _fitting(resources: dict[str, float], cluster: Cluster) -> int:
    """Number of actors that a node has room for."""
    slots = resources.get("CPU", 0.0) / cluster.cpus
    if cluster.gpus:
        slots = min(slots, resources.get("GPU", 0.0) / cluster.gpus)
    return math.floor(slots + 1e-9)


def _name_of(identifier: str) -> str:
    """Name of a node, with the first characters of its identifier."""
    names = {one["NodeID"]: one["NodeName"] for one in ray.nodes()}
    return f"{names.get(identifier, 'node')} ({identifier[:8]})"


def connect(cluster: Cluster) -> Joined | Refused:
    """Connect to the cluster, or explain why not; takes at most seconds."""
    where = f"engine.address: {cluster.address}"
    if refusal := _unreachable(cluster.address, where):
        return refusal
    try:
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    except ConnectionError as error:
        start = "start one with `ray start --head`, or change engine.address"
        return Refused(f"{where}: no Ray cluster: {_first_line(error)}; {start}", is_setting=False)
    except RuntimeError as error:
        if "mismatch" not in str(error):
            return Refused(f"{where}: {_first_line(error)}", is_setting=False)
        same = "install the same versions of Ray and Python on all nodes"
        here = f"Ray {ray.__version__} of Python {sys.version.split()[0]} is not the cluster's"
        return Refused(f"{where}: {here}; {same}", is_setting=True)
    return Joined(str(ray.__version__))


def _unreachable(address: str, where: str) -> Refused | None:
    """Try the port, since Ray itself waits for minutes at a wrong one."""
    host, separator, port = address.rpartition(":")
    if not separator:
        return None  # auto: Ray looks for a cluster of this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        start = "start the head with `ray start --head`, or change engine.address"
        return Refused(f"{where}: {reason}; {start}", is_setting=False)
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:_CAUSE_CHARACTERS]


def main(cluster: str) -> None:
    """Run the driver until the daemon closes the pipe.

    Args:
        cluster: Cluster as JSON.
    """
    commands, pipe = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what Ray prints is no notice
    wanted = notices.CLUSTER.read(loads(cluster.encode()))
    late = threading.Timer(_CONNECT_S, _give_up, (wanted, pipe))
    late.daemon = True
    late.start()
    found = connect(wanted)
    late.cancel()
    framing.send(pipe, notices.encode(found))
    if isinstance(found, Joined):
        asyncio.run(_run(wanted, commands, pipe))


def _give_up(cluster: Cluster, pipe: IO[bytes]) -> None:
    where = f"engine.address: {cluster.address}"
    message = f"{where}: Ray did not let sharpend join within {_CONNECT_S:g} s"
    framing.send(pipe, notices.encode(Refused(message, is_setting=False)))
    os._exit(0)


async def _run(cluster: Cluster, commands: IO[bytes], pipe: IO[bytes]) -> None:
    await Driver(cluster, pipe).run(commands)


if __name__ == "__main__":
    main(sys.argv[1])
