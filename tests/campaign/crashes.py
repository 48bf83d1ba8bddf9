"""Deaths: of the daemon at any moment and at every step, of workers, and slow ones of both."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sharpend.policies import SourcePolicy
from tests.campaign.rig import (
    LOOK_EVERY_S,
    PATIENCE_S,
    Finding,
    Rig,
    Scenario,
    broken,
    files,
    inodes,
    large_picture,
)
from tests.crashing import COMMIT_STEPS, QUARANTINE_STEPS, RETRY_STEPS, WORKER_STEPS, Order
from tests.daemons import Daemon, ServiceManager, running, surroundings, temps, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil  # type: ignore[import-untyped]

JOB_TIMEOUT_S = 8
FINALLY_REFUSED = b"%PDF-1.7\n" + bytes(100)
"""A content that no further byte can make an image: its file is moved at once."""


def kill_the_daemon(rig: Rig, rounds: int, finding: Finding) -> None:
    """1: kill -9 at random moments, 50 images a round."""
    empty_s = start_s(rig)
    names: set[str] = set()
    before: dict[Path, int] = {}
    for number in range(rounds):
        fresh = [f"{number}/{each}.png" for each in range(50)]
        names |= {*fresh}
        began_s = time.monotonic()
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
            finding.recovered(max(0.0, time.monotonic() - began_s - empty_s), 5)
            for name in fresh:
                rig.drop(name)
            for _ in range(rig.chance.randrange(50)):
                daemon.wait_for("image.finished", within_s=PATIENCE_S)
            time.sleep(rig.chance.uniform(0, 0.02))  # anywhere between two events
            daemon.kill()
        now = inodes(rig.outbox)
        again = [path for path in before if now.get(path) != before[path]]
        finding.expect(not again, f"round {number}: {len(again)} outputs are gone or made twice")
        faults = [path for path in now.keys() - before.keys() if broken(path)]
        finding.expect(not faults, f"round {number}: {len(faults)} outputs are broken")
        before = now
        finding.rounds += 1
    with running("--config", rig.config) as daemon:  # half of them are still to be done
        rig.wait_until_idle(daemon, len(names), within_s=PATIENCE_S + len(names))
    rig.check(finding, names)
    finding.figures = f"{len(names)} images; recovery is what a start takes longer than"
    finding.figures += f" the {empty_s:.1f} s of an empty one"


def start_s(rig: Rig) -> float:
    """How long a daemon takes to be ready where it has nothing to recover."""
    seconds = []
    for _ in range(2):  # the first one fills the caches
        began_s = time.monotonic()
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
            seconds.append(time.monotonic() - began_s)
    return seconds[-1]


class Boundaries:
    """A daemon with hooks over one folder for each policy, killed at one step after the other."""

    def __init__(self, rig: Rig, finding: Finding) -> None:
        self.rig, self.finding = rig, finding
        self.order = rig.base / "order"
        archive = {"source": "archive", "archive": rig.base / "archived"}
        kinds: dict[str, dict[str, object]] = {"keep": {}, "archive": archive}
        kinds["delete"] = {"source": "delete"}
        rig.configure(*(rig.folder(name, **values) for name, values in kinds.items()))
        self.good: dict[str, set[str]] = {name: set() for name in kinds}
        self.bad: dict[str, set[str]] = {name: set() for name in kinds}

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """A daemon that looks for orders; ready, and through with what was left behind."""
        environment = {"CRASH_ORDER": str(self.order)}
        began_s = time.monotonic()
        with running("--config", self.rig.config, module="tests.crashing", **environment) as daemon:
            daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
            self.rig.wait_until_idle(daemon, self.count)
            self.finding.recovered(time.monotonic() - began_s, 30)
            self.check()
            yield daemon

    @property
    def count(self) -> int:
        """How many inputs there have ever been."""
        return sum(len(names) for kind in (self.good, self.bad) for names in kind.values())

    def drop(self, policy: str, number: int, *, bad: bool) -> None:
        """Three inputs more."""
        for each in range(3):
            name = f"{number}-{each}.png"
            (self.bad if bad else self.good)[policy].add(name)
            self.rig.drop(name, FINALLY_REFUSED if bad else b"", folder=policy)

    def crash(self, policy: str, number: int, order: Order, *, bad: bool = False) -> None:
        """Recover from the last death, take new inputs, and die at this step."""
        with self.daemon() as daemon:
            order.give(self.order)
            self.drop(policy, number, bad=bad)
            if order.worker:
                daemon.wait_for("worker.died", within_s=PATIENCE_S)
                self.order.unlink()
                self.rig.wait_until_idle(daemon, self.count)
            else:
                died = daemon.wait(PATIENCE_S) == -9
                self.finding.expect(died, f"{order.step}: never reached")
                self.order.unlink()
                self.check_nothing_lost(f"{policy}, killed at {order.step}")
        self.finding.rounds += 1

    def places(self, policy: str) -> dict[str, set[str]]:
        """The names that are in each place of one folder."""
        base, archive = self.rig.base, self.rig.base / "archived"
        held = {"in": base / policy, "out": base / f"{policy}-out"}
        held["quarantine"] = self.rig.state / "quarantine" / policy
        if policy == "archive":
            held["archive"] = archive
        return {place: {path.name for path in files(root)} for place, root in held.items()}

    def check_nothing_lost(self, when: str) -> None:
        """Each input or its output exists somewhere, and every output is whole."""
        for policy in self.good:
            held = self.places(policy)
            lost = (self.good[policy] | self.bad[policy]) - set().union(*held.values())
            self.finding.expect(not lost, f"{when}: lost {sorted(lost)}")
            whole = not any(broken(path) for path in files(self.rig.base / f"{policy}-out"))
            self.finding.expect(whole, f"{when}: an output is broken")

    def check(self) -> None:
        """Everything has come to its one end."""
        for policy, good in self.good.items():
            bad, held = self.bad[policy], self.places(policy)
            reasons = {f"{name}.reason.json" for name in bad}
            inputs = good | bad if policy == "keep" else set()
            quarantined = reasons if policy == "keep" else reasons | bad
            wanted = {"in": inputs, "out": good, "quarantine": quarantined}
            if policy == "archive":
                wanted["archive"] = good
            for place, names in wanted.items():
                said = f"{policy}: {place}: {sorted(held[place] ^ names)[:4]}"
                self.finding.expect(held[place] == names, said)
        self.finding.expect(not temps(self.rig.base), "left behind")

    def retried(self, step: str) -> None:
        """`sharpend retry` is killed at a step, and given again."""
        with self.daemon():
            self.order.unlink(missing_ok=True)
        Order(step).give(self.order)
        command = [sys.executable, "-m", "tests.crashing", "retry"]
        command += ["--config", str(self.rig.config)]
        surround = surroundings({"CRASH_ORDER": str(self.order)})
        done = subprocess.run(command, check=False, env=surround, capture_output=True)
        self.finding.expect(done.returncode == -9, f"{step}: never reached")
        self.order.unlink()
        self.check_nothing_lost(f"retry, killed at {step}")
        done = subprocess.run(command, check=False, env=surround, capture_output=True)
        self.finding.expect(done.returncode == 0, f"{step}: given again: {done.stderr!r}")
        with self.daemon():
            self.finding.rounds += 1


def boundaries() -> list[tuple[str, Order, bool]]:
    """Each step of a good image, of a group and of a bad one, by policy; and of the workers."""
    daemon = [
        (str(policy), Order(step), bad)
        for policy in SourcePolicy
        for steps, bad in ((WORKER_STEPS + COMMIT_STEPS, False), (QUARANTINE_STEPS, True))
        for step in steps
    ]
    groups = [
        (str(policy), Order(step, group=3, nth=nth), False)
        for policy in SourcePolicy
        for step in (*COMMIT_STEPS, *(["begun"] if policy is not SourcePolicy.KEEP else []))
        for nth in (1, 2)
    ]
    return daemon + groups + [("keep", Order(step, worker=True), False) for step in WORKER_STEPS]


def step_boundaries(rig: Rig, rounds: int, finding: Finding) -> None:
    """1b: kill -9 at each step between open and dispose, and a normal start after it."""
    deaths = Boundaries(rig, finding)
    every = boundaries()
    chosen = every if rounds >= len(every) else every[4 :: len(every) // rounds][:rounds]
    for number, (policy, order, bad) in enumerate(chosen):
        deaths.crash(policy, number, order, bad=bad)
    if chosen is every:
        for step in RETRY_STEPS:
            deaths.retried(step)
    with deaths.daemon():
        finding.figures = f"{finding.rounds} steps of {len(every) + len(RETRY_STEPS)}"


def kill_workers(rig: Rig, rounds: int, finding: Finding) -> None:
    """2: kill -9 of a worker in the middle of an image, others beside it."""
    large, deaths = large_picture(), 0
    rig.configure(workers={"count": 2})
    made = set()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            name = f"{number}.png"
            rig.drop(name, large)
            until(lambda: temps(rig.outbox))
            busiest(daemon).kill()
            died_s = time.monotonic()
            rig.drop(f"beside-{number}.png")
            daemon.wait_for("image.finished", path=f"beside-{number}.png")
            ended = daemon.wait_for("image.finished", within_s=PATIENCE_S, path=name)
            finding.recovered(time.monotonic() - died_s, 10)
            finding.expect(ended["attempts"] <= 2, f"{name}: {ended['attempts']} attempts")
            deaths += ended["attempts"] == 2
            finding.expect(not broken(rig.outbox / name), f"{name}: broken")
            made |= {name, f"beside-{number}.png"}
            finding.rounds += 1
        finding.expect(deaths > 0, "no worker died with an image in work")
    rig.check(finding, made)
    finding.figures = f"{deaths} of {rounds} died with an image in work"


def busiest(daemon: Daemon) -> psutil.Process:
    """The worker that has used its processor most lately: the one with the image."""
    workers = daemon.workers()
    first = [sum(worker.cpu_times()[:2]) for worker in workers]
    time.sleep(0.02)
    used = [sum(w.cpu_times()[:2]) - s for w, s in zip(workers, first, strict=True)]
    return workers[max(range(len(workers)), key=lambda number: used[number])]


def poison(rig: Rig, rounds: int, finding: Finding) -> None:
    """3: images that end their worker each time: a fault in a decoder, or of memory."""
    order = rig.base / "order"
    environment = {"CRASH_ORDER": str(order)}
    signals = ("SIGSEGV", "SIGKILL", "SIGABRT")
    with running("--config", rig.config, module="tests.crashing", **environment) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            cause = signals[number % len(signals)]
            Order("decoded", cause, worker=True, path="poison").give(order)
            rig.drop(f"poison-{number}.png")
            rig.drop(f"good-{number}.png")
            ended = daemon.wait_for("image.quarantined", path=f"poison-{number}.png")
            finding.expect(ended["error_code"] == "worker_died", ended["error_code"])
            finding.expect(ended["attempts"] == 2, f"{ended['attempts']} attempts")
            finding.expect(cause in ended["message"], ended["message"])
            daemon.wait_for("image.finished", path=f"good-{number}.png")
            finding.rounds += 1
    rig.check_outputs(finding, {f"good-{number}.png" for number in range(rounds)})


def stop_with_a_queue(rig: Rig, rounds: int, finding: Finding) -> None:
    """4: SIGTERM with 500 queued and 4 in work."""
    rig.configure(workers={"count": 4, "threads": 1})
    names: set[str] = set()
    for number in range(rounds):
        fresh = {f"{number}-{each}.png" for each in range(500)}
        names |= fresh
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            for name in fresh:
                rig.drop(name)
            daemon.wait_for("image.finished")
            began_s = time.monotonic()
            finding.expect(daemon.stop() == 0, "exit status")
            finding.recovered(time.monotonic() - began_s, 30)
        finding.expect(rig.counts()["running"] == 0, "left as running")
        finding.rounds += 1
    left = len(names) - len(files(rig.outbox))
    finding.expect(left > 0, "nothing was queued when it was stopped")
    with running("--config", rig.config) as daemon:
        rig.wait_until_idle(daemon, len(names))
    rig.check(finding, names)
    finding.figures = f"{left} still queued after the last stop, none lost"


def stopped_worker(rig: Rig, rounds: int, finding: Finding) -> None:
    """42: a worker is stopped (SIGSTOP) with an image in work; the daemon is not stuck."""
    rig.configure(workers={"count": 1, "job_timeout_s": JOB_TIMEOUT_S})
    large = large_picture()
    manager = ServiceManager(rig.base / "notify")
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    try:
        with running("--config", rig.config, **environment) as daemon:
            daemon.wait_for("daemon.ready")
            for number in range(rounds):
                rig.drop(f"{number}.png", large)
                until(lambda: busy(daemon), every_s=LOOK_EVERY_S)
                pings = len(manager.messages())
                daemon.workers()[-1].suspend()
                began_s = time.monotonic()
                daemon.wait_for("worker.died", within_s=PATIENCE_S, path=f"{number}.png")
                finding.recovered(time.monotonic() - began_s, JOB_TIMEOUT_S + 2)
                told = [
                    message for message in manager.messages()[pings:] if "WATCHDOG=1" in message
                ]
                finding.expect(len(told) >= 3, f"{len(told)} watchdog pings meanwhile")
                daemon.wait_for("image.finished", within_s=PATIENCE_S, path=f"{number}.png")
                finding.rounds += 1
    finally:
        manager.close()
    rig.check(finding, {f"{number}.png" for number in range(rounds)})


def busy(daemon: Daemon) -> bool:
    """Whether a worker computes."""
    return any(worker.cpu_percent(0.02) > 50 for worker in daemon.workers())


SCENARIOS = (
    Scenario(
        "1",
        "kill -9 of the daemon at random, 50 images a round",
        "none lost, partial or made twice; recovery < 5 s",
        kill_the_daemon,
        200,
        1,
        in_ci=False,
    ),
    Scenario(
        "1b",
        "kill -9 at each step from open to dispose",
        "none lost, partial or made twice",
        step_boundaries,
        10**6,
        4,
    ),
    Scenario(
        "2",
        "kill -9 of a worker with an image",
        "tried again, others go on, new worker < 10 s",
        kill_workers,
        100,
        1,
        in_ci=False,
    ),
    Scenario(
        "3",
        "an image that ends its worker each time",
        "quarantined after 2 attempts with the signal",
        poison,
        10,
        1,
        in_ci=False,
    ),
    Scenario(
        "4",
        "SIGTERM with 500 queued, 4 in work",
        "exit 0 in < 30 s, none lost",
        stop_with_a_queue,
        3,
        1,
        in_ci=False,
    ),
    Scenario(
        "42",
        "a worker stopped by SIGSTOP",
        "replaced at the job's timeout, watchdog served",
        stopped_worker,
        5,
        1,
        in_ci=False,
    ),
)
