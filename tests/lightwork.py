"""What a worker process does in tests of the pool: no torch, and it ends as its task is called.

A module of its own, so that a worker process imports this and nothing else of the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from sharpend.attempt import Staged
from sharpend.files.fingerprint import Fingerprint
from sharpend.model.trial import Form, Trial
from sharpend.workers import serve, worker
from sharpend.workers.loading import LoadedModel, WorkerOptions

if TYPE_CHECKING:
    from sharpend.task import Task

_PR_GET_DUMPABLE = 3
_kept: list[bytes] = []
"""What is never disposed of."""
_trials: list[Trial] = []
"""What the worker was reported, at its start or later."""
TRIAL = Trial("ab" * 32, 2.0, (Form("torch", "bfloat16", 1.0, 1.0),))
"""What every worker says that it measured."""


def main(daemon_pid: str) -> None:
    """Run the real loop around light work."""
    worker.load = worker.prepare = nothing
    worker.start, worker.describe = start, describe
    worker.follow, worker.work = follow, work
    serve.main(daemon_pid)


def nothing() -> None:
    """Import nothing."""


def start(options: WorkerOptions) -> None:
    """Begin as a real worker does; a device called `broken` lets no worker start."""
    _trials.extend(options.trials)
    if options.device == "broken":
        os._exit(3)


def follow(trial: Trial) -> None:
    """Keep a trial for a task that asks."""
    _trials.append(trial)


def describe(model: str, teacher: bool) -> LoadedModel:  # noqa: FBT001 - as in worker
    """Say something of a model, and who one is; `beside 3`: once there are three workers."""
    if model.startswith("beside "):
        while len(psutil.Process(os.getppid()).children()) < int(model.removeprefix("beside ")):
            time.sleep(0.01)
    taught = "teacher" if teacher else None
    return LoadedModel(model, str(os.getpid()), "cpu", 128, 4, None, taught, trial=TRIAL)


def meet(folder: Path, count: int) -> None:
    """Wait until so many processes have left their number in a folder: each has a task then."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.01)


def work(task: Task) -> Staged:
    """Do what the task's name says; the answer's digest is the process's number."""
    match task.relative:
        case b"exit":
            os._exit(3)
        case b"hang":
            time.sleep(600)
        case b"grow":
            _kept.append(b"x" * 200_000_000)
            time.sleep(600)
        case b"leak":
            _kept.append(b"x" * 200_000_000)
        case b"raise":
            raise ZeroDivisionError("bug")
        case b"stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case name if name.startswith(b"SIG"):
            os.kill(os.getpid(), signal.Signals[name.decode()])
            time.sleep(600)
    digest = str(os.getpid())
    if task.relative == b"dumpable":
        digest = str(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    if task.relative.startswith(b"trials "):
        meet(Path(os.fsdecode(task.relative.removeprefix(b"trials "))), 2)
        digest = " ".join(trial.key for trial in _trials)
    return Staged(task.job_id, task.temp_name, Fingerprint(1, 2, 3), 1, 1, 1, model_digest=digest)
