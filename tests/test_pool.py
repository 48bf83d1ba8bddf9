"""Worker processes: each may die, hang or be stopped, and costs one job at most."""

from __future__ import annotations

import math
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from sharpend.attempt import Died, Failed, Failure, Lost, Staged
from sharpend.errors import Reason, TransientError, UnavailableError
from sharpend.files.fingerprint import Fingerprint
from sharpend.task import Options, Task
from sharpend.workers import ahead, answers, forking, forkserver, sandbox, worker
from sharpend.workers.limits import OPEN_FILES
from sharpend.workers.loading import WorkerOptions
from sharpend.workers.pool import Pool
from tests.conftest import drop
from tests.daemons import command_of, until
from tests.lightwork import TRIAL
from tests.pool_harness import CPU, PATIENCE_S, Harness, LocalHarness, RayHarness
from tests.raycluster import WITH_RAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.attempt import AttemptResult
    from tests.conftest import Networks
    from tests.raycluster import RayCluster

LATER_S = 1e9


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that load nothing and do what their task is called."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.lightwork")


@pytest.fixture
def local(light: None) -> Iterator[LocalHarness]:  # noqa: ARG001
    """One light worker."""
    made = LocalHarness()
    yield made
    made.pool.stop()


@pytest.fixture(scope="module")
def ray_harness(ray: RayCluster) -> Iterator[RayHarness]:
    """One light worker on a cluster, for all tests: a connection takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "PROGRAM", "tests.lightwork")
        made = RayHarness(ray)
    yield made
    made.pool.stop()


LOCAL_AND_RAY = ["local", pytest.param("ray", marks=WITH_RAY)]


@pytest.fixture(params=LOCAL_AND_RAY)
def harness(request: pytest.FixtureRequest) -> LocalHarness | RayHarness:
    """One light worker, on this machine and on a cluster."""
    name = "local" if request.param == "local" else "ray_harness"
    made: LocalHarness | RayHarness = request.getfixturevalue(name)
    return made


@pytest.fixture(params=LOCAL_AND_RAY)
def pair(request: pytest.FixtureRequest, light: None) -> Iterator[LocalHarness | RayHarness]:  # noqa: ARG001
    """Two of them."""
    is_local = request.param == "local"
    made = (
        LocalHarness(count=2) if is_local else RayHarness(request.getfixturevalue("ray"), count=2)
    )
    yield made
    made.pool.stop()


def gone(pid: int) -> bool:
    """Whether a process ends soon; it is not waited for, which would take it from its parent."""

    def ended() -> bool:
        with suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        return True

    until(ended, PATIENCE_S)
    return True


# Work


def test_a_task_wakes_the_daemon_once(light: None) -> None:  # noqa: ARG001
    """Its result does; that it began is read with that, and costs no turn of the main loop."""
    waiting, wakes = threading.Event(), list[int]()

    def wake() -> None:
        wakes.append(1)
        waiting.set()

    own = Harness(lambda _: Pool(CPU, count=1, job_timeout_s=600, wake=wake), lambda: 0.0)
    for number in range(1, 4):
        own.submit(b"well", number)
        assert waiting.wait(PATIENCE_S)
        waiting.clear()
        (outcome,) = own.pool.finished(0.0)
        assert isinstance(outcome, Staged)
        assert len(wakes) == number
    own.pool.stop()


def test_a_worker_stays(local: LocalHarness) -> None:
    """One process does one task after the other, and is started once."""
    loaded = local.pool.load_model("lite", teacher=True)
    assert (loaded.model, loaded.teacher) == ("lite", "teacher")
    assert {int(loaded.digest)} == {local.worker(), local.worker()}


def test_workers_follow_the_first_ones_precision(
    pair: LocalHarness | RayHarness, tmp_path: Path
) -> None:
    """Each is told of the trial, so that no two choose differently."""
    assert pair.pool.load_model("lite", teacher=True).trial == TRIAL
    pair.wait_until_free(2)
    for job in (1, 2):
        pair.submit(b"trials " + os.fsencode(tmp_path), job)
    told = {one.model_digest for one in pair.outcomes(2) if isinstance(one, Staged)}
    assert told == {"", TRIAL.key}  # the first worker made it itself


def test_all_workers_start_at_once(light: None) -> None:  # noqa: ARG001
    """The first question starts every process, so no task waits for one."""
    harness = LocalHarness(replace(CPU, precision="auto"), count=3)
    harness.pool.load_model("beside 3", teacher=False)  # the first answers when all have started
    started = workers()
    for number in range(3):
        harness.submit(b"well", number)
    staged = harness.outcomes(3)
    assert {one.pid for one in started} >= {
        int(one.model_digest) for one in staged if isinstance(one, Staged)
    }
    harness.pool.stop()


def test_slots_are_counted(light: None) -> None:  # noqa: ARG001
    """A busy worker takes nothing, and the earliest deadline is known."""
    harness = LocalHarness(count=2)
    assert (harness.pool.count, harness.pool.free, harness.pool.running) == (2, 2, [])
    assert harness.pool.next_deadline_s() == float("inf")
    first, second = harness.submit(b"hang", 1), harness.submit(b"hang", 2)
    assert (harness.pool.free, harness.pool.running) == (0, [first, second])
    assert harness.pool.next_deadline_s() == 600
    assert (harness.pool.overdue_s(600), harness.pool.overdue_s(640)) == (0, 40)
    with pytest.raises(StopIteration):
        harness.pool.submit(second, 0.0)
    assert harness.pool.stop() == [first, second]
    assert harness.pool.free == 2


def test_a_death_costs_its_own_task_only(pair: LocalHarness | RayHarness) -> None:
    """What another worker does goes on."""
    pair.submit(b"SIGKILL", 1)
    pair.submit(b"well", 2)
    ended = {outcome.job_id: outcome for outcome in pair.outcomes(2)}
    assert ended[1] == Died(1, "SIGKILL", node=pair.node)
    assert isinstance(ended[2], Staged)


# Death


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        (b"SIGKILL", "SIGKILL"),
        (b"SIGSEGV", "SIGSEGV"),
        (b"exit", "exit status 3"),
        (b"raise", "ZeroDivisionError('bug')"),
    ],
)
def test_a_death_is_told_and_replaced(
    harness: LocalHarness | RayHarness, name: bytes, cause: str
) -> None:
    """A worker that ends with its task is told of by name and node, and the next task works."""
    assert harness.outcome(name) == Died(1, cause, node=harness.node)
    assert harness.worker()


def test_causes_have_names() -> None:
    """Signals are called by name; those without one by number."""
    assert answers.cause_of(-11) == "SIGSEGV"
    assert answers.cause_of(-40) == "signal 40"
    assert answers.cause_of(0) == "exit status 0"


@pytest.mark.parametrize("noticed", [False, True])
def test_an_idle_death_costs_nothing(harness: LocalHarness | RayHarness, noticed: bool) -> None:  # noqa: FBT001
    """A worker that dies between two tasks is replaced, whether that was noticed or not."""
    pid = harness.worker()
    os.kill(pid, signal.SIGKILL)
    if noticed:
        gone(pid)
        assert list(harness.pool.finished(0.0)) == []
    assert harness.worker() != pid


def test_workers_that_cannot_start_pause_the_folder(light: None) -> None:  # noqa: ARG001
    """Where no process comes up the image is not to blame, and nothing hangs."""
    harness = LocalHarness(WorkerOptions("broken", "float32", None, 1, 64))
    outcome = harness.outcome(b"well")
    assert isinstance(outcome, Failed)
    assert (outcome.failure, outcome.reason) == (Failure.FOLDER, None)
    assert "no worker process could be started" in outcome.message
    with pytest.raises(UnavailableError, match="no worker process could be started"):
        harness.pool.load_model("lite", teacher=False)
    harness.pool.stop()


def test_a_system_without_processes_pauses_the_folder(
    local: LocalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EAGAIN on fork is no reason for the daemon to end; later it works."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as crowded:
        crowded.setattr("subprocess.Popen.__init__", refuse)
        outcome = local.outcome(b"well")
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.FOLDER
    assert local.worker()


def test_a_refused_fork_pauses_the_folder(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the server gets no process, the image is not to blame, and the cause is written."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.crowded")
    harness = LocalHarness()
    outcome = harness.outcome(b"well")
    harness.pool.stop()
    assert isinstance(outcome, Failed)
    assert outcome.failure is Failure.FOLDER
    assert f"no worker process could be started: exit status {os.EX_OSERR}" in outcome.message
    assert "Resource temporarily unavailable" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_deaths_leave_nothing_behind(local: LocalHarness) -> None:
    """No descriptor and no thread of a worker that was replaced; two of each for one that lives.

    One more descriptor is of the fork server.
    """

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    until(lambda: "worker pipe" not in {thread.name for thread in threading.enumerate()})
    before = held()
    local.worker()
    until(lambda: held() == (before[0] + 3, before[1] + 2), PATIENCE_S)
    for _ in range(3):
        assert local.outcome(b"exit") == Died(1, "exit status 3")
    local.worker()
    until(lambda: held() == (before[0] + 3, before[1] + 2), PATIENCE_S)
    local.pool.stop()
    until(lambda: held() == before, PATIENCE_S)


# Deadlines


def begin(harness: LocalHarness, name: bytes) -> int:
    """The process that has begun with a task that is called so."""
    pid = harness.worker()
    harness.submit(name)
    until_begun(harness)
    return pid


def until_begun(harness: LocalHarness) -> None:
    """Wait until the worker has taken its task."""

    def has_begun() -> bool:
        assert list(harness.pool.finished(0.0)) == []
        return harness.pool._slots[0].began

    until(has_begun, PATIENCE_S)


def overdue(harness: LocalHarness, pid: int) -> None:
    """A task that does not end by its deadline is told of at once, and its worker replaced."""
    assert list(harness.pool.finished(600.0)) == []
    (died,) = harness.pool.finished(LATER_S)
    assert died == Died(1, "timed out after 600 s", "workers.job_timeout_s")
    assert harness.worker() != pid
    assert gone(pid)


def test_a_hanging_task_is_stopped(local: LocalHarness) -> None:
    """After its deadline the worker is replaced, the job told, and the next task works."""
    overdue(local, begin(local, b"hang"))


def test_one_deadline_for_one_task(local: LocalHarness) -> None:
    """What the stopped worker says later counts for nothing."""
    local.submit(b"hang")
    assert len(list(local.pool.finished(LATER_S))) == 1
    assert list(local.pool.finished(LATER_S)) == []
    assert local.pool.running == []
    assert local.worker()


@pytest.mark.slow
def test_a_stopped_worker_is_replaced(local: LocalHarness) -> None:
    """SIGSTOP in the middle of a task: SIGTERM does not reach it, SIGKILL does."""
    pid = begin(local, b"stop")
    until(lambda: bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED), PATIENCE_S)
    overdue(local, pid)


@pytest.mark.slow
def test_a_worker_stopped_while_idle_is_replaced(local: LocalHarness) -> None:
    """A process that never takes its task does not swallow one task after the other."""
    pid = local.worker()
    os.kill(pid, signal.SIGSTOP)
    local.submit(b"well")
    overdue(local, pid)


# Memory

LIMITED = WorkerOptions("cpu", "float32", None, 1, 64, memory_bytes=150_000_000)
WATCHED = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@WATCHED
def test_a_worker_that_grows_is_stopped(light: None) -> None:  # noqa: ARG001
    """It is told of with the setting, looked for often enough, and the next task works."""
    harness = LocalHarness(LIMITED)
    pid = harness.worker()
    harness.submit(b"grow")
    died: list[AttemptResult] = []
    times_s = count(5.0, 0.5)

    def ended() -> bool:
        now_s = next(times_s)
        died.extend(harness.pool.finished(now_s))
        assert bool(died) or harness.pool.next_deadline_s() == now_s + 0.5
        return bool(died)

    until(ended, PATIENCE_S)
    (outcome,) = died
    assert isinstance(outcome, Died)
    assert outcome.setting == "workers.memory_mb"
    assert "where 150 are allowed" in outcome.cause
    assert harness.worker() != pid
    assert gone(pid)
    harness.pool.stop()


@WITH_RAY[0]
@WITH_RAY[1]
@pytest.mark.parametrize(
    ("options", "name", "setting"),
    [
        (LIMITED, b"grow", "workers.memory_mb"),
        (replace(CPU, job_timeout_s=5.0), b"hang", "workers.job_timeout_s"),
    ],
)
def test_a_node_keeps_the_limits(
    light: None,  # noqa: ARG001
    ray: RayCluster,
    options: WorkerOptions,
    name: bytes,
    setting: str,
) -> None:
    """A hand stops its worker beyond time or memory by itself, and the next task works."""
    harness = RayHarness(ray, options)
    died = harness.outcome(name)
    assert isinstance(died, Died)
    assert died.setting == setting
    assert harness.worker()
    harness.pool.stop()


@WATCHED
def test_a_worker_that_leaks_is_replaced(light: None) -> None:  # noqa: ARG001
    """Its image is finished; the next one meets a fresh process."""
    harness = LocalHarness(LIMITED)
    pid = harness.worker()
    assert harness.worker() == pid
    harness.pool._options = replace(LIMITED, memory_bytes=300_000_000)
    assert isinstance(harness.outcome(b"leak"), Staged)
    assert harness.worker() != pid
    harness.pool.stop()


# Stop


def test_a_stop_ends_busy_workers(harness: LocalHarness | RayHarness) -> None:
    """What was cut short is handed back and never reported, and no process stays."""
    pid = harness.worker()
    task = harness.submit(b"hang")
    assert harness.pool.stop() == [task]
    assert gone(pid)
    assert list(harness.pool.finished(LATER_S)) == []
    assert harness.worker() != pid


def test_stop_twice(harness: LocalHarness | RayHarness) -> None:
    """A second stop finds nothing to do."""
    harness.worker()
    assert harness.pool.stop() == []
    assert harness.pool.stop() == []


def test_the_daemon_can_see_what_its_workers_hold(local: LocalHarness) -> None:
    """A process that denies inspection is hidden from the daemon where ProtectProc is in force."""
    outcome = local.outcome(b"dumpable")
    assert isinstance(outcome, Staged)
    assert outcome.model_digest == "1"


def test_a_server_started_ahead_forks_the_workers(light: None) -> None:  # noqa: ARG001
    """They get their options when those are known."""
    ahead.start()
    (server,) = until(servers)  # a command line is empty while a program takes its place
    harness = LocalHarness(count=2)
    loaded = harness.pool.load_model("lite", teacher=False)
    assert loaded.digest in {str(child.pid) for child in server.children()}
    assert servers() == [server]
    harness.pool.stop()
    assert gone(server.pid)


def test_a_server_started_ahead_ends_where_no_worker_needs_it(light: None) -> None:  # noqa: ARG001
    """And the next pool has another one."""
    ahead.start()
    (server,) = until(servers)  # a command line is empty while a program takes its place
    ahead.end()
    assert gone(server.pid)
    harness = LocalHarness()
    assert harness.worker()
    assert server not in servers()
    harness.pool.stop()


def test_a_server_that_was_killed_costs_no_image_an_attempt(local: LocalHarness) -> None:
    """Its workers end with it, and the next task has new ones."""
    pid = begin(local, b"hang")
    (server,) = servers()
    server.kill()
    (outcome,) = local.outcomes()
    assert outcome == Lost(1, platform.node(), "the fork server ended: SIGKILL")
    assert gone(pid)
    assert local.worker()
    assert server not in servers()


def test_a_crash_is_no_loss_where_its_server_ends_before_it_is_told(light: None) -> None:  # noqa: ARG001
    """Two images crash their workers, and a third one starts another server in between."""
    harness = LocalHarness(count=2)
    ended: list[AttemptResult] = []
    for job in (1, 2):
        harness.submit(b"SIGSEGV", job)
    processes = [slot.process for slot in harness.pool._slots]
    until(lambda: all(one is not None and one.has_ended for one in processes), PATIENCE_S)

    def are_told() -> bool:
        for outcome in harness.pool.finished(0.0):
            ended.append(outcome)
            if len(ended) == 1:
                harness.submit(b"well", 3)
        return len(ended) == 3

    until(are_told, PATIENCE_S)
    assert ended[:2] == [Died(1, "SIGSEGV"), Died(2, "SIGSEGV")]
    harness.pool.stop()


def test_a_server_that_hangs_is_replaced(
    local: LocalHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that ends no worker when it is asked to does not get the next one."""
    monkeypatch.setattr(forkserver, "_KILLS_WITHIN_S", 0.0)
    begin(local, b"hang")
    (server,) = servers()
    server.suspend()
    (died,) = local.pool.finished(LATER_S)
    assert died == Died(1, "timed out after 600 s", "workers.job_timeout_s")
    assert local.worker()
    assert server not in servers()


def test_a_worker_that_waits_for_a_disk_costs_no_other_one(
    light: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was killed and does not end is no sign of a server that hangs."""
    monkeypatch.setattr(forkserver, "_KILLS_WITHIN_S", 5.0)
    harness = LocalHarness(count=2)
    harness.submit(b"hang", 1)
    until_begun(harness)
    (server,) = servers()
    fork_server = harness.pool._launcher._servers[-1]
    harness.submit(b"well", 2)
    (staged,) = harness.outcomes()
    assert isinstance(staged, Staged)
    waiting = harness.pool._slots[1].process
    assert waiting is not None
    take = fork_server._take
    monkeypatch.setattr(  # its end is not reported, as that of one in an uninterruptible sleep
        fork_server, "_take", lambda what, *rest: what == forking.ENDED or take(what, *rest)
    )
    waiting.kill()
    until(lambda: fork_server.may_fork and waiting._worker.kill_by_s == math.inf, PATIENCE_S)
    assert fork_server.may_fork
    assert servers() == [server]
    harness.pool.stop()


def test_a_crash_is_followed_by_another_server(light: None) -> None:  # noqa: ARG001
    """A file cannot find out places in memory, crash by crash; other workers go on meanwhile."""
    harness = LocalHarness(count=2)
    harness.submit(b"hang", 1)
    until_begun(harness)
    (first,) = servers()
    harness.submit(b"SIGSEGV", 2)
    assert harness.outcomes() == [Died(2, "SIGSEGV")]
    harness.worker()
    (second,) = (server for server in servers() if server != first)
    assert first in servers()  # its other worker still works
    assert [task.job_id for task in harness.pool.running] == [1]
    assert harness.outcome(b"exit") == Died(1, "exit status 3")
    harness.worker()
    assert set(servers()) == {first, second}  # no crash
    harness.pool.stop()
    assert gone(first.pid)
    assert gone(second.pid)


def test_an_old_server_ends_with_its_last_worker(local: LocalHarness) -> None:
    """Ended at the next start of a worker, as nothing of it works any longer."""
    local.worker()
    (first,) = servers()
    assert local.outcome(b"SIGABRT") == Died(1, "SIGABRT")
    assert local.worker()
    assert first not in servers()
    assert len(servers()) == 1


def test_a_server_without_its_imports_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit status and error of its own, not the kill of what is left of it."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.no_such_program")
    harness = LocalHarness()
    for _ in range(2):
        outcome = harness.outcome(b"well")
        assert isinstance(outcome, Failed)
        assert outcome.message == "no worker process could be started: exit status 1"
    harness.pool.stop()
    assert "No module named 'tests.no_such_program'" in capfd.readouterr().err


def test_a_server_ends_in_silence_with_its_daemon(
    local: LocalHarness, capfd: pytest.CaptureFixture[str]
) -> None:
    """A daemon that is killed with reports unread resets the socket, which is no error."""
    pid = local.worker()
    (server,) = servers()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    local.pool._launcher._servers[-1]._socket.close()
    assert gone(server.pid)
    assert capfd.readouterr().err == ""


def test_a_pool_stops_while_its_server_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is waited for that is behind the import."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.slow_start")
    harness = LocalHarness(count=3)
    tasks = [harness.submit(b"well", number) for number in range(3)]
    (server,) = until(servers)
    began_s = time.monotonic()
    assert harness.pool.stop() == tasks
    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert gone(server.pid)


def test_workers_hold_no_pipe_of_each_other(light: None) -> None:  # noqa: ARG001
    """Two of its own for each worker, also for those that are forked later."""
    harness = LocalHarness(count=3)
    for number in range(3):
        harness.submit(b"well", number)
    harness.outcomes(3)
    held = [
        os.readlink(f"/proc/{worker.pid}/fd/{name}")
        for worker in workers()
        for name in os.listdir(f"/proc/{worker.pid}/fd")
    ]
    pipes = [link for link in held if link.startswith("pipe")]
    assert len(pipes) == len(set(pipes)) == 6
    assert not [link for link in held if link.startswith("socket")]
    harness.pool.stop()


PARENT = """
import sys, threading
from sharpend.workers import ahead, pool
from sharpend.workers.loading import WorkerOptions
from sharpend.workers.pool import Pool
ahead.PROGRAM = "tests.lightwork"
options = WorkerOptions("cpu", "float32", None, 1, 64)
harness = pool.Pool(options, count=1, job_timeout_s=600, wake=lambda: None)
print(harness.load_model("lite", teacher=False).digest, flush=True)
threading.Event().wait()
"""


def test_workers_die_with_the_daemon(tmp_path: Path) -> None:
    """A daemon that is killed leaves no orphan, not even an idle one."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        server = psutil.Process(child).ppid()
        assert psutil.Process(server).ppid() == parent.pid
        parent.kill()
    assert gone(child)
    assert gone(server)


class Cramped:
    """A pipeline on a device without memory."""

    trial = None

    @property
    def models(self) -> Cramped:
        """Itself."""
        return self

    def sharpener(self, _: str) -> Cramped:
        """Likewise."""
        return self

    def warm_up(self) -> None:
        """Fail."""
        raise TransientError(Reason.OUT_OF_MEMORY, "cuda:0 has no memory for a tile")


def test_a_device_without_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong at the first try reaches the parent as an error of one kind."""
    monkeypatch.setattr(worker, "_pipeline", Cramped())
    with pytest.raises(UnavailableError, match="no memory for a tile"):
        worker.describe("lite", False)


# Real workers, with torch


@pytest.fixture
def real() -> Iterator[LocalHarness]:
    """One real worker on the CPU."""
    made = LocalHarness(replace(CPU, memory_bytes=10**9))
    yield made
    made.pool.stop()


def real_task(home: Path, model: Path, **size: int) -> Task:
    """A task for a real image."""
    source = drop(home / "in", "a.png", **size)
    (home / "out").mkdir(exist_ok=True)
    return Task(
        job_id=1,
        input_root=os.fsencode(home / "in"),
        output_root=os.fsencode(home / "out"),
        relative=b"a.png",
        output_parent=b"",
        temp_name=b".staged.tmp",
        fingerprint=Fingerprint.of(source.stat()),
        options=Options(str(model)),
    )


@pytest.mark.slow
def test_a_picture_is_sharpened_in_another_process(
    real: LocalHarness, networks: Networks, tmp_path: Path
) -> None:
    """A worker loads its model, says what it is, and leaves a staged file."""
    loaded = real.pool.load_model(str(networks.student), teacher=True)
    assert (loaded.model, loaded.device) == ("student", "cpu float32")
    assert (loaded.teacher, loaded.alarm_below) == (str(networks.teacher), 0.5)
    real.pool.submit(real_task(tmp_path, networks.student), 0.0)
    (outcome,) = real.outcomes()
    assert isinstance(outcome, Staged)
    assert outcome.model_digest == loaded.digest
    if sys.platform == "linux":
        assert set(loaded.confined_by) == sandbox.PARTS
        assert is_confined(workers()[0].pid)
    assert outcome.fingerprint == Fingerprint.of((tmp_path / "out/.staged.tmp").stat())


def is_confined(pid: int) -> bool:
    """Whether the kernel says so of a process, and of its limits."""
    status = Path(f"/proc/{pid}/status").read_text()
    limits = Path(f"/proc/{pid}/limits").read_text()
    held = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    return (
        "NoNewPrivs:\t1" in status
        and "Seccomp:\t2" in status
        and held["Max core file size"] == "0"
        and int(held["Max open files"]) <= OPEN_FILES
        and int(held["Max cpu time"]) > 600
        and int(held["Max address space"]) > 10**9
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "model", "message"),
    [
        (WorkerOptions("cuda:99", "float32", None, 1, 64), None, "model.device: cuda:99"),
        (CPU, "/no/such.safetensors", "no such model"),
    ],
)
def test_what_is_missing_is_said(
    networks: Networks, options: WorkerOptions, model: str | None, message: str
) -> None:
    """A device or a model that is not there ends the start with one readable line."""
    harness = LocalHarness(options)
    with pytest.raises(UnavailableError, match=message):
        harness.pool.load_model(model or str(networks.student), teacher=False)
    harness.pool.stop()


@pytest.mark.slow
def test_a_real_worker_killed_in_the_middle(
    real: LocalHarness, networks: Networks, tmp_path: Path
) -> None:
    """SIGKILL while torch computes: the task is told of, and its repetition succeeds."""
    real.pool.load_model(str(networks.student), teacher=False)
    task = real_task(tmp_path, networks.student, height=1500, width=1500)
    (child,) = until(workers)
    assert os.getpgid(child.pid) == child.pid  # a signal to our group is for us alone
    until(lambda: is_struck(real, task))
    real.pool.submit(task, 0.0)
    (outcome,) = real.outcomes()
    assert isinstance(outcome, Staged)


def is_struck(harness: LocalHarness, task: Task) -> bool:
    """Kill the worker that has begun with a task; False where it had already done it."""
    ended: list[AttemptResult] = []
    harness.pool.submit(task, 0.0)

    def has_begun() -> bool:
        ended.extend(harness.pool.finished(0.0))
        return bool(ended) or harness.pool._slots[0].began

    until(has_begun, PATIENCE_S)
    for child in workers():
        child.kill()
    outcome = ended or harness.outcomes()
    Path(os.fsdecode(task.output_root), os.fsdecode(task.temp_name)).unlink(missing_ok=True)
    return outcome == [Died(1, "SIGKILL")]


@pytest.fixture
def one_core() -> Iterator[None]:
    """A machine of one core, for this process and those that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@WATCHED
@pytest.mark.slow
@pytest.mark.parametrize("content", ["PNG", "WEBP"])
def test_too_little_memory_is_said_with_its_setting(
    networks: Networks,
    tmp_path: Path,
    content: str,
    one_core: None,  # noqa: ARG001 - each core brings some addresses
) -> None:
    """An image that needs more fails as such; libwebp calls it a damaged file, and we do not."""
    harness = LocalHarness(replace(CPU, memory_bytes=1))
    harness.pool._idle_bytes = 10**12  # the parent's own watch is another test's
    task = real_task(tmp_path, networks.student)
    source = tmp_path / "in/a.png"
    Image.new("RGB", (5000, 5000)).save(source, content, compress_level=1, lossless=True)
    harness.pool.submit(replace(task, fingerprint=Fingerprint.of(source.stat())), 0.0)
    (outcome,) = harness.outcomes()
    harness.pool.stop()
    assert isinstance(outcome, Failed), outcome
    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, Reason.OUT_OF_MEMORY)
    assert outcome.setting == "workers.memory_mb"


def servers() -> list[psutil.Process]:
    """The fork servers of this process."""
    children = psutil.Process().children()
    return [child for child in children if ahead.PROGRAM in command_of(child)]


def workers() -> list[psutil.Process]:
    """The worker processes of this one."""
    return [child for server in servers() for child in server.children()]
