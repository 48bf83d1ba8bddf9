"""Main program of the fork server and its workers: import, fork, answer requests.

The server's standard input is its socket to the daemon. Before the first request of a worker all
its standard streams are /dev/null: what a library prints is no message, and no line in the daemon's
log or on its terminal.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import IO, TYPE_CHECKING

from sharpend.errors import SharpendError
from sharpend.task import Task
from sharpend.workers import forking, framing, messages, sandbox, worker
from sharpend.workers.jsoncodec import loads
from sharpend.workers.messages import Began, Describe, Follow, Raised, Unavailable

if TYPE_CHECKING:
    from sharpend.workers.messages import Answer

_FORKS_SAFELY = sys.platform == "linux"
"""Libraries of macOS may end a forked process that uses them after its parent has imported them."""


def main(daemon_pid: str) -> None:
    """Run the fork server until the daemon closes the socket, and in its children the workers.

    Args:
        daemon_pid: the daemon's process number.
    """
    sandbox.deny_inspection()
    forking.die_with_parent(int(daemon_pid))
    connection = socket.socket(fileno=os.dup(0))
    _redirect_to_null(0)
    if _FORKS_SAFELY:
        worker.load()
    pipes = forking.serve(connection, worker.prepare if _FORKS_SAFELY else None)
    if pipes is None:
        os._exit(0)  # a few milliseconds, where an orderly end would take a tenth of a second
    if not _FORKS_SAFELY:
        worker.load()
    requests, answers = pipes
    answer_requests(os.fdopen(requests, "rb"), os.fdopen(answers, "wb"))


def answer_requests(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Run a worker: read the options, then requests, and answer until the pipe ends."""
    options = framing.receive(requests, messages.REQUEST_BYTES)
    if options is None:  # it is not needed any longer
        return
    worker.start(messages.WORKER_OPTIONS.read(loads(options)))
    # From here on it is confined, and the daemon reads how much memory it holds.
    sandbox.allow_inspection()
    _redirect_to_null(2)  # errors of the start still go there
    while (body := framing.receive(requests, messages.REQUEST_BYTES)) is not None:
        request = messages.request(body)
        if isinstance(request, Follow):
            worker.follow(request.trial)
            continue
        if isinstance(request, Task):
            framing.send(answers, messages.encode(Began(request.job_id)))
        framing.send(answers, _answer(request))


def _answer(request: Describe | Task) -> bytes:
    try:
        answer = worker.work(request) if isinstance(request, Task) else _described(request)
        return messages.encode(answer)
    except Exception as error:  # noqa: BLE001 - the daemon decides on the consequence
        return messages.encode(Raised(repr(error)))


def _described(request: Describe) -> Answer:
    try:
        return worker.describe(request.model, request.teacher)
    except SharpendError as error:
        return Unavailable(str(error))


def _redirect_to_null(*descriptors: int) -> None:
    """Redirect descriptors to /dev/null."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)
