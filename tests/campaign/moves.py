"""Folders that are restored, states that are lost, file systems that number their files anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import Product
from tests.campaign.rig import PATIENCE_S, Finding, Rig, Scenario, files, first_done, inodes
from tests.daemons import running, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemons import Daemon

FILES = 20
NEW = 4
NETWORK_KIND = "fuseblk"
"""A file system whose inode numbers do not last."""


def restored(rig: Rig, rounds: int, finding: Finding) -> None:
    """50: the input is put back by `cp -a`, with other inodes, before a start and during a run."""
    names = {rig.drop(f"{number}.png").name for number in range(FILES)}
    rig.drop("bad.png", rig.bad)
    rig.configure(rig.folder(), intake={"rescan_s": 5})
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.wait_until_idle(daemon, len(names) + 1)
    while finding.rounds < rounds:
        restore(rig.inbox)
        carried_away = min(names - {path.name for path in rig.base.glob("taken/*")})
        (rig.base / "taken").mkdir(exist_ok=True)
        (rig.outbox / carried_away).rename(rig.base / "taken" / carried_away)
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            expect_known(rig, finding)
            restore(rig.inbox)
            name = rig.drop(f"new-{finding.rounds}.png").name
            daemon.wait_for("image.finished", within_s=PATIENCE_S, path=name)
            names.add(name)
            expect_known(rig, finding)
            done = [event["path"] for event in daemon.events("image.finished")]
            finding.expect(done == [name], f"done again: {done[:3]}")
            finding.expect(not daemon.events("image.quarantined"), "judged again")
        finding.rounds += 2
    finding.figures = f"{len(names)} files at the end, one output in each two rounds carried away"
    rig.check_outputs(finding, names - {path.name for path in rig.base.glob("taken/*")})


def restore(folder: Path) -> None:
    """Put a folder back from a backup: the same files with other inodes."""
    backup = folder.with_suffix(".backup")
    subprocess.run(["/bin/cp", "-a", folder, backup], check=True)
    shutil.rmtree(folder)
    backup.rename(folder)


def expect_known(rig: Rig, finding: Finding) -> None:
    """Wait until the ledger knows every file as it is, and check that no output is a new one."""
    before = inodes(rig.outbox)
    wait_until_known(rig)
    after = inodes(rig.outbox)
    changed = [path.name for path in before if after.get(path) != before[path]]
    finding.expect(not changed, f"made again: {changed[:3]}")


def wait_until_known(rig: Rig, *, lasting: bool = True) -> None:
    """Wait until no later scan has to read any of the files."""

    def is_known() -> bool:
        with LedgerReader.read_only(rig.state) as ledger:
            return not list(ledger.unknown("in", found))

    found = found_in(rig.inbox, lasting=lasting)
    until(is_known, within_s=PATIENCE_S, every_s=0.1)


def found_in(folder: Path, *, lasting: bool = True) -> list[tuple[bytes, Fingerprint]]:
    """List the files of a folder as a scan finds them, without inodes where these do not last."""
    listed = []
    for path in files(folder):
        seen = Fingerprint.of(path.stat())
        relative = os.fsencode(path.relative_to(folder))
        listed.append((relative, seen if lasting else seen.without_inode))
    return listed


def lost_state(rig: Rig, rounds: int, finding: Finding) -> None:
    """51: the state directory, or the ledger in it, is gone after a kill -9 in a burst."""
    names: set[str] = set()
    before: dict[Path, int] = {}
    adopted = 0
    for number in range(rounds + 1):
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            rig.wait_until_idle(daemon, len(names))
            expect_adopted(daemon, before, finding, rig)
            adopted += sum(event["images"] for event in daemon.events("folder.adopted"))
            rig.check(finding, names)
            if number == rounds:
                break
            new = {rig.drop(f"{number}-{each}.png").name for each in range(NEW)}
            first_done(daemon, new)
            rig.pause(0.3)
            daemon.kill()
        names |= new
        before = inodes(rig.outbox)
        lose(rig, whole=number % 3 > 0)
        finding.rounds += 1
    finding.figures = f"{len(names)} files at the end, {adopted} adoptions"


def expect_adopted(daemon: Daemon, before: dict[Path, int], finding: Finding, rig: Rig) -> None:
    """Check that files with an output were not done again, and that the others were done."""
    after = inodes(rig.outbox)
    changed = [path.name for path in before if after.get(path) != before[path]]
    finding.expect(not changed, f"made again: {changed[:3]}")
    missing = len(after) - len(before)
    until(lambda: len(daemon.events("image.finished")) >= missing, within_s=PATIENCE_S)
    done = len(daemon.events("image.finished"))
    finding.expect(done == missing, f"{done} done, {missing} were missing")


def lose(rig: Rig, *, whole: bool) -> None:
    """Remove the state directory, or the ledger alone."""
    if whole:
        shutil.rmtree(rig.state)
    else:
        for path in rig.state.glob("ledger.db*"):
            path.unlink()


def renumbered(rig: Rig, rounds: int, finding: Finding) -> None:
    """52: so many finished files with other inode numbers: by a restore, and at each look."""
    empty_s = timed(rig, "", finding)
    told = []
    for kind in ("", NETWORK_KIND):
        finish(rig, rounds)
        restore(rig.inbox)
        first_s, second_s = (timed(rig, kind, finding) - empty_s for _ in range(2))
        how = "at each look" if kind else "by cp -a"
        told.append(
            f"{how}: all known {first_s:.1f} s after a first start, {second_s:.1f} s after the next"
        )
        finding.rounds += rounds
    finding.figures = f"{'; '.join(told)}; beyond the {empty_s:.1f} s of an empty start"


def finish(rig: Rig, count: int) -> None:
    """Make files that the ledger has as done; their outputs were carried away."""
    shutil.rmtree(rig.inbox)
    for number in range(count):
        path = rig.inbox / str(number % 20) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rig.picture + b"%d" % number)
    entries = [(entry, Product(*entry)) for entry in found_in(rig.inbox)]
    with open_ledger(rig.state) as ledger:
        ledger.adopt("in", entries, time.time())


def timed(rig: Rig, kind: str, finding: Finding) -> float:
    """Seconds from the start of a daemon until it knows all files; none may be done."""
    module = "tests.renumbering" if kind else "sharpend"
    began_s = time.monotonic()
    with running("--config", rig.config, module=module, RENUMBERING=kind) as daemon:
        daemon.wait_for("daemon.ready", within_s=PATIENCE_S)
        wait_until_known(rig, lasting=not kind)
        took_s = time.monotonic() - began_s
        daemon.wait_for("report.published", where=lambda one: one["queue_depth"] == 0)
        done = len(daemon.events("image.finished")) + len(daemon.events("image.quarantined"))
        finding.expect(not done, f"{done} done again")
    return took_s


SCENARIOS = (
    Scenario(
        "50",
        "the input restored by cp -a, before a start and during a run",
        "nothing done again, what was carried away stays away",
        restored,
        100,
        4,
    ),
    Scenario(
        "51",
        "the state directory or the ledger lost after kill -9 in a burst",
        "outputs adopted, nothing done again, no doubles",
        lost_state,
        100,
        3,
    ),
    Scenario(
        "52",
        "finished files with other inode numbers",
        "none done again",
        renumbered,
        20_000,
        500,
        in_ci=False,
    ),
)
