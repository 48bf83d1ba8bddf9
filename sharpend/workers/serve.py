"""Main loop of a worker process: read the options, then requests, and answer until the pipe ends.

Standard input and output are the pipes to the daemon. Before the first request they and standard
error become /dev/null for everything else in the process: what a library prints is no message, and
no line in the daemon's log or on its terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpend.errors import SharpendError
from sharpend.task import Task
from sharpend.workers import framing, messages, worker
from sharpend.workers.jsoncodec import loads
from sharpend.workers.messages import Began, Describe, Follow, Raised, Unavailable

if TYPE_CHECKING:
    from sharpend.workers.messages import Answer


def main(daemon_pid: str) -> None:
    """Run a worker until the daemon closes the pipe.

    Args:
        daemon_pid: the daemon's process number.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _redirect_to_null(0, 1)
    worker.load(int(daemon_pid))
    options = framing.receive(requests, messages.REQUEST_BYTES)
    if options is None:  # it was started ahead, and is not needed
        return
    worker.start(messages.WORKER_OPTIONS.read(loads(options)))
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
