"""Workers on a Ray cluster: whatever goes, each image is sharpened once and no attempt is spent."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest

from sharpend.benchmark import cluster as section
from sharpend.benchmark.figures import Figure
from sharpend.benchmark.images import fill
from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.workers import ahead
from sharpend.workers.loading import WorkerOptions
from tests.cluster_breaks import VICTIMS, frozen, kills
from tests.conftest import drop
from tests.daemons import configured, once, running, temps, until
from tests.pool_harness import RayHarness
from tests.raycluster import ROOT, WITH_RAY, RayCluster, cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks
    from tests.daemons import Daemon

pytestmark = WITH_RAY
CPU = WorkerOptions(device="cpu", precision="float32", tile_px=None, threads=1, crop_px=64)


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
    ray: RayCluster, networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` asks each node, and `once` works as on one machine, in confined processes."""
    for number in range(6):
        drop(tmp_path / "in", f"{number}.png")
    config = settings(tmp_path, networks, ray)
    (tmp_path / "out").mkdir()
    main(["doctor", "--config", str(config), "--json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    nodes = [one for one in found if one["subject"].startswith("node ")]
    assert ["it writes" in one["found"] or "priority" in one["found"] for one in nodes] == [
        True
    ] * 2
    assert os.listdir(tmp_path / "out") == []
    ran = once("--config", config)
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert "worker.unconfined" not in ran.stderr
    assert temps(tmp_path) == []


def test_events_name_the_node_that_worked(
    ray: RayCluster, networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of two nodes makes images of a watched folder, under the name that `doctor` gives it."""
    config = settings(tmp_path, networks, ray)
    (tmp_path / "out").mkdir()
    main(["doctor", "--config", str(config), "--json"])
    subjects = [one["subject"] for one in json.loads(capsys.readouterr().out)["checks"]]
    nodes = {one.removeprefix("node ") for one in subjects if one.startswith("node ")}
    seen, numbers = Counter[str](), count()
    with running("--config", config) as daemon:

        def both_worked() -> bool:
            for number in [next(numbers), next(numbers)]:
                drop(tmp_path / "in", f"{number}.png", seed=number)
            seen.update(daemon.wait_for("image.finished")["node"] for _ in range(2))
            return len(seen) == 2

        until(both_worked)
        (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
        assert daemon.wait_for("image.quarantined")["node"] in nodes
        assert daemon.undescribed == []
    assert (set(seen), len(nodes)) == (nodes, 2)
    assert len(list((tmp_path / "out").iterdir())) == seen.total()


def test_whatever_is_killed_each_image_is_done_once(
    ray: RayCluster, networks: Networks, tmp_path: Path
) -> None:
    """A worker's death is a strike; the end of its actor, node, driver or daemon is none."""
    place = kills(ray, tmp_path, networks.student, VICTIMS, count=8, seed=1)
    place.close()
    assert place.faults == []


def test_a_node_that_comes_back_publishes_nothing(networks: Networks, tmp_path: Path) -> None:
    """Frozen past its death, and thawed after a reload: the output has the newest settings."""
    with cluster(1) as ray:
        place = frozen(ray, tmp_path, networks.student, ["reloaded"])
        place.close()
    assert place.faults == []


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


MOUNTED = ("unshare", "--mount", "sh", "-c", 'mount $0 "$1" "$2" && shift 2 && exec "$@"')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_node_with_other_folders_or_weights_is_named(
    ray: RayCluster, networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gets no work and loses no image; `check` says which node, and why."""
    config = settings(tmp_path, networks, ray)
    (tmp_path / "out").mkdir()
    prefixes = [
        (*MOUNTED, "-t tmpfs", "none", str(tmp_path / "in")),
        (*MOUNTED, "--bind", str(networks.teacher), str(networks.student)),
    ]
    other = [ray.add(prefix=prefix) for prefix in prefixes]
    assert main(["check", "--config", str(config)]) == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert said.count("node ") == 2
    assert "/in is another folder here; mount the share on this node" in said
    assert "its weights of " in said
    for number in range(6):
        drop(tmp_path / "in", f"{number}.png")
    ran = once("--config", config)
    assert (ran.returncode, ran.stderr.count("image.finished")) == (0, 6), ran.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [f"{number}.png" for number in range(6)]
    for node in other:
        node.kill()


FOREIGN = 78, "the cluster refuses the token"


@pytest.mark.parametrize(
    ("address", "environment", "ending"),
    [
        ("127.0.0.1:9", {}, (69, "start the head with `ray start --head`")),
        ("", {"RAY_AUTH_TOKEN_PATH": "{}/foreign"}, FOREIGN),
        ("", {"RAY_AUTH_MODE": "disabled"}, FOREIGN),
        ("", {"PYTHONPATH": f"{{}}:{ROOT}"}, (78, "install the same versions of Ray and Python")),
    ],
)
def test_what_cannot_be_joined_is_one_sentence(
    ray: RayCluster,
    networks: Networks,
    tmp_path: Path,
    address: str,
    environment: dict[str, str],
    ending: tuple[int, str],
) -> None:
    """Wrong address, wrong token, none, another version: within a minute, with advice."""
    (tmp_path / "foreign").write_text("0" * 64)
    (tmp_path / "sitecustomize.py").write_text("import ray\nray.__version__ = '2.0.0'\n")
    config = settings(tmp_path, networks, ray, address=address or ray.address)
    started_s = time.monotonic()
    told = {name: value.format(tmp_path) for name, value in environment.items()}
    ran = once("--config", config, **told)
    status, advice = ending
    assert (ran.returncode, time.monotonic() - started_s < 60) == (status, True), ran.stderr
    assert advice in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture
def harness(ray: RayCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayHarness]:
    """A light worker on the cluster."""
    monkeypatch.setattr(ahead, "PROGRAM", "tests.lightwork")
    made = RayHarness(ray)
    yield made
    made.pool.stop()


def free(harness: RayHarness, count: int) -> None:
    """Wait until so many actors are free."""
    until(lambda: not list(harness.pool.finished(time.monotonic())) and harness.pool.free == count)


def test_an_actor_without_a_node_is_not_free(harness: RayHarness, ray: RayCluster) -> None:
    """Actors beyond the room take no task, and work as soon as a node has joined."""
    harness.pool._wanted = 4
    free(harness, 2)
    node = ray.add()
    free(harness, 3)
    node.kill()
    free(harness, 2)


def test_the_benchmark_compares_both(
    ray: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many local workers as the cluster has, and every figure of both."""
    monkeypatch.setattr(section, "_BATCHES", 1)
    monkeypatch.setenv("SHARPEND_ENGINE__ADDRESS", ray.address)
    monkeypatch.setenv("SHARPEND_MODEL__PRECISION", "float32")
    images = fill(tmp_path / "made", 4, (64, 96))
    table = section.cluster(images, tmp_path / "runs", "lite-photo")
    for cells in table.rows.values():
        figures = [cells[column] for column in table.columns]
        assert all(isinstance(one, Figure) and one.median > 0 for one in figures)
