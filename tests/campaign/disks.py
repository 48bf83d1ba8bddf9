"""Disks that are full, closed, failing, hanging or gone."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from tests.campaign.rig import (
    PATIENCE_S,
    Finding,
    Rig,
    Scenario,
    mount,
    mounted,
    needs,
    unmount,
)
from tests.campaign.stubborn import HANG, Stubborn
from tests.daemons import ServiceManager, running, temps

if TYPE_CHECKING:
    from pathlib import Path

NO_OVERRIDE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
)
"""Root for whom the permissions of files count as for anybody."""
IN_PRIVATE = ("unshare", "--user", "--map-root-user")
"""A user of its own namespace, with inotify limits of its own."""
JOB_TIMEOUT_S = 8


def full_output(rig: Rig, rounds: int, finding: Finding) -> None:
    """16: a full output disk, and space again."""
    names = {f"{number}.png" for number in range(rounds)}
    with mounted(rig.outbox, "-t", "tmpfs", "-o", "size=16m", "tmpfs"):
        ballast = rig.outbox / ".ballast"
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            fill(ballast)
            for name in sorted(names):
                rig.drop(name)
            paused = daemon.wait_for("folder.paused")
            finding.expect("No space left" in paused["reason"], paused["reason"])
            time.sleep(1)
            finding.expect(not temps(rig.outbox), "a partial file is left")
            ballast.unlink()
            began_s = time.monotonic()
            daemon.wait_for("folder.resumed", within_s=PATIENCE_S)
            finding.recovered(time.monotonic() - began_s, 60)
            rig.wait_until_idle(daemon, len(names))
            finding.expect(not daemon.events("image.quarantined"), "quarantined")
            finding.expect(len(daemon.events("folder.paused")) == 1, "more than one line")
        finding.rounds = rounds
        rig.check(finding, names)


def fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def full_state(rig: Rig, rounds: int, finding: Finding) -> None:
    """17: a full state directory, with good and bad images waiting, and space again."""
    good = {f"{number}.png" for number in range(rounds)}
    with mounted(rig.state, "-t", "tmpfs", "-o", "size=16m", "tmpfs"):
        ballast = rig.state / "ballast"
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            fill(ballast)
            for name in sorted(good):
                rig.drop(name)
                rig.drop(f"bad-{name}", rig.bad)
            daemon.wait_for("state.paused")
            daemon.wait_for("report.published", health="fail")
            gone = 2 * rounds - len(list(rig.inbox.glob("*.png")))
            finding.expect(not gone, f"{gone} sources are gone")
            ballast.unlink()
            began_s = time.monotonic()
            daemon.wait_for("state.resumed", within_s=PATIENCE_S)
            finding.recovered(time.monotonic() - began_s, 60)
            rig.wait_until_idle(daemon, 2 * rounds)
            told = len(daemon.events("state.paused"))
            finding.expect(told == 1, f"{told} lines")
            done = [event["path"] for event in daemon.events("image.finished")]
            finding.expect(sorted(done) == sorted(good), "not each done once")
        reasons = len(list((rig.state / "quarantine").rglob("*.reason.json")))
        finding.expect(reasons == rounds, f"{reasons} reasons for {rounds} bad images")
        rig.check(finding, good)
    finding.rounds = rounds


def denied(rig: Rig, rounds: int, finding: Finding) -> None:
    """18: a file, a folder below the input and an output that may not be touched, in turn."""
    needs("setpriv")
    rig.configure(rig.folder(), rig.folder("other"), intake={"rescan_s": 2})
    with running("--config", rig.config, prefix=NO_OVERRIDE) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            closed_file = rig.drop(f"file-{number}.png")
            closed_file.chmod(0)
            denied = daemon.wait_for("image.retried", path=closed_file.name)
            finding.expect(denied["error_code"] == "permission_denied", denied["error_code"])
            closed_file.chmod(0o644)
            hidden = rig.base / "closed"
            hidden.mkdir()
            (hidden / f"{number}.png").write_bytes(rig.picture)
            hidden.chmod(0)
            hidden.rename(rig.inbox / f"folder-{number}")
            daemon.wait_for("folder.skipped", folder="in")
            rig.outbox.chmod(0o500)
            rig.drop(f"output-{number}.png")
            daemon.wait_for("folder.paused", folder="in")
            rig.drop(f"{number}.png", folder="other")
            daemon.wait_for("image.finished", path=f"{number}.png", folder="other")
            rig.outbox.chmod(0o755)
            (rig.inbox / f"folder-{number}").chmod(0o755)
            began_s = time.monotonic()
            for name in (
                f"file-{number}.png",
                f"output-{number}.png",
                f"folder-{number}/{number}.png",
            ):
                daemon.wait_for("image.finished", within_s=PATIENCE_S, path=name, folder="in")
            finding.recovered(time.monotonic() - began_s, 60)
            finding.rounds += 1
        finding.expect(not daemon.events("image.quarantined"), "quarantined")
    numbers = range(rounds)
    made = {f"{kind}-{number}.png" for kind in ("file", "output") for number in numbers}
    rig.check(finding, made | {f"folder-{number}/{number}.png" for number in numbers})


def failing_reads(rig: Rig, rounds: int, finding: Finding) -> None:
    """19: 5 % of all reads fail with EIO, ESTALE or EBUSY."""
    names = {f"{number}.png" for number in range(rounds)}
    with Stubborn(rig.base) as disk:
        rig.configure(rig.folder(input=disk.mount, polling=True, poll_s=1))
        disk.feel("0.05")
        for name in names:
            disk.put(name, rig.picture)
        with running("--config", rig.config) as daemon:
            daemon.wait_for("daemon.ready")
            began_s = time.monotonic()
            rig.wait_until_idle(daemon, rounds, within_s=300)
            finding.recovered(time.monotonic() - began_s, 300)
            retried = len(daemon.events("image.retried"))
            finding.expect(not daemon.events("image.quarantined"), "quarantined")
            finding.expect(retried > 0, "no read ever failed")
    rig.check_outputs(finding, names)
    finding.rounds = rounds
    finding.figures = f"{retried} retried"


def hung_reads(rig: Rig, rounds: int, finding: Finding) -> None:
    """34: reads from one folder hang, as from a server that has gone."""
    manager = ServiceManager(rig.base / "notify")
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    with Stubborn(rig.base) as server:
        remote = rig.folder("remote", polling=True, poll_s=1)
        workers: dict[str, object] = {"count": 2, "job_timeout_s": JOB_TIMEOUT_S}
        rig.configure(rig.folder(), remote, workers=workers)
        try:
            with running("--config", rig.config, **environment) as daemon:
                daemon.wait_for("daemon.ready")
                for number in range(rounds):
                    server.feel(HANG)
                    server.put(f"{number}.png", rig.picture)
                    pings = len(manager.messages())
                    died = daemon.wait_for("worker.died", within_s=PATIENCE_S, folder="remote")
                    finding.expect("timed out" in died["cause"], died["cause"])
                    began_s = time.monotonic()
                    rig.drop(f"{number}.png")
                    daemon.wait_for("image.finished", folder="in", path=f"{number}.png")
                    finding.recovered(time.monotonic() - began_s, 10)
                    told = [m for m in manager.messages()[pings:] if "WATCHDOG=1" in m]
                    finding.expect(len(told) >= 3, f"{len(told)} watchdog pings meanwhile")
                    server.feel("")
                    daemon.wait_for("image.finished", within_s=PATIENCE_S, folder="remote")
                    finding.rounds += 1
        finally:
            manager.close()
    rig.check(finding, {f"{number}.png" for number in range(rounds)})


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
            finding.recovered(time.monotonic() - began_s, 60)
            finding.rounds += 1
    rig.check_outputs(finding, {f"{number}.png" for number in range(rounds)})


def unmounted(rig: Rig, rounds: int, finding: Finding) -> None:
    """32: input and output are unmounted, in turn, and come back."""
    store, sink = rig.base / "store", rig.base / "sink"
    rig.outbox.mkdir()
    tmpfs = ("-t", "tmpfs", "-o", "size=64m", "tmpfs")
    with mounted(store, *tmpfs), mounted(sink, *tmpfs):
        mount(rig.inbox, "--bind", str(store))
        mount(rig.outbox, "--bind", str(sink))
        try:
            unmount_in_turn(rig, rounds, finding, (store, sink))
            rig.check(finding, {f"{number}.png" for number in range(2 * rounds)})
        finally:
            unmount(rig.inbox)
            unmount(rig.outbox)


def unmount_in_turn(rig: Rig, rounds: int, finding: Finding, disks: tuple[Path, Path]) -> None:
    """Both disks of a running daemon, so often."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.drop("0.png")
        daemon.wait_for("image.finished", path="0.png")
        for number in range(1, 2 * rounds):
            place, disk = ((rig.inbox, disks[0]), (rig.outbox, disks[1]))[number % 2]
            unmount(place)
            if place is rig.outbox:
                rig.drop(f"{number}.png")
            daemon.wait_for("folder.paused")
            finding.expect(not list(place.iterdir()), "written into the empty place")
            mount(place, "--bind", str(disk))
            began_s = time.monotonic()
            daemon.wait_for("folder.resumed", within_s=PATIENCE_S)
            if place is rig.inbox:
                rig.drop(f"{number}.png")
            daemon.wait_for("image.finished", within_s=PATIENCE_S, path=f"{number}.png")
            finding.recovered(time.monotonic() - began_s, 60)
        finding.expect(not daemon.events("image.vanished"), "held for deleted")
        finding.rounds = rounds


def no_watches(rig: Rig, rounds: int, finding: Finding) -> None:
    """9: inotify is used up before the start, or while directories are made; then it is not."""
    needs("unshare", "nsenter")
    rig.configure(rig.folder(poll_s=1), intake={"rescan_s": 3})
    for number in range(rounds):
        limit, most = (("instances", 0), ("watches", 2))[number % 2]
        limited = f"echo {most} > /proc/sys/user/max_inotify_{limit}"
        prefix = (*IN_PRIVATE, "sh", "-c", f'{limited} && exec "$@"', "sh")
        with running("--config", rig.config, prefix=prefix) as daemon:
            daemon.wait_for("daemon.ready")
            for each in range(4):
                rig.drop(f"{number}-{each}/a.png")
            polled = daemon.wait_for("folder.polled")
            finding.expect(f"max_user_{limit}" in polled["reason"], polled["reason"])
            rig.wait_until_idle(daemon, 5 * number + 4)
            raised = f"echo 100000 > /proc/sys/user/max_inotify_{limit}"
            enter = f"nsenter -U -t {daemon.process.pid} sh -c '{raised}'"
            finding.expect(os.system(enter) == 0, "the limit cannot be raised")  # noqa: S605
            began_s = time.monotonic()
            daemon.wait_for("report.published", where=lambda _: is_watched(daemon.process.pid))
            finding.recovered(time.monotonic() - began_s, 10)
            rig.drop(f"{number}-late.png")
            daemon.wait_for("image.finished", path=f"{number}-late.png")
            finding.expect(len(daemon.events("folder.polled")) == 1, "said more than once")
        finding.rounds += 1
    made = {f"{number}-{each}/a.png" for number in range(rounds) for each in range(4)}
    rig.check(finding, made | {f"{number}-late.png" for number in range(rounds)})


def is_watched(pid: int) -> bool:
    """Whether the process has watches of inotify."""
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
            if "inotify wd" in file.read():
                return True
    return False


SCENARIOS = (
    Scenario(
        "9",
        "inotify used up before and during the run",
        "starts, names the sysctl once, polls; watches again < 10 s",
        no_watches,
        10,
        2,
        in_ci=False,
    ),
    Scenario(
        "16",
        "a full output disk",
        "no partials, one line, resumed < 60 s",
        full_output,
        100,
        20,
        in_ci=False,
    ),
    Scenario(
        "17",
        "a full state directory",
        "no work taken, health fail, one line, resumed < 60 s",
        full_state,
        50,
        5,
        in_ci=False,
    ),
    Scenario(
        "18",
        "a file, a folder, an output without permission",
        "put off, the other folder goes on, all finish",
        denied,
        5,
        1,
    ),
    Scenario(
        "19",
        "5 % of reads fail (FUSE: EIO, ESTALE, EBUSY)",
        "tried again, all finish",
        failing_reads,
        300,
        30,
    ),
    Scenario(
        "31",
        "the input folder deleted or renamed, and made again",
        "paused, resumed < 60 s",
        new_root,
        20,
        2,
    ),
    Scenario(
        "32",
        "input and output unmounted and mounted again",
        "paused, nothing held for deleted, nothing written there",
        unmounted,
        10,
        1,
    ),
    Scenario(
        "34",
        "reads of one folder hang (FUSE)",
        "the other folder and the watchdog go on",
        hung_reads,
        3,
        1,
        in_ci=False,
    ),
)
