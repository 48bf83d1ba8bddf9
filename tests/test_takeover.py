"""A worker that was taken over by the file that it decodes: nothing of it reaches the daemon."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sharpend.attempt import Died, Staged
from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.records import State
from sharpend.task import Options, Task
from sharpend.workers import ahead, sandbox
from sharpend.workers.loading import WorkerOptions
from sharpend.workers.pool import Pool
from tests.daemons import until
from tests.fakes import Shop
from tests.takeover import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.attempt import AttemptResult

PATIENCE_S = 300.0
CPU = WorkerOptions(device="cpu", precision="float32", tile_px=None, threads=1, crop_px=64)
INVALID = "it sent an invalid message: "
NOT_ITS_OWN = "it sent a message for another task"
CAUSES = {
    "pickle": "it is not JSON",
    "oversized": "it is longer than",
    "endless": "it is longer than",
    "truncated": "the pipe ended within it",
    "nested": "it is not JSON",
    "nothing": "the pipe ended within it",
    "words": "it is not JSON",
    "doubled": "a key is given twice",
    "unknown": "Staged: a key is not known",
    "type": "height: a value is not of type int",
    "true": "height: a value is not of type int",
    "negative": "height: a number is not within",
    "infinite": "a number is not finite",
    "nan": "a number is not finite",
    "huge": "stages_s: a number is not within",
    "stage": "stages_s: a key is not known",
    "notes": "notes: a list is longer than",
    "note": "notes: a text is longer than",
    "surrogate": "notes: a text is not Unicode",
    "name": NOT_ITS_OWN,
    "job": NOT_ITS_OWN,
    "file": NOT_ITS_OWN,
    "link": NOT_ITS_OWN,
    "began": NOT_ITS_OWN,
    "raised": NOT_ITS_OWN,
    "silent": "it closed its pipe",
}
"""What is sent, and why its worker is ended."""
FAST = {"pickle", "endless", "truncated", "job", "silent"}
"""One of each kind: no JSON, no end, half a frame, another's task, no answer."""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in sandbox._MACHINES,
    reason="no sandbox on this system",
)


@pytest.fixture(autouse=True)
def taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that send what their task is called."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.takeover")


class Watched:
    """A pool of one worker over real folders."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for folder in ("in", "out"):
            (home / folder).mkdir()
        self._waiting = threading.Event()
        self.pool = Pool(CPU, count=1, job_timeout_s=600, wake=self._waiting.set)

    def submit(self, name: str, job_id: int) -> None:
        """Submit a task that is called so."""
        (self.home / "in" / name).write_bytes(b"blurred")
        roots = os.fsencode(self.home / "in"), os.fsencode(self.home / "out")
        temp = b".%d.tmp" % job_id
        task = Task(job_id, *roots, name.encode(), b"", temp, Fingerprint(1, 2, 3), Options("lite"))
        self.pool.submit(task, 0.0)

    def outcome(self) -> AttemptResult:
        """What the task comes to."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for outcome in self.pool.finished(0.0):
                return outcome
            self._waiting.wait(1.0)
            self._waiting.clear()
        raise AssertionError("nothing came")

    def works(self, job_id: int = 2) -> int:
        """The next task is done, once, and by whom."""
        self.submit("well", job_id)
        outcome = self.outcome()
        assert isinstance(outcome, Staged), outcome
        assert outcome.job_id == job_id
        found = (self.home / "out" / f".{job_id}.tmp").stat()
        assert outcome.fingerprint == Fingerprint.of(found)
        assert list(self.pool.finished(0.0)) == []
        assert not (self.home / "out" / os.fsdecode(MARKER)).exists()
        return int(outcome.model_digest)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """One worker."""
    made = Watched(tmp_path)
    yield made
    made.pool.stop()


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[] if one in FAST else pytest.mark.slow) for one in CAUSES],
)
def test_what_is_not_valid_costs_its_worker_and_its_task(watched: Watched, name: str) -> None:
    """The task's attempt ends as by a death, with the cause, and the next task works."""
    watched.submit(name, 1)
    outcome = watched.outcome()
    assert isinstance(outcome, Died), outcome
    assert outcome.job_id == 1
    assert outcome.cause.removeprefix(INVALID).startswith(CAUSES[name])
    watched.works()


@pytest.mark.parametrize("name", ["twice", "flood"])
def test_only_the_first_result_counts(watched: Watched, name: str) -> None:
    """The second ends the worker and touches no other task; the daemon holds one at a time."""
    watched.submit(name, 1)
    first = watched.outcome()
    assert isinstance(first, Staged)
    assert watched.works() != int(first.model_digest)


def test_a_message_while_idle_ends_the_worker(watched: Watched) -> None:
    """Nobody is charged for it."""
    pid = watched.works(1)
    os.kill(pid, signal.SIGUSR1)

    def is_replaced() -> bool:
        assert list(watched.pool.finished(0.0)) == []
        return watched.pool._slots[0].process is None

    until(is_replaced, PATIENCE_S)
    assert watched.works() != pid


def test_an_old_result_is_not_held_against_the_next_task(watched: Watched) -> None:
    """A worker that answers again in place of beginning is replaced, and the task passed on."""
    watched.submit("late", 1)
    first = watched.outcome()
    assert isinstance(first, Staged)
    assert watched.works() != int(first.model_digest)


def test_a_message_that_never_ends_meets_the_deadline(watched: Watched) -> None:
    """Half a frame holds up nothing but its own worker."""
    watched.submit("stalled", 1)
    until(lambda: not list(watched.pool.finished(0.0)) and watched.pool._slots[0].began, PATIENCE_S)
    (outcome,) = watched.pool.finished(1e9)
    assert outcome == Died(1, "timed out after 600 s", "workers.job_timeout_s")
    watched.works()


def test_its_job_is_charged_and_the_daemon_goes_on(tmp_path: Path) -> None:
    """Two attempts quarantine the file as one that kills its worker; another file is sharpened."""
    shop = Shop(tmp_path)
    pool = Pool(CPU, count=1, job_timeout_s=600, wake=lambda: None)
    shop.dispatcher._pool = pool
    shop.drop("pickle.png")
    shop.settle()

    def is_done() -> bool:
        shop.turn()
        return shop.dispatcher.is_done

    until(is_done, PATIENCE_S)
    (refused,) = shop.results
    assert (refused.reason, refused.job.attempts) == (Reason.WORKER_DIED, 2)
    assert refused.message.endswith("it sent an invalid message: it is not JSON")
    shop.drop("well.png")
    shop.settle()
    until(is_done, PATIENCE_S)
    assert shop.count(State.DISPOSED) == 1
    assert shop.made() == ["well.png"]
    pool.stop()
    shop.close()


def test_a_worker_shares_nothing_else(watched: Watched) -> None:
    """Two pipes and /dev/null: no terminal, no descriptor of the daemon, no shared memory."""
    held = os.memfd_create("secret", 0)
    os.set_inheritable(held, True)
    pid = watched.works(1)
    os.close(held)
    links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    kinds = [link.partition(":")[0] for link in links]
    assert set(kinds) == {"/dev/null", "pipe"}
    assert kinds.count("pipe") == 2
    assert os.getsid(pid) == pid
