"""Settings and state of the daemon: settings, reloads, a lost ledger, a flood of lines."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from sharpend.policies import SourcePolicy
from tests.campaign.rig import Finding, Rig, Scenario, inodes
from tests.daemons import WITHIN_S, running, surroundings

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION, LOCKED = 78, 75
MOST_LINES = 1000


def refusals(rig: Rig, rounds: int, finding: Finding) -> None:
    """36: output inside input, archive = input, two daemons on one state."""
    inside = rig.folder(output=rig.inbox / "out")
    archive = rig.folder(source="archive", archive=rig.inbox)
    for folder in (inside, archive, rig.folder(output=rig.inbox)):
        rig.configure(folder)
        status, said = refused(rig.config)
        finding.expect(status == CONFIGURATION, f"exit status {status}: {said}")
        finding.expect("Traceback" not in said, said)
    rig.configure()
    names = set()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            status, said = refused(rig.config)
            finding.expect(status == LOCKED, f"the second daemon: exit status {status}: {said}")
            names.add(rig.drop(f"{number}.png").name)
            daemon.wait_for("image.finished", path=f"{number}.png")
            finding.rounds += 1
    rig.check(finding, names)


def refused(config: Path) -> tuple[int, str]:
    """Exit status and words of a daemon that must not start."""
    command = [sys.executable, "-m", "sharpend", "run", "--config", str(config)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=surroundings({}), timeout=WITHIN_S
    )
    return done.returncode, done.stderr


def lost_ledger(rig: Rig, rounds: int, finding: Finding) -> None:
    """38: the ledger is overwritten with noise, cut, deleted, or of a version to come."""
    names = {f"{number}.png" for number in range(20)}
    for name in names:
        rig.drop(name)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.wait_until_idle(daemon, len(names))
    before = inodes(rig.outbox)
    for number in range(rounds):
        damage(rig, number)
        began_s = time.monotonic()
        with running("--config", rig.config) as daemon:
            daemon.wait_for("ledger.rebuilt")
            daemon.wait_for("daemon.ready")
            rig.wait_until_idle(daemon, len(names))
            finding.recovered(time.monotonic() - began_s, 30)
        finding.expect(inodes(rig.outbox) == before, f"round {number}: done again")
        finding.rounds += 1
    newer(rig)
    status, said = refused(rig.config)
    finding.expect(status != 0 and "newer" in said, f"of a newer version: {status}: {said}")
    rig.check(finding, names)


def ledger_file(rig: Rig) -> Path:
    """The ledger itself; what SQLite keeps beside it is removed, as a copy without it would be."""
    (ledger,) = (path for path in rig.state.iterdir() if path.suffix == ".db")
    for other in rig.state.glob(f"{ledger.name}-*"):
        other.unlink()
    return ledger


def damage(rig: Rig, number: int) -> None:
    """Noise, half of it, or nothing."""
    ledger = ledger_file(rig)
    if number % 3 == 0:
        ledger.write_bytes(rig.chance.randbytes(ledger.stat().st_size))
    elif number % 3 == 1:
        os.truncate(ledger, ledger.stat().st_size // 2)
    else:
        ledger.unlink()


def newer(rig: Rig) -> None:
    """Let the ledger say that it is of version 10,000: four bytes of SQLite's header."""
    with ledger_file(rig).open("r+b") as file:
        file.seek(60)
        file.write((10_000).to_bytes(4))


def reloads(rig: Rig, rounds: int, finding: Finding) -> None:
    """39: SIGHUP at once and again, a bad file, another strength, a folder that is removed."""
    names = set()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            names |= {f"{number}-{each}.png" for each in range(3)}
            reload_badly(rig, number, finding)
            daemon.send(signal.SIGHUP)
            daemon.wait_for("config.rejected")
            rig.configure(rig.folder(strength=0.5 + number / (2 * rounds)))
            began_s = time.monotonic()
            for _ in range(100):
                daemon.send(signal.SIGHUP)
                time.sleep(0.005)
            daemon.wait_for("config.reloaded", where=lambda one: bool(one["changed"]))
            finding.recovered(time.monotonic() - began_s, 30)
            finding.rounds += 1
        rig.wait_until_idle(daemon, len(names))
        rig.configure(rig.folder("other"))
        rig.drop("removed.png")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded", where=lambda one: "folder" in str(one["changed"]))
        rig.drop("kept.png", folder="other")
        daemon.wait_for("image.finished", path="kept.png", folder="other")
        rejected = len(daemon.events("config.rejected"))
        finding.expect(rejected == rounds, f"{rejected} of {rounds} bad files were told of")
    (rig.inbox / "removed.png").unlink()
    (rig.outbox / "removed.png").unlink(missing_ok=True)  # its turn may have come before
    rig.check(finding, names)


def reload_badly(rig: Rig, number: int, finding: Finding) -> None:
    """A file that cannot be taken, with images in progress."""
    for each in range(3):
        rig.drop(f"{number}-{each}.png")
    finding.expect(rig.config.exists(), "no configuration")
    with rig.config.open("a") as file:
        file.write("\nunknown = 1\n")


def flood(rig: Rig, rounds: int, finding: Finding) -> None:
    """43: so many images fail alike."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            rig.drop(f"{number}.png", rig.bad)
        rig.wait_until_idle(daemon, rounds, within_s=1200)
        reasons = len(list((rig.state / "quarantine").rglob("*.reason.json")))
        finding.expect(reasons == rounds, f"{reasons} reasons for {rounds} files")
        kinds = Counter(event["event"] for event in daemon._heard.all)
        lines = sum(kinds.values()) - kinds["report.published"]
        most = MOST_LINES if rounds > MOST_LINES else rounds + 10
        finding.expect(lines <= most, f"{lines} lines for {rounds} failures")
    finding.rounds = rounds
    finding.figures = f"{lines:,} lines of the log for {rounds:,} failures"


def model(_: Rig, rounds: int, finding: Finding) -> None:
    """44: random lives against the model of the promise; so many in all, others each time."""
    from tests.lives import lives  # noqa: PLC0415 - Hypothesis, for this one alone

    seeds = {policy: secrets.randbits(32) for policy in SourcePolicy}
    finding.figures = ", ".join(f"seed {seeds[policy]} for {policy}" for policy in SourcePolicy)
    for policy in SourcePolicy:
        examples = rounds // len(SourcePolicy)
        lives(policy, examples=examples, steps=30, seeded=seeds[policy])
        finding.rounds += examples


SCENARIOS = (
    Scenario(
        "36",
        "output in input, archive = input, two daemons on one state",
        "refused: exit 78, 75; the first goes on",
        refusals,
        20,
        1,
        in_ci=False,
    ),
    Scenario(
        "38",
        "the ledger noise, cut, deleted, of a newer version",
        "rebuilt, nothing done again; newer refused",
        lost_ledger,
        30,
        3,
    ),
    Scenario(
        "39",
        "100 SIGHUP in half a second, bad files, a folder removed",
        "one error each, the old settings stay, work goes on",
        reloads,
        20,
        1,
        in_ci=False,
    ),
    Scenario(
        "43",
        "images that fail alike",
        "a reason each, repeats counted and not told",
        flood,
        10_000,
        50,
        in_ci=False,
    ),
    Scenario(
        "44",
        "random lives of a folder against a model",
        "the promise at every moment",
        model,
        10_002,
        30,
        in_ci=False,
    ),
)
