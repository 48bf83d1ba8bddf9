"""The fault campaign: each fault for real against a real daemon, many times, and what came of it.

    python -m tests.campaign [--few] [--again] [--only 1,2,16] [--figures FILE]

Prints one line a scenario: its number in the list of faults, rounds, violations of the promise,
worst recovery. Finished scenarios are remembered in the figures' file, so that a campaign that was
stopped goes on where it was. `--few` is the reduced form that the slow tests run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sharpend.health import read_status
from sharpend.ledger.reader import LedgerReader
from tests.conftest import photograph
from tests.daemons import Daemon, configured, running, temps, until
from tests.students import agreeing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = (33, 47)
PATIENCE_S = 120.0


@dataclass
class Finding:
    """What came of one scenario."""

    rounds: int = 0
    violations: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    figures: str = ""
    not_run: str = ""
    """Why it cannot be run on this machine."""

    def expect(self, held: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Note a violation unless it held."""
        if not held:
            self.violations.append(otherwise)


@dataclass(frozen=True)
class Scenario:
    """One fault, how often, and what it is called."""

    number: str
    title: str
    run: Callable[[Rig, int, Finding], None]
    rounds: int
    few: int


class Rig:
    """Folders, a small network, and daemons over them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.inbox, self.outbox = base / "in", base / "out"
        self.config = configured(base, agreeing(base))
        self.chance = random.Random(0)
        buffer = BytesIO()
        Image.fromarray(photograph(*SIZE)).save(buffer, "PNG")
        self.picture = buffer.getvalue()
        self.bad = self.picture[: len(self.picture) // 2]

    def drop(self, name: str, content: bytes = b"") -> Path:
        """A picture, whole, under its final name in one step."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.parent / ".new.tmp"
        hidden.write_bytes(content or self.picture)
        return hidden.rename(path)

    def wait_until_idle(self, daemon: Daemon, count: int) -> None:
        """Until so many inputs have come to an end and nothing waits."""

        def ended() -> bool:
            with LedgerReader.read_only(self.base / "state") as ledger:
                counts = {state.value: number for state, number in ledger.counts().items()}
            return counts["disposed"] + counts["quarantined"] >= count

        until(ended, within_s=PATIENCE_S)
        assert daemon.process.poll() is None, "the daemon has ended"

    def check(self, finding: Finding, names: set[str]) -> None:
        """Each of these inputs has its whole output; nothing half-made, nothing else is there."""
        made = {str(path.relative_to(self.outbox)) for path in self.outbox.rglob("*.png")}
        missing, extra = len(names - made), len(made - names)
        finding.expect(made == names, f"outputs: {missing} missing, {extra} too many")
        finding.expect(not temps(self.base), f"left behind: {temps(self.base)[:3]}")
        for name in sorted(made):
            try:
                with Image.open(self.outbox / name) as image:
                    image.load()
                    finding.expect(image.size == SIZE[::-1], f"{name}: {image.size}")
            except OSError as error:
                finding.expect(False, f"{name}: {error}")


def kill_the_daemon(rig: Rig, rounds: int, finding: Finding) -> None:
    """1: kill -9 at random moments, 50 pictures a round."""
    names: set[str] = set()
    inodes: dict[Path, int] = {}
    for number in range(rounds):
        fresh = {f"{number}/{each}.png" for each in range(50)}
        names |= fresh
        began_s = time.monotonic()
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
            finding.recovery_s.append(time.monotonic() - began_s)
            for name in sorted(fresh):
                rig.drop(name)
            for _ in range(rig.chance.randrange(50)):
                daemon.wait_for("image.finished", within_s=PATIENCE_S)
            daemon.kill()
        finding.expect(
            all(path.stat().st_ino == inode for path, inode in inodes.items()), "made twice"
        )
        inodes = {path: path.stat().st_ino for path in rig.outbox.rglob("*.png")}
        finding.rounds += 1
    with running("--config", rig.config) as daemon:
        rig.wait_until_idle(daemon, len(names))
    rig.check(finding, names)


def kill_workers(rig: Rig, rounds: int, finding: Finding) -> None:
    """2: kill -9 of a worker in the middle of a picture, others beside it."""
    large = BytesIO()
    Image.fromarray(photograph(600, 900)).resize((2700, 1800)).save(large, "PNG")
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            name = f"{number}.png"
            rig.drop(name, large.getvalue())
            until(lambda: temps(rig.outbox))
            daemon.workers()[-1].kill()
            died_s = time.monotonic()
            ended = daemon.wait_for("image.finished", within_s=PATIENCE_S, path=name)
            finding.recovery_s.append(time.monotonic() - died_s)
            finding.expect(ended["attempts"] <= 2, f"{name}: {ended['attempts']} attempts")
            (rig.outbox / name).unlink()
            finding.rounds += 1
        deaths = len(daemon.events("worker.died"))
        finding.expect(not temps(rig.base), "left behind")
    finding.figures = f"{deaths} of {rounds} died with a picture in work"


def stop_with_a_queue(rig: Rig, rounds: int, finding: Finding) -> None:
    """4: SIGTERM with 500 queued."""
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
            finding.recovery_s.append(time.monotonic() - began_s)
        finding.rounds += 1
    finding.expect(max(finding.recovery_s) < 30, "stopping took 30 s")
    with running("--config", rig.config) as daemon:
        rig.wait_until_idle(daemon, len(names))
    rig.check(finding, names)


def burst(rig: Rig, rounds: int, finding: Finding, *, renamed: bool = False) -> None:
    """5: so many files written at once."""
    elsewhere = rig.base / "elsewhere"
    elsewhere.mkdir()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        first_mb = daemon.memory_mb()
        where = elsewhere if renamed else rig.inbox
        began_s = time.monotonic()
        for number in range(rounds):
            with (where / f"{number}.png").open("wb", buffering=0) as file:
                file.write(rig.picture)
        if renamed:
            began_s = time.monotonic()
            for number in range(rounds):
                (elsewhere / f"{number}.png").rename(rig.inbox / f"{number}.png")
        wrote_s = time.monotonic() - began_s
        until(lambda: _known(rig) >= rounds, within_s=2 * PATIENCE_S)
        finding.recovery_s.append(time.monotonic() - began_s - wrote_s)
        grown_mb = daemon.memory_mb() - first_mb
        finding.expect(grown_mb < 300, f"memory grew by {grown_mb:.0f} MB")
        daemon.stop()
    finding.rounds = rounds
    verb = "renamed in" if renamed else "written"
    finding.figures = f"{verb} in {wrote_s:.1f} s, memory +{grown_mb:.0f} MB"


def _known(rig: Rig) -> int:
    with LedgerReader.read_only(rig.base / "state") as ledger:
        return sum(ledger.counts().values())


def renames(rig: Rig, rounds: int, finding: Finding) -> None:
    """6: so many files renamed in."""
    burst(rig, rounds, finding, renamed=True)


def tree(rig: Rig, rounds: int, finding: Finding) -> None:
    """7: a tree of so many directories moved in, then files added inside."""
    elsewhere = rig.base / "elsewhere"
    for number in range(rounds):
        (elsewhere / f"{number}").mkdir(parents=True)
        for each in range(20):
            (elsewhere / f"{number}" / f"{each}.png").write_bytes(rig.picture)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        elsewhere.rename(rig.inbox / "tree")
        until(lambda: _known(rig) >= 20 * rounds, within_s=2 * PATIENCE_S)
        began_s = time.monotonic()
        for number in range(rounds):
            rig.drop(f"tree/{number}/late.png")
        until(lambda: _known(rig) >= 21 * rounds, within_s=2 * PATIENCE_S)
        finding.recovery_s.append(time.monotonic() - began_s)
        daemon.stop()
    finding.rounds = rounds
    finding.figures = f"{21 * rounds} files found"


def full_disk(rig: Rig, rounds: int, finding: Finding) -> None:
    """16: a full output disk, and room again."""
    names = {f"{number}.png" for number in range(rounds)}
    with _small_disk(rig.outbox, finding) as mounted:
        if not mounted:
            return
        ballast = rig.outbox / ".ballast"
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            _fill(ballast)
            for name in sorted(names):
                rig.drop(name)
            paused = daemon.wait_for("folder.paused")
            finding.expect("No space left" in paused["reason"], paused["reason"])
            finding.expect(not temps(rig.outbox), "a partial file is left")
            ballast.unlink()
            began_s = time.monotonic()
            daemon.wait_for("folder.resumed", within_s=PATIENCE_S)
            finding.recovery_s.append(time.monotonic() - began_s)
            rig.wait_until_idle(daemon, len(names))
            finding.expect(not daemon.events("image.quarantined"), "quarantined")
            finding.expect(len(list(rig.inbox.glob("*.png"))) == rounds, "a source has gone")
        finding.rounds = rounds
        finding.expect(max(finding.recovery_s) < 60, "not resumed within 60 s")
        rig.check(finding, names)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@contextmanager
def _small_disk(path: Path, finding: Finding) -> Iterator[bool]:
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        finding.not_run = "needs root to mount a small disk"
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", str(path)], check=True)


def odd_names(rig: Rig, rounds: int, finding: Finding) -> None:
    """29: names that are no UTF-8, mixed with good ones."""
    root = os.fsencode(rig.inbox)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            odd = b"%d-\xff\xfe\n\x1b[31m.png" % number if number % 2 else b"%d.png" % number
            hidden = os.path.join(root, b".new.tmp")
            with open(hidden, "wb") as file:
                file.write(rig.picture)
            os.rename(hidden, os.path.join(root, odd))
        rig.wait_until_idle(daemon, rounds)
        made = {name for name in os.listdir(os.fsencode(rig.outbox)) if name.endswith(b".png")}
        finding.expect(made == {*os.listdir(root)}, "an output is missing")
    finding.rounds = rounds


def new_root(rig: Rig, rounds: int, finding: Finding) -> None:
    """31: the input folder is deleted, or renamed away, and made again."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            if number % 2:
                shutil.rmtree(rig.inbox)
            else:
                rig.inbox.rename(rig.base / f"away-{number}")
            daemon.wait_for("folder.paused")
            rig.inbox.mkdir()
            began_s = time.monotonic()
            daemon.wait_for("folder.resumed")
            rig.drop(f"{number}.png")
            daemon.wait_for("image.finished", path=f"{number}.png")
            finding.recovery_s.append(time.monotonic() - began_s)
            finding.rounds += 1
    rig.check(finding, {f"{number}.png" for number in range(rounds)})


def lost_ledger(rig: Rig, rounds: int, finding: Finding) -> None:
    """38: the ledger is overwritten with noise, cut, or deleted."""
    names = {f"{number}.png" for number in range(20)}
    for name in names:
        rig.drop(name)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.wait_until_idle(daemon, len(names))
    inodes = {path: path.stat().st_ino for path in rig.outbox.glob("*.png")}
    for number in range(rounds):
        (ledger,) = (p for p in (rig.base / "state").iterdir() if p.suffix == ".db")
        for other in (rig.base / "state").glob(f"{ledger.name}-*"):
            other.unlink()
        if number % 3 == 0:
            ledger.write_bytes(rig.chance.randbytes(ledger.stat().st_size))
        elif number % 3 == 1:
            os.truncate(ledger, ledger.stat().st_size // 2)
        else:
            ledger.unlink()
        began_s = time.monotonic()
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            finding.recovery_s.append(time.monotonic() - began_s)
            rig.wait_until_idle(daemon, len(names))
        now = {path: path.stat().st_ino for path in rig.outbox.glob("*.png")}
        finding.expect(now == inodes, f"round {number}: done again")
        finding.rounds += 1


def many_reloads(rig: Rig, rounds: int, finding: Finding) -> None:
    """39: SIGHUP again and again, with a bad file now and then."""
    good = rig.config.read_text()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            rig.config.write_text(good if number % 2 else good + "\nunknown = 1\n")
            daemon.send(signal.SIGHUP)
            finding.rounds += 1
        rig.config.write_text(good)
        daemon.send(signal.SIGHUP)
        rig.drop("after.png")
        daemon.wait_for("image.finished", path="after.png")
        rejected = len(daemon.events("config.rejected"))
        finding.expect(rejected > 0, "no bad file was ever rejected")
    finding.figures = f"{rejected} rejected"


def stopped_worker(rig: Rig, rounds: int, finding: Finding) -> None:
    """42: a worker is stopped (SIGSTOP) with a picture in work."""
    impatient = rig.config.read_text().replace("count = 1", "count = 1\njob_timeout_s = 10")
    rig.config.write_text(impatient)
    large = BytesIO()
    Image.fromarray(photograph(600, 900)).resize((2700, 1800)).save(large, "PNG")
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            rig.drop(f"{number}.png", large.getvalue())
            until(lambda: any(worker.cpu_percent(0.01) > 0 for worker in daemon.workers()))
            daemon.workers()[-1].suspend()
            began_s = time.monotonic()
            daemon.wait_for("image.finished", within_s=PATIENCE_S, path=f"{number}.png")
            finding.recovery_s.append(time.monotonic() - began_s)
            finding.rounds += 1


def flood(rig: Rig, rounds: int, finding: Finding) -> None:
    """43: so many failures alike."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            rig.drop(f"{number}.png", rig.bad)
        rig.wait_until_idle(daemon, rounds)
        lines = Counter(event["event"] for event in daemon.events("image.quarantined"))
        reasons = len(list((rig.base / "state" / "quarantine").rglob("*.reason.json")))
        finding.expect(reasons == rounds, f"{reasons} reasons for {rounds} files")
        status = read_status(rig.base / "state")
        finding.expect(status is not None, "no status")
    finding.rounds = rounds
    finding.figures = f"{lines['image.quarantined']} lines of the log for {rounds} failures"


SCENARIOS = (
    Scenario("1", "kill -9 of the daemon", kill_the_daemon, 200, 2),
    Scenario("2", "kill -9 of a worker", kill_workers, 100, 1),
    Scenario("4", "SIGTERM with 500 queued", stop_with_a_queue, 5, 1),
    Scenario("5", "files written in a burst", burst, 100_000, 2000),
    Scenario("6", "files renamed in", renames, 100_000, 2000),
    Scenario("7", "a tree moved in, then added to", tree, 1000, 20),
    Scenario("16", "a full output disk", full_disk, 100, 20),
    Scenario("29", "names that are no UTF-8", odd_names, 1000, 20),
    Scenario("31", "the input folder replaced", new_root, 20, 2),
    Scenario("38", "the ledger damaged or lost", lost_ledger, 6, 3),
    Scenario("39", "reloads, good and bad", many_reloads, 100, 20),
    Scenario("42", "a stopped worker", stopped_worker, 5, 1),
    Scenario("43", "failures alike", flood, 10_000, 50),
)


def tried(scenario: Scenario, rounds: int) -> Finding:
    """Run one scenario in folders of its own; whatever it raises is a violation."""
    finding = Finding()
    base = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        scenario.run(Rig(base), rounds, finding)
    except Exception as error:  # noqa: BLE001 - a campaign goes on
        finding.violations.append(f"{type(error).__name__}: {str(error)[:500]}")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return finding


def line(scenario: Scenario, finding: dict[str, Any]) -> str:
    """What is printed of one scenario."""
    head = f"{scenario.number:>3}  {scenario.title}"
    if finding["not_run"]:
        return f"{head}: not run here: {finding['not_run']}"
    worst = max(finding["recovery_s"], default=0.0)
    told = f"{finding['rounds']} rounds, {len(finding['violations'])} violations"
    told += f", worst recovery {worst:.1f} s" if worst else ""
    told += f", {finding['figures']}" if finding["figures"] else ""
    return "\n     ".join([f"{head}: {told}", *finding["violations"][:5]])


def main() -> int:
    """Run what is not yet done; the exit status is 1 where the promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--few", action="store_true", help="a few rounds of each")
    parser.add_argument("--again", action="store_true", help="forget what is done")
    parser.add_argument("--only", default="", help="numbers, with commas between")
    parser.add_argument("--figures", type=Path, default=Path("faults.json"))
    options = parser.parse_args()
    known = {}
    if options.figures.exists() and not options.again:
        known = json.loads(options.figures.read_text())
    wanted = set(filter(None, options.only.split(",")))
    for scenario in SCENARIOS:
        if wanted and scenario.number not in wanted:
            continue
        if scenario.number not in known:
            finding = tried(scenario, scenario.few if options.few else scenario.rounds)
            known[scenario.number] = asdict(finding)
            options.figures.write_text(json.dumps(known, indent=1))
        print(line(scenario, known[scenario.number]), flush=True)  # noqa: T201
    return int(any(finding["violations"] for finding in known.values()))


if __name__ == "__main__":
    sys.exit(main())
