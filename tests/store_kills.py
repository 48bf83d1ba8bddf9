"""Kills of a daemon that works on object storage, between any two of its steps; run by hand.

    python -m tests.store_kills --rounds 200

Each round a process lists, stages and commits, and is killed with SIGKILL when it has told of a
step that chance chose. Every third round two such processes, with two state directories, work on
one output by mistake. After the rounds each daemon is started once more: then each input must have
one whole output, and no upload may be open.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sharpend.policies import SourcePolicy
from tests.remote_shop import STAMP
from tests.store_server import StoreServer, objects, open_uploads, put, running_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGES = 3
MOST_STEPS = IMAGES * 14


def main() -> int:
    """Run the rounds and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with pytest.MonkeyPatch.context() as patch, running_store(patch) as store:
        found = kill(store, options.rounds, random.Random(options.seed), print)
    return int(bool(found.faults))


@dataclass
class Found:
    """What the rounds have shown."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By the step that was told of last."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        steps = ", ".join(f"{step} {number}" for step, number in sorted(self.kills.items()))
        faults = "\n".join(self.faults) or "none"
        return f"{self.rounds} rounds, {self.kills.total()} kills after: {steps}; faults: {faults}"


def kill(
    store: StoreServer,
    rounds: int,
    chance: random.Random,
    tell: Callable[[Found], object] = lambda _: None,
) -> Found:
    """Kill so many daemons, each at a step that chance chooses, and look at what they leave."""
    found = Found()
    for number in range(rounds):
        source = chance.choice(list(SourcePolicy))
        bucket, rivals = store.bucket(), 2 if number % 3 == 0 else 1
        wanted = {f"{at}.png": os.fsencode(f"{number} {at}") for at in range(IMAGES)}
        for name, body in wanted.items():
            put(bucket, f"in/{name}", body)
        with tempfile.TemporaryDirectory() as home:
            homes = [Path(home) / str(rival) for rival in range(rivals)]
            _run(homes, bucket, source, [chance.randrange(1, MOST_STEPS) for _ in homes], found)
            _run(homes, bucket, source, [0] * rivals, found)
            left = [path for one in homes for path in (one / "spool").glob("*")]
        found.rounds += 1
        found.faults += [f"round {number}: {one}" for one in _faults(bucket, source, wanted)]
        found.faults += [f"round {number}: left in the spool: {path}" for path in left]
        tell(found)
    return found


def _run(homes: list[Path], bucket: str, source: SourcePolicy, at: list[int], found: Found) -> None:
    """Run daemons side by side; kill each after so many steps, or never for 0."""
    command = [sys.executable, "-m", "tests.remote_shop"]
    running = [
        subprocess.Popen([*command, str(home), bucket, source], stdout=subprocess.PIPE, text=True)
        for home in homes
    ]
    for process, steps in zip(running, at, strict=True):
        assert process.stdout is not None
        for told, line in enumerate(process.stdout, start=1):
            if told == steps:
                process.kill()
                found.kills[line.strip()] += 1
                break
    for process, steps in zip(running, at, strict=True):
        assert process.stdout is not None
        process.stdout.close()
        if process.wait() and not steps:
            found.faults.append(f"a daemon ended with {process.returncode}")


def _faults(bucket: str, source: SourcePolicy, wanted: dict[str, bytes]) -> Iterator[str]:
    """What is wrong with the objects after the last start."""
    there = objects(bucket)
    outputs = {key[4:]: body for key, body in there.items() if key.startswith("out/")}
    if outputs != {name: STAMP + body for name, body in wanted.items()}:
        yield f"outputs: {outputs}"
    place = {"keep": "in/", "delete": "", "archive": "archive/"}[source]
    kept = {key: body for key, body in there.items() if not key.startswith("out/")}
    if kept != ({place + name: body for name, body in wanted.items()} if place else {}):
        yield f"{source}: sources: {kept}"
    if number := open_uploads(bucket):
        yield f"{number} open uploads"


if __name__ == "__main__":
    sys.exit(main())
