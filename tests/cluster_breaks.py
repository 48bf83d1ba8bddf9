"""Kills, frozen nodes and lost nodes of a Ray cluster, against the promise about files.

    python -m tests.cluster_breaks [--rounds 200] [--images 20] [--seed 1] [--only kills,frozen]

Real daemons, a real cluster on the loopback. In each round of `kills` one process is killed at
random while images are in work: a confined worker, its actor, a node's raylet, the driver or the
daemon. `frozen` stops a node past its death and lets it go on while its image is in work elsewhere,
quarantined, or finished with other settings. `lost` takes ten nodes from one image, `head` the head
of the cluster. A fault is an image that is lost, doubled or partial, an attempt spent on what was
no fault of the image, or a temporary file that outlives the next start. Exit status 1 for any.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from tests.conftest import drop
from tests.daemons import WITHIN_S, configured, running, temps, until
from tests.raycluster import ACTOR, NAMES, cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.daemons import Daemon
    from tests.raycluster import Node, RayCluster

MODEL = Path("lite-photo")
LARGE_PX = {"height": 2500, "width": 3000}
"""Of an image whose encoding takes long enough to be met."""
VICTIMS = ("worker", "actor", "raylet", "driver", "daemon")
LOST_TIMES = 10


@dataclass
class Place:
    """A folder, and its daemon with workers on a cluster; `faults` says what broke the promise."""

    base: Path
    ray: RayCluster
    model: Path = MODEL
    faults: list[str] = field(default_factory=list)
    strength: float = 1.0
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        (self.base / "in").mkdir(parents=True)
        self.start()

    def configure(self) -> Path:
        """Write its settings."""
        engine: dict[str, object] = {"kind": "ray", "address": self.ray.address}
        usual = {"input": self.base / "in", "output": self.base / "out", "settle_s": 0.1}
        folder = {**usual, "strength": self.strength}
        return configured(self.base, self.model, folder, engine=engine)

    def start(self) -> None:
        """Start the daemon; what an earlier one left has to go."""
        left = set(temps(self.base))
        self.daemon: Daemon = self._stack.enter_context(running("--config", self.configure()))
        self.daemon.wait_for("daemon.ready")
        self.expect(left & set(temps(self.base)), "temporaries after a start")

    def expect(self, wrong: object, what: str) -> None:
        """Note a fault where something is wrong."""
        if wrong:
            self.faults.append(f"{what}: {wrong}")

    def swept(self) -> None:
        """Stop the daemon and start it again: no temporary file may be left."""
        self.expect(self.daemon.stop(), "exit status")
        self.start()

    def close(self) -> None:
        """End the daemon, however it is."""
        self._stack.close()

    def output(self, name: str) -> Path:
        """The output of an input."""
        return self.base / "out" / name

    def outputs(self, folder: str = "") -> dict[str, bytes]:
        """Content by name of all outputs in a folder, temporary files left out."""
        found = (self.base / "out" / folder).rglob("*.png")
        return {path.name: path.read_bytes() for path in found}

    def finished(self, number: int) -> list[int]:
        """Attempts of each image of a round that is done, by the ledger."""
        ledger = f"file:{self.base}/state/ledger.db?mode=ro"
        query = (
            "SELECT attempts FROM job WHERE state = 'disposed' AND relative >= ? AND relative < ?"
        )
        bounds = (b"%d/" % number, b"%d0" % number)  # 0 follows the slash
        with closing(sqlite3.connect(ledger, uri=True)) as read:
            return [attempts for (attempts,) in read.execute(query, bounds)]

    def actor_nodes(self) -> list[Node]:
        """Nodes on which an actor is."""
        return [node for node in self.ray.nodes if node.named(ACTOR)]


def images(base: Path, count: int) -> list[Path]:
    """So many tiny images, each different."""
    return [drop(base, f"{n}.png", height=64, width=96, seed=n) for n in range(count)]


def kills(
    ray: RayCluster, base: Path, model: Path, victims: Sequence[str], count: int, seed: int
) -> Place:
    """Kill one of them in each round, and compare all outputs with those of an undisturbed one."""
    chance, made = random.Random(seed), images(base / "made", count)
    place = Place(base / "kills", ray, model)
    expected = _round(place, made, 0, lambda: None)
    for number, victim in enumerate(victims, 1):
        after, pause_s = chance.randrange(count - 1), chance.uniform(0.0, 0.05)

        def strike(victim: str = victim, after: int = after, pause_s: float = pause_s) -> None:
            until(lambda: len(place.outputs(str(number))) >= after)  # noqa: B023 - used at once
            time.sleep(pause_s)  # a random moment within an image's work
            kill(place, victim, chance)

        began_s = time.monotonic()
        found = _round(place, made, number, strike)
        place.expect(expected.keys() - found.keys(), f"round {number}, {victim}: lost")
        place.expect(found.keys() - expected.keys(), f"round {number}, {victim}: doubled")
        wrong = [name for name in found if found[name] != expected.get(name)]
        place.expect(wrong, f"round {number}, {victim}: partial")
        spent = sum(place.finished(number)) - count
        place.expect(spent > (victim == "worker"), f"round {number}, {victim}: attempts spent")
        took_s = time.monotonic() - began_s
        said = f"round {number}: {victim} after {after} images, {took_s:.1f} s"
        print(said, place.faults[-1:] or "", flush=True)  # noqa: T201
        while len(ray.nodes) < 2:
            ray.add()
        until(lambda: len(place.actor_nodes()) == 2, every_s=0.1)
    place.swept()
    print(f"kills: {Counter(victims)}, {len(victims) * count} images")  # noqa: T201
    return place


def _round(
    place: Place, made: Sequence[Path], number: int, strike: Callable[[], None]
) -> dict[str, bytes]:
    """Drop all images at once into a folder of their own, and wait for their outputs."""
    staged = place.base / "staged"
    staged.mkdir()
    for path in made:
        shutil.copyfile(path, staged / path.name)
    os.rename(staged, place.base / "in" / str(number))
    strike()
    until(lambda: len(place.finished(number)) == len(made), every_s=0.02)
    return place.outputs(str(number))


def kill(place: Place, victim: str, chance: random.Random) -> None:
    """Kill one process of a kind, whatever it does."""
    if victim == "daemon":
        place.daemon.kill()
        place.start()
        return
    if victim == "driver":
        (driver,) = psutil.Process(place.daemon.process.pid).children()
        driver.kill()
        return
    node = chance.choice(place.actor_nodes() or place.ray.nodes)
    named = node.workers() if victim == "worker" else node.named(NAMES[victim])
    for one in named[:1]:
        one.send_signal(signal.SIGKILL)
    if victim == "raylet":
        place.ray.nodes.remove(node)
        node.kill()


def in_work(place: Place, beside: Sequence[Path] = ()) -> None:
    """Wait until an image is being written by a worker, other than to these files."""
    until(lambda: set(temps(place.base)) - set(beside))


def large(place: Place, name: str) -> None:
    """Drop an image that takes long, and wait until it is in work."""
    before = temps(place.base)
    staged = drop(place.base, f"staged-{name}", **LARGE_PX)
    os.rename(staged, place.base / "in" / name)
    in_work(place, before)


def thawed(node: Node) -> None:
    """Let a frozen node go on, until its worker has ended, and take it away."""
    workers = node.workers()
    node.thaw()
    psutil.wait_procs(workers, timeout=WITHIN_S)
    node.kill()


def frozen(ray: RayCluster, base: Path, model: Path, ways: Sequence[str]) -> Place:
    """Freeze the only node with an image in work, let another do it, and thaw the first."""
    place = Place(base / "frozen", ray, model)
    expected: dict[float, bytes] = {}
    for strength in (1.0, 0.5):
        expected[strength] = _reference(place, strength)
    for way in ways:
        place.strength = 1.0
        place.configure()
        place.daemon.send(signal.SIGHUP)
        place.daemon.wait_for("config.reloaded")
        _frozen(place, way, expected)
    place.swept()
    return place


def _reference(place: Place, strength: float) -> bytes:
    """Output of the large image, undisturbed."""
    place.strength = strength
    place.configure()
    place.daemon.send(signal.SIGHUP)
    place.daemon.wait_for("config.reloaded")
    name = f"reference-{strength}.png"
    large(place, name)
    place.daemon.wait_for("image.finished", path=name)
    return place.output(name).read_bytes()


def _frozen(place: Place, way: str, expected: dict[float, bytes]) -> None:
    ray, daemon, name = place.ray, place.daemon, f"{way}.png"
    large(place, name)
    (node,) = ray.nodes
    node.freeze()
    began_s = time.monotonic()
    place.expect(place.output(name).exists(), f"{way}: finished before the freeze")
    before = temps(place.base)
    ray.nodes.remove(node)
    ray.add()
    if way == "reloaded":
        place.strength = 0.5
        place.configure()
        daemon.send(signal.SIGHUP)
    daemon.wait_for("worker.lost", path=name)
    noticed_s = time.monotonic() - began_s
    if way == "quarantined":
        for _ in range(2):
            in_work(place, before)
            before = temps(place.base)
            for worker in ray.nodes[0].workers():
                worker.kill()
            daemon.wait_for("worker.died", path=name)
        daemon.wait_for("image.quarantined", path=name)
    elif way == "reloaded":
        daemon.wait_for("image.finished", path=name)
    else:
        in_work(place, before)
    thawed(node)
    if way == "quarantined":
        place.expect(place.output(name).exists(), "an output of a quarantined image")
    else:
        if way == "in work":
            daemon.wait_for("image.finished", path=name)
        wanted = expected[0.5 if way == "reloaded" else 1.0]
        place.expect(place.output(name).read_bytes() != wanted, f"{way}: another output")
        place.expect(len(daemon.events("image.finished", path=name)) != 1, f"{way}: finished twice")
    print(f"frozen, {way}: noticed after {noticed_s:.1f} s", *place.faults[-1:], flush=True)  # noqa: T201


def lost(ray: RayCluster, base: Path, model: Path, times: int) -> Place:
    """Kill the actor of one image again and again; the image is not to blame."""
    place = Place(base / "lost", ray, model)
    large(place, "one.png")
    for _ in range(times):
        before = temps(place.base)
        (actor,) = [one for node in ray.nodes for one in node.named(ACTOR)]
        actor.kill()
        place.daemon.wait_for("worker.lost", path="one.png")
        in_work(place, before)
    finished = place.daemon.wait_for("image.finished", path="one.png")
    place.expect(finished["attempts"] != 1, "attempts")
    place.swept()
    print(f"lost: {times} actors with one image, attempts {finished['attempts']}")  # noqa: T201
    return place


def head(ray: RayCluster, base: Path, model: Path) -> Place:
    """Kill the head with an image in work, and start another head."""
    place = Place(base / "head", ray, model)
    pid = place.daemon.process.pid
    large(place, "one.png")
    began_s = time.monotonic()
    ray.head.kill()
    place.daemon.wait_for("engine.degraded", subject="engine")
    degraded_s = time.monotonic() - began_s
    while ray.nodes:
        ray.nodes.pop().kill()
    ray.start_head()
    ray.add()
    drop(place.base / "in", "two.png")
    for name in ("one.png", "two.png"):
        finished = place.daemon.wait_for("image.finished", path=name)
        place.expect(finished["attempts"] != 1, f"attempts of {name}")
    took_s = time.monotonic() - began_s
    place.expect(place.daemon.process.pid != pid, "another process")
    place.expect(took_s > 90, "seconds until all is done")
    place.swept()
    print(f"head: degraded after {degraded_s:.1f} s, all done after {took_s:.1f} s")  # noqa: T201
    return place


FROZEN = ("in work", "quarantined", "reloaded")
PARTS = ("kills", "frozen", "lost", "head")


def main() -> int:
    """Break a cluster in every way, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_breaks")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    victims = [chance.choice(VICTIMS) for _ in range(options.rounds)]
    parts: dict[str, tuple[tuple[int, ...], Callable[[RayCluster, Path], Place]]] = {
        "kills": (
            (1, 1),
            lambda ray, base: kills(ray, base, MODEL, victims, options.images, options.seed),
        ),
        "frozen": ((1,), lambda ray, base: frozen(ray, base, MODEL, FROZEN)),
        "lost": ((1,), lambda ray, base: lost(ray, base, MODEL, LOST_TIMES)),
        "head": ((1,), lambda ray, base: head(ray, base, MODEL)),
    }
    faults: list[str] = []
    for name in options.only.split(","):
        cpus, part = parts[name]
        with tempfile.TemporaryDirectory(prefix="breaks-") as base, cluster(*cpus) as ray:
            place = part(ray, Path(base))
            place.close()
            faults += [f"{name}: {fault}" for fault in place.faults]
    print(f"{len(faults)} faults", *faults, sep="\n")  # noqa: T201
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
