"""Workers on a Ray cluster: whatever goes, each image is sharpened once and no attempt is spent."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from sharpend.files.fingerprint import Fingerprint
from sharpend.task import Died, Failed, Lost, Options, Staged, Task
from sharpend.workers import process
from sharpend.workers.cluster.notices import Cluster
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.worker import WorkerOptions
from tests.conftest import drop
from tests.daemons import configured, once, running, temps, until
from tests.raycluster import WITH_RAY, RayCluster, cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Networks
    from tests.daemons import Daemon

pytestmark = WITH_RAY
CPU = WorkerOptions(device="cpu", precision="float32", tile_px=None, threads=1, crop_px=64)
HAND = "ray::Hand"


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    """A head and two nodes of one processor each."""
    with cluster(1, 1) as made:
        yield made


def on(ray: RayCluster, **engine: object) -> dict[str, object]:
    """Settings of the engine."""
    return {"kind": "ray", "address": ray.address, **engine}


def settings(home: Path, networks: Networks, ray: RayCluster, **engine: object) -> Path:
    """A configuration with workers on the cluster."""
    return configured(home, networks.student, engine=on(ray, **engine))


def finished(daemon: Daemon, count: int) -> None:
    """Wait for so many images, each finished once and at the first attempt."""
    for _ in range(count):
        assert daemon.wait_for("image.finished")["attempts"] == 1


def test_images_are_sharpened_on_the_nodes(
    ray: RayCluster, networks: Networks, tmp_path: Path
) -> None:
    """`once` works as on one machine, in confined processes of which none is its own child."""
    for number in range(6):
        drop(tmp_path / "in", f"{number}.png")
    ran = once("--config", settings(tmp_path, networks, ray))
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert "worker.unconfined" not in ran.stderr
    assert temps(tmp_path) == []


def test_a_lost_hand_or_node_costs_no_attempt(
    ray: RayCluster, networks: Networks, tmp_path: Path
) -> None:
    """A worker's death is a strike; the end of its hand, of a node and of the ferry is none."""
    config = settings(tmp_path, networks, ray)
    node = ray.add()
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        pid = daemon.process.pid
        (ferry,) = psutil.Process(pid).children()
        number = 0
        for end in (HAND, "raylet/raylet", "ferry"):
            for _ in range(6):
                drop(tmp_path / "in", f"{number}.png", height=400, width=600, seed=number)
                number += 1
            daemon.wait_for("image.finished")
            victims = [ferry] if end == "ferry" else node.named(end)
            for victim in victims or ray.nodes[0].named(end):
                victim.kill()
        for _ in range(number - 3):
            daemon.wait_for("image.finished")
        ended = daemon.events("image.finished")
        assert {one["attempts"] for one in ended} == {1}
        assert daemon.events("worker.died") == []
        assert daemon.events("engine.degraded", subject="engine")
        daemon.wait_for("engine.recovered", subject="engine")
        assert daemon.process.pid == pid
    node.kill()
    assert len(list((tmp_path / "out").iterdir())) == number


def test_a_new_head_is_joined(networks: Networks, tmp_path: Path) -> None:
    """The daemon outlives the head: health is degraded until another one is there."""
    with cluster(1) as ray, running("--config", settings(tmp_path, networks, ray)) as daemon:
        drop(tmp_path / "in", "first.png")
        finished(daemon, 1)
        ray.head.kill()
        daemon.wait_for("engine.degraded", subject="engine")
        daemon.wait_for("report.published", health="degraded")
        drop(tmp_path / "in", "second.png", seed=2)
        for node in ray.nodes:
            node.kill()
        ray.start_head()
        ray.add()
        daemon.wait_for("engine.recovered", subject="engine")
        finished(daemon, 1)


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"address": "127.0.0.1:9"}, 69, "start the head with `ray start --head`"),
        ({"token": "0" * 64}, 78, "the cluster refuses the token"),
    ],
)
def test_a_wrong_address_or_token_is_one_sentence(
    ray: RayCluster,
    networks: Networks,
    tmp_path: Path,
    change: dict[str, str],
    status: int,
    text: str,
) -> None:
    """What cannot be joined is told in less than ten seconds, with what to change."""
    (tmp_path / "token").write_text(change.get("token", ""))
    config = settings(tmp_path, networks, ray, address=change.get("address", ray.address))
    started_s = time.monotonic()
    ran = once("--config", config, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))
    assert (ran.returncode, time.monotonic() - started_s < 10) == (status, True), ran.stderr
    assert text in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


class Crew:
    """A pool on the cluster whose workers do what their task is called, see `lightwork`."""

    def __init__(self, ray: RayCluster, wanted: int) -> None:
        self._heard = threading.Event()
        self.pool = RayPool(Cluster(ray.address, 1, 0), wanted, CPU, {}, self._heard.set)
        self.pool.engine("lite", teacher=False)

    def submit(self, name: bytes, job_id: int, root: bytes = b"/usr") -> Task:
        """Hand out a task that is called so; its output would be in a folder that is missing."""
        options = Options("lite")
        task = Task(job_id, root, root, name, b"none", b".t", Fingerprint(1, 2, 3), options)
        self.until(lambda: self.pool.free > 0)
        self.pool.submit(task, time.monotonic())
        return task

    def outcome(self) -> Staged | Failed | Died | Lost:
        """Wait for an outcome."""
        found: list[Staged | Failed | Died | Lost] = []

        def has_ended() -> bool:
            found.extend(self.pool.finished(time.monotonic()))
            return bool(found)

        until(has_ended, every_s=0.05)
        (outcome,) = found
        return outcome

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until it is true; no task may end meanwhile."""

        def turned() -> bool:
            assert list(self.pool.finished(time.monotonic())) == []
            return condition()

        until(turned, every_s=0.05)


@pytest.fixture
def crew(ray: RayCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """Light workers on the cluster."""
    monkeypatch.setattr(process, "PROGRAM", "tests.lightwork")
    made = Crew(ray, 1)
    yield made
    made.pool.stop()


def test_a_pool_on_a_cluster_is_a_pool(crew: Crew) -> None:
    """Deaths are told by name and cost their own task; work goes on in a new process."""
    for job_id, (name, cause) in enumerate(
        [
            (b"SIGKILL", "SIGKILL"),
            (b"exit", "exit status 3"),
            (b"raise", "ZeroDivisionError('bug')"),
        ]
    ):
        crew.submit(name, job_id)
        assert crew.outcome() == Died(job_id, cause)
    crew.submit(b"well", 7)
    staged = crew.outcome()
    assert isinstance(staged, Staged)
    assert staged.job_id == 7
    task = crew.submit(b"hang", 8)
    assert (crew.pool.running, crew.pool.free) == ([task], 0)
    with pytest.raises(StopIteration):
        crew.pool.submit(task, time.monotonic())
    assert crew.pool.stop() == [task]


def test_a_hand_without_a_node_is_not_free(crew: Crew, ray: RayCluster) -> None:
    """Hands beyond the room take no task, and work as soon as a node has joined."""
    crew.pool._wanted = 4
    crew.until(lambda: crew.pool.free == 2)
    node = ray.add()
    crew.until(lambda: crew.pool.free == 3)
    node.kill()
    crew.until(lambda: crew.pool.free == 2)


def test_another_folder_on_a_node_is_no_vanished_input(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that a node does not see comes back unspent, and its hand gets no more work."""
    seen = os.stat
    other = os.stat("/")

    def stat(path: bytes | str | int, **named: object) -> os.stat_result:
        return other if path == b"/usr" else seen(path, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    crew.submit(b"well", 1)
    outcome = crew.outcome()
    assert isinstance(outcome, Lost)
    assert (outcome.node, "mount the share on this node" in outcome.cause) == ("", True)
    assert (crew.pool.count, len(crew.pool.faults)) == (0, 1)
