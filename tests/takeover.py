"""A worker process that was taken over: confined as a real one, it sends what its task is called.

A module of its own, so that a worker process imports this and nothing else of the tests.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from typing import IO, TYPE_CHECKING, Any

from sharpend.attempt import Staged
from sharpend.files.fingerprint import Fingerprint
from sharpend.workers import framing, messages, sandbox, serve, worker

if TYPE_CHECKING:
    from types import FrameType

    from sharpend.task import Task
    from sharpend.workers.loading import WorkerOptions

MARKER = b"ran-in-the-daemon"
"""The folder that the pickle makes where it is read."""
_pipe = -1
_before_began: list[bytes] = []
"""What is sent in place of the next Began."""


class Payload:
    """An object whose reading runs code."""

    def __init__(self, folder: bytes) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Make a folder where this is unpickled."""
        return os.mkdir, (os.path.join(self._folder, MARKER),)


def main(daemon_pid: str) -> None:
    """Run the real loop around what a stranger wants."""
    honest, answer_requests = framing.send, serve.answer_requests

    def send(pipe: IO[bytes], body: bytes) -> None:
        if body.startswith(b'{"began"') and _before_began:
            raw(_before_began.pop())
            signal.pause()
        honest(pipe, body)

    def answer(requests: IO[bytes], answers: IO[bytes]) -> None:
        global _pipe  # noqa: PLW0603 - one process has one
        _pipe = answers.fileno()
        answer_requests(requests, answers)

    framing.send, serve.answer_requests = send, answer
    worker.load = worker.prepare = nothing
    worker.start, worker.work = start, work
    signal.signal(signal.SIGUSR1, speak)
    serve.main(daemon_pid)


def nothing() -> None:
    """Import nothing."""


def start(options: WorkerOptions) -> None:  # noqa: ARG001 - as in worker
    """Begin without a model, and confined."""
    assert sandbox.SYSTEM_CALLS in sandbox.enter(local_sockets=False)


def speak(_number: int, _frame: FrameType | None) -> None:
    """Send something that nobody asked for."""
    raw(framed(messages.encode(messages.Began(1))))


def raw(sent: bytes) -> None:
    """Write to the daemon, past the loop."""
    left = memoryview(sent)
    while left:
        left = left[os.write(_pipe, left) :]


def framed(body: bytes) -> bytes:
    """A whole frame."""
    return len(body).to_bytes(4, "big") + body


def staged(task: Task) -> Staged:
    """Do what an honest worker does."""
    path = os.path.join(task.output_root, task.output_parent, task.temp_name)
    with open(path, "wb") as file:
        file.write(b"sharp")
        file.flush()
        found = Fingerprint.of(os.fstat(file.fileno()))
    return Staged(task.job_id, task.temp_name, found, 1, 1, 1, model_digest=str(os.getpid()))


def work(task: Task) -> Staged:
    """Send what the task's name says."""
    name = os.path.splitext(task.relative)[0].decode()
    told = json.loads(messages.encode(staged(task)))
    if name == "well":
        return staged(task)
    if name == "late":
        _before_began.append(framed(json.dumps(told).encode()))
        return staged(task)
    if name == "link":
        _swap(task)
    attack = _sent(name, task, told)
    raw(attack)
    if name in {"truncated", "silent"}:
        os.closerange(0, 100)
    time.sleep(600)
    return staged(task)


def _swap(task: Task) -> None:
    """Put a link to the input where the staged file is said to be."""
    path = os.path.join(task.output_root, task.output_parent, task.temp_name)
    os.unlink(path)
    os.symlink(os.path.join(task.input_root, task.relative), path)


def _sent(name: str, task: Task, told: dict[str, Any]) -> bytes:
    """The bytes of an attack."""
    good = framed(json.dumps(told).encode())
    began = framed(messages.encode(messages.Began(task.job_id)))
    attacks = {
        "pickle": framed(pickle.dumps(Payload(task.output_root))),
        "oversized": framed(b" " * (messages.ANSWER_BYTES + 1)),
        "endless": b"\xff" * 1_000_000,
        "truncated": good[:-10],
        "stalled": good[:-10],
        "silent": b"",
        "twice": good * 2,
        "flood": good + began * 20_000,
        "began": began,
        "raised": framed(messages.encode(messages.Unavailable("no"))),
        "link": good,
    }
    return attacks[name] if name in attacks else framed(_changed(name, told).encode())


def _changed(name: str, told: dict[str, Any]) -> str:
    """A result with one thing wrong."""
    if name in {"nested", "nothing", "words", "doubled"}:
        good = json.dumps(told)
        doubled = good.replace('"job_id"', '"width":1,"job_id"')
        return {"nested": "[" * 200_000, "nothing": "", "words": "é", "doubled": doubled}[name]
    wrong: dict[str, dict[str, object]] = {
        "unknown": {"surprise": 1},
        "type": {"height": "1"},
        "true": {"height": True},
        "negative": {"height": -1},
        "infinite": {"stages_s": {"decode": float("inf")}},
        "nan": {"agreement": {"student": float("nan"), "noop": 0.5}},
        "huge": {"stages_s": {"decode": 10**400}},
        "stage": {"stages_s": {"commit": 1.0}},
        "job": {"job_id": told["staged"]["job_id"] + 1},
        "name": {"temp_name": "../../etc/passwd"},
        "file": {"fingerprint": {"size": 1, "mtime_ns": 1, "inode": 1}},
        "notes": {"notes": ["a"] * 10_000},
        "note": {"notes": ["a" * 10_000]},
        "surrogate": {"notes": ["\ud800"]},
    }
    told["staged"] |= wrong[name]
    return json.dumps(told)
