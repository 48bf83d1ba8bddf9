"""Kills of a daemon that works on object storage, between any two of its steps; run by hand.

    python -m tests.store_kills --rounds 200 --record build/store_kills.json

Each round a process lists, stages and commits, and is killed with SIGKILL when it has told of a
step that chance chose. Every third round two such processes, with two state directories, work on
one output by mistake. Meanwhile the store answers some completions with 409 or 412, and loses the
answers of others. After that each daemon is started once more: then each input must have one whole
output, and no upload may be open. With `--record` the rounds that a file has are not run again.
"""

from __future__ import annotations

import argparse
import json
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

from sharpend.files.objects.client import ATTEMPTS
from sharpend.policies import SourcePolicy
from tests.remote_shop import STAMP
from tests.store_server import StoreServer, objects, open_uploads, put, running_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGES = 3
MOST_STEPS = IMAGES * 14
REFUSALS = {0.08: (409, "ConditionalRequestConflict"), 0.12: (412, "PreconditionFailed")}
"""Answers to completions in place of the store's, each up to a number that chance draws."""
LOST = 0.05
"""Share of the completions whose answer is lost; that of all tries of a request is an outage, which
a daemon waits out: none of these does."""


def main() -> int:
    """Run the rounds and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, help="file of the rounds that were run")
    options = parser.parse_args()
    found = Found.load(options.record)

    def tell(found: Found) -> None:
        found.save(options.record)
        print(found, flush=True)  # noqa: T201 - a command run by hand

    with pytest.MonkeyPatch.context() as patch, running_store(patch) as store:
        kill(store, options.rounds, options.seed, found, tell)
    return int(bool(found.faults))


@dataclass
class Found:
    """What the rounds have shown."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By the step that was told of last."""
    injected: Counter[str] = field(default_factory=Counter)
    """Answers that were not the store's."""
    faults: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None) -> Found:
        """Read what earlier runs have shown."""
        if path is None or not path.exists():
            return cls()
        kept = json.loads(path.read_text())
        counts = Counter(kept["kills"]), Counter(kept["injected"])
        return cls(kept["rounds"], *counts, kept["faults"])

    def save(self, path: Path | None) -> None:
        """Write it for later runs."""
        if path is not None:
            path.write_text(json.dumps(vars(self), indent=1) + "\n")

    def __str__(self) -> str:
        faults = "\n".join(self.faults) or "none"
        return (
            f"{self.rounds} rounds, {self.kills.total()} kills after: {_listed(self.kills)};"
            f" answers: {_listed(self.injected)}; faults: {faults}"
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def kill(
    store: StoreServer,
    rounds: int,
    seed: int,
    found: Found,
    tell: Callable[[Found], object] = lambda _: None,
) -> Found:
    """Kill so many daemons, each at a step that chance chooses, and look at what they leave.

    Args:
        store: that they work on.
        rounds: with those that were found before.
        seed: of all that chance chooses.
        found: what earlier rounds have shown; added to.
        tell: called after each round.
    """
    for number in range(found.rounds, rounds):
        chance = random.Random(f"{seed} {number}")
        _disturb(store, random.Random(f"{seed} {number} answers"), found)
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
        store.reset()
        found.rounds += 1
        found.faults += [f"round {number}: {one}" for one in _faults(bucket, source, wanted)]
        found.faults += [f"round {number}: left in the spool: {path}" for path in left]
        tell(found)
    return found


def _disturb(store: StoreServer, chance: random.Random, found: Found) -> None:
    """Let some completions fail, and the answers of others be lost."""

    def refusal(asked: str) -> tuple[int, str] | None:
        drawn = chance.random() if asked == "complete" else 1.0
        answer = next((one for most, one in REFUSALS.items() if drawn < most), None)
        if answer is not None:
            found.injected[answer[1]] += 1
        return answer

    in_a_row = 0

    def is_lost(asked: str) -> bool:
        nonlocal in_a_row
        if asked != "complete":
            return False
        in_a_row = in_a_row + 1 if chance.random() < LOST and in_a_row < ATTEMPTS - 1 else 0
        found.injected["lost"] += bool(in_a_row)
        return bool(in_a_row)

    store.refuses, store.loses = refusal, is_lost


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
