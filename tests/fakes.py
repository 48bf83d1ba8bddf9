"""Stand-ins for the expensive parts: a log that remembers, a pool that ends as the test says.

A `Shop` puts the real folders, ledger, commit and quarantine between them, on a real disk.
"""

from __future__ import annotations

import os
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sharpend.agreement.alarm import AgreementAlarm
from sharpend.attempt import AttemptResult, Died, Failed, Failure, Lost, Staged
from sharpend.commit.ages import KEEP_ALL, Retention
from sharpend.commit.destination import Destination
from sharpend.commit.local_place import LocalPlace
from sharpend.daemon import assembly, worker_settings
from sharpend.daemon.agreement_samples import Canary, Measurements
from sharpend.daemon.attempts import RetryOptions
from sharpend.daemon.dispatcher import Dispatcher
from sharpend.daemon.dispatcher_config import DispatcherConfig
from sharpend.daemon.engine import LoadedWorkers
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.daemon.preview_upkeep import FEW, PreviewLimits
from sharpend.daemon.report import Throughput
from sharpend.daemon.roots import OnFault, prepare_roots
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake.interface import FolderOptions
from sharpend.ledger.opening import open_ledger
from sharpend.logs.logs import Log
from sharpend.policies import Policies
from sharpend.settings.load import load
from sharpend.task import Options, Task
from sharpend.workers.loading import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.daemon.results import Result
    from sharpend.errors import Reason
    from sharpend.intake.tally import Tally
    from sharpend.ledger.records import State
    from sharpend.logs.events import Event
    from sharpend.settings.schema import Settings

Attempted = TypeVar("Attempted", Staged, Failed, Died, Lost)
AT_ONCE = RetryOptions(attempts=3, first_s=0.0, longest_s=0.0)
PICTURE = b"made of a picture"
PLAN = {one.name for one in fields(FolderPlan)}
DEFAULT = Policies()


class ListLog(Log):
    """A Log that remembers: (level, event, values)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Event, dict[str, object]]] = []

    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        """Remember."""
        self.told.append((level, event, dict(values)))

    def of(self, event: Event) -> list[dict[str, Any]]:
        """The values of every time that this event was reported."""
        return [values for _, told, values in self.told if told is event]


class NoUpkeep:
    """Upkeep of a folder that has nothing to do."""

    is_out = False
    """Whether the whole store is."""

    def step(self, now_s: float, tally: Tally | None) -> None:
        """Do nothing."""

    def covers_pause(self, reason: str) -> bool:  # noqa: ARG002 - as in Upkeep
        """As the test says."""
        return self.is_out

    def close(self) -> None:
        """Do nothing."""


class FakePool:
    """Workers that do nothing; a task ends when the test ends it, and as the test says."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.tasks: list[Task] = []
        self.submitted: list[Task] = []
        self.late_s = 0.0
        """How long the test has a worker keep its task past the deadline."""
        self.engine_faults: dict[str, str] = {}
        self._outcomes: list[AttemptResult] = []

    @property
    def running(self) -> list[Task]:
        """The tasks in work."""
        return list(self.tasks)

    @property
    def faults(self) -> dict[str, str]:
        """As the test says."""
        return self.engine_faults

    @property
    def free(self) -> int:
        """How many workers have nothing to do."""
        return self.count - len(self.tasks)

    def submit(self, task: Task, now_s: float) -> None:  # noqa: ARG002 - as in Workers
        """Take a task."""
        assert self.free
        self.tasks.append(task)
        self.submitted.append(task)

    def finished(self, now_s: float) -> Iterator[AttemptResult]:  # noqa: ARG002
        """What the test has ended since the last call."""
        while self._outcomes:
            yield self._outcomes.pop(0)

    def load_model(
        self,
        model: str,
        *,
        teacher: bool,
        go_on: Callable[[], bool] = lambda: True,  # noqa: ARG002 - as in Workers
    ) -> LoadedModel:
        """Any model is there."""
        return LoadedModel(model, "digest", "cpu", 64, 4, None, "teacher" if teacher else None)

    def next_deadline_s(self) -> float:
        """Never: time is the test's."""
        return float("inf")

    def overdue_s(self, now_s: float) -> float:  # noqa: ARG002 - as in Workers
        """As the test says."""
        return self.late_s

    def stop(self) -> list[Task]:
        """Drop what was running."""
        unfinished, self.tasks = self.tasks, []
        self._outcomes.clear()
        return unfinished

    def stage(
        self,
        task: Task | None = None,
        content: bytes | None = None,
        *,
        mtime_ns: int | None = None,
        **changes: object,
    ) -> Staged:
        """End a task well, with a real staged file; the oldest one by default."""
        task = task or self.tasks[0]
        path = os.path.join(task.output_root, task.output_parent, task.temp_name)
        with open(path, "wb") as file:
            file.write(PICTURE + task.relative if content is None else content)
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))
        fingerprint = Fingerprint.of(os.stat(path))
        staged = Staged(task.job_id, task.temp_name, fingerprint, 480, 640, 480 * 640)
        values = {"stages_s": {"decode": 0.1, "infer": 0.2}} | changes
        return self._put(replace(staged, **values))  # type: ignore[arg-type]

    def fail(
        self,
        failure: Failure,
        reason: Reason | None = None,
        task: Task | None = None,
        *,
        setting: str | None = None,
    ) -> Failed:
        """End a task badly; the oldest one by default."""
        job_id = (task or self.tasks[0]).job_id
        return self._put(Failed(job_id, failure, reason, f"it was {failure}", setting, "decode"))

    def die(self, cause: str = "SIGSEGV", *, setting: str | None = None) -> Died:
        """The oldest task's worker ends."""
        return self._put(Died(self.tasks[0].job_id, cause, setting))

    def lose(self, node: str = "node", cause: str = "it was switched off") -> Lost:
        """The node of the oldest task is lost."""
        return self._put(Lost(self.tasks[0].job_id, node, cause))

    def _put(self, outcome: Attempted) -> Attempted:
        self.tasks = [task for task in self.tasks if task.job_id != outcome.job_id]
        self._outcomes.append(outcome)
        return outcome


class Shop:
    """A dispatcher over real folders and a real ledger, with fake workers.

    Args:
        home: an empty folder.
        names: of the folders; `in` has `home/in` and `home/in-out`.
        workers: how many.
        retry: how often and when.
        alarms: by model.
        retention: what is kept, and how long.
        policies: of every folder, for its images.
        previews: their bounds, from the next start or reload on.
        canary: tried beside a model of `alarms`.
        changes: to every folder's plan or way out.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that tests vary
        self,
        home: Path,
        *,
        names: tuple[str, ...] = ("in",),
        workers: int = 1,
        retry: RetryOptions = AT_ONCE,
        alarms: Mapping[str, AlarmOptions] | None = None,
        retention: Retention = KEEP_ALL,
        policies: Policies = DEFAULT,
        previews: PreviewLimits = FEW,
        canary: Canary | None = None,
        **changes: Any,  # noqa: ANN401 - of any field
    ) -> None:
        self.home = home
        self.names = names
        self.log = ListLog()
        self.results: list[Result] = []
        self.wakes = 0
        self.now_s = time.monotonic() - 10_000  # ahead of it, nothing would take time
        self._retry = retry
        self._alarms = alarms or {}
        self._retention = retention
        self._policies = policies
        self.previews = previews
        self._canary = canary
        self._changes = changes
        self._workers = workers
        self.intake: dict[str, Any] = {}
        """Changes to every folder's intake, from the next start or reload on."""
        for name in names:
            (home / name).mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start the daemon's parts, after a crash too: nothing is closed."""
        self.ledger = open_ledger(self.home / "state")
        self.pool = FakePool(self._workers)
        self.dispatcher = self._built()
        self.dispatcher.recover()
        self.dispatcher.remove_stale_temps()

    def _built(self) -> Dispatcher:
        plans = [prepare_roots(self._plan(one), self.ledger, OnFault.PAUSE) for one in self.names]
        alarms = {model: AgreementAlarm(options) for model, options in self._alarms.items()}
        self.measurements = Measurements(Throughput(time.monotonic()), alarms, self._canary)
        return Dispatcher(
            DispatcherConfig(
                self.home / "state",
                plans,
                lambda _: LocalPlace(),
                self._retry,
                self.measurements,
                self._retention,
                self.previews,
            ),
            self.ledger,
            self.pool,
            self.log,
            wake=self._wake,
            on_result=self.results.append,
        )

    def reload(self, **changes: Any) -> None:  # noqa: ANN401 - of any field
        """Change every folder's plan or way out, as a reload does while no worker has an image."""
        assert not self.dispatcher.is_working
        self._changes |= changes
        self.dispatcher.close()
        self.dispatcher = self._built()
        self.dispatcher.recover()

    def _wake(self) -> None:
        self.wakes += 1

    def _plan(self, name: str) -> FolderPlan:
        root = os.fsencode(self.home / name)
        way_out = Destination(name, root, os.fsencode(self.home / f"{name}-out"))
        return FolderPlan(
            destination=replace(
                way_out, **{key: self._changes[key] for key in self._changes if key not in PLAN}
            ),
            intake=replace(
                FolderOptions(root, settle_s=0.0, polling=True, poll_s=0.1), **self.intake
            ),
            options=Options("lite", policies=self._policies),
            **{key: self._changes[key] for key in self._changes if key in PLAN},
        )

    def stop(self) -> None:
        """End as the daemon's stop does, but for the ledger."""
        self.dispatcher.close()
        self.pool.stop()
        self.dispatcher.release_unfinished()

    def close(self) -> None:
        """Give the state directory back."""
        self.dispatcher.close()
        self.ledger.close()

    def drop(self, name: str, content: bytes = b"blurred", *, folder: str = "in") -> Path:
        """Put an input into a folder, whole, and let the watch report it."""
        path = self.home / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.parent / ".new.tmp"
        hidden.write_bytes(content)
        self.dispatcher.folders[folder].resettle(os.fsencode(name))
        return hidden.rename(path)

    def turn(self, after_s: float = 0.5) -> None:
        """One turn of the daemon's loop, some time later."""
        self.now_s += after_s
        self.dispatcher.step_folders(self.now_s)
        self.dispatcher.work(self.now_s)

    def settle(self) -> None:
        """Turns until what is in the folders is known and submitted."""
        for _ in range(4):
            self.turn(after_s=0.1)

    def take(self, name: str = "a.png", **dropped: Any) -> Path:  # noqa: ANN401 - as drop
        """Drop an input and let it reach a worker."""
        path = self.drop(name, **dropped)
        self.settle()
        return path

    def conclude(self) -> None:
        """Record the results of what the test has ended; submit nothing."""
        self.dispatcher.conclude(self.now_s)

    def count(self, state: State) -> int:
        """How many jobs are in a state."""
        return self.ledger.counts()[state]

    def made(self, folder: str = "in") -> list[str]:
        """What is in an output folder, below and hidden files included."""
        root = self.home / f"{folder}-out"
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def settings_with_fakes(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of one folder, whose daemon starts fake workers."""
    (home / "in").mkdir()
    folders = [{"input": home / "in", "output": home / "out"}]
    settings = load(None, {"state": home / "state", "folder": folders})
    loaded = LoadedModel("lite", "digest", "cpu", 128, 4, None, None)
    models = dict.fromkeys(worker_settings.models(settings), loaded)
    workers = LoadedWorkers(FakePool(1), models)
    monkeypatch.setattr(assembly, "start_workers", lambda *_, **__: workers)
    return settings
