"""A daemon as its surroundings see it: the service manager, signals, reloads, reports, status.

The tests of this module share one daemon, which the last of them stops.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.cli import main
from sharpend.daemon.daemon import DRAIN_S
from sharpend.imaging.files import load_rgb
from sharpend.ledger.reader import LedgerReader
from tests.conftest import drop
from tests.daemons import Daemon, ServiceManager, running, toml, until
from tests.students import agreeing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
WATCHDOG_S = 1.0
AGREEMENT = {
    *("n", "mean", "min", "rolling", "noop_mean", "alarm_below"),
    *("residual_ratio", "residual_above", "measurable", "verdict"),
}
REPORT = {
    "images",
    "failures",
    "images_per_s",
    "megapixels_per_s",
    "queue_depth",
    "oldest_pending_s",
    "latency_ms",
    "model",
    "device",
    "agreement",
}


def configure(
    base: Path, student: Path, *names: str, level: str = "info", strength: float = 1
) -> None:
    """Write a configuration with these folders."""
    settings: dict[str, dict[str, object]] = {
        "model": {"name": student, "device": "cpu", "strength": strength},
        "workers": {"count": 1},
        "agreement": {"sample": 1, "budget": 1},
        "report": {"every_s": 0.5},
        "log": {"level": level},
    }
    folders = [
        {"input": base / name, "output": base / f"{name}-out", "settle_s": 0.1} for name in names
    ]
    (base / "sharpend.toml").write_text(toml(base / "state", settings, *folders))


@dataclass
class Service:
    """A daemon under a service manager."""

    base: Path
    student: Path
    manager: ServiceManager
    daemon: Daemon
    ready: dict[str, Any]
    """Its `daemon.ready`."""

    def sharpened(self, folder: str, name: str, *, seed: int = 0) -> Path:
        """Drop an image and wait for its output."""
        drop(self.base / folder, name, seed=seed)
        self.daemon.wait_for("image.finished", folder=folder, path=name, outcome="sharpened")
        return self.base / f"{folder}-out" / name

    def status(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """What `sharpend status --json` says."""
        assert main(["status", "--json", "--config", str(self.base / "sharpend.toml")]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One daemon for the module."""
    base = tmp_path_factory.mktemp("service")
    manager = ServiceManager(base / "notify")
    surroundings = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
    (base / "first").mkdir()
    student = agreeing(base)
    configure(base, student, "first")
    try:
        with running("--config", base / "sharpend.toml", **surroundings) as daemon:
            yield Service(base, student, manager, daemon, daemon.wait_for("daemon.ready"))
    finally:
        manager.close()


def test_it_reports_that_it_is_ready(service: Service) -> None:
    """The service manager receives READY=1 with a line of status, after `daemon.ready`."""
    ready = service.ready
    assert (ready["model"], ready["workers"], ready["folders"]) == ("student", 1, ["first"])
    status = next(field for field in service.manager.wait_for("READY=1") if "STATUS=" in field)
    assert status == "STATUS=0 waiting, 0 sharpened, 0 quarantined, health ok"


def test_it_feeds_the_watchdog(service: Service) -> None:
    """WATCHDOG=1 comes more often than is asked for, also while there is nothing to do.

    Three times in a row, as soon as the machine is not too busy to show it.
    """

    def heard_s() -> float:
        service.manager.wait_for("WATCHDOG=1")
        return time.monotonic()

    def in_time() -> bool:
        times = [heard_s() for _ in range(3)]
        return all(after - before < WATCHDOG_S for before, after in pairwise(times))

    until(in_time)


def test_reports_and_a_healthy_student(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reports carry every key; a student that agrees with its teacher raises no alarm."""
    for seed in range(6):
        drop(service.base / "first", f"{seed}.png", seed=seed)
    report = service.daemon.wait_for("report.published", images_total=6)
    assert set(report) >= REPORT
    assert set(report["agreement"]) >= AGREEMENT
    assert set(report["latency_ms"]) >= {"decode", "infer", "encode", "commit", "total"}
    assert report["agreement"]["n"] == report["agreement"]["measurable"] == 6
    assert report["agreement"]["verdict"] == "good"
    assert report["agreement"]["residual_ratio"] < 0.01 < report["agreement"]["residual_above"]
    assert report["agreement"]["min"] > 0.999 > report["agreement"]["noop_mean"]
    assert service.daemon.events("agreement.low") == []
    service.manager.wait_for("STATUS=0 waiting, 6 sharpened, 0 quarantined, health ok")
    status = service.status(capsys)
    assert (status["running"], status["last"]["health"]) == (True, "ok")
    assert status["counts"]["disposed"] == 6


def test_a_bad_file_changes_nothing(service: Service) -> None:
    """SIGHUP with a broken or impossible configuration is rejected, and the old one goes on."""
    config = service.base / "sharpend.toml"
    before = config.read_text()
    for fault, key in [
        ("[model", "Expected"),
        (before.replace("count = 1", "count = 0"), "workers.count"),
        (before.replace("first-out", "sharpend.toml"), "folder.output"),
        (before.replace(str(service.student), "away"), "no such model"),
        (before.replace('/first"', '/gone"'), "no such folder"),
    ]:
        config.write_text(fault)
        service.daemon.send(signal.SIGHUP)
        assert key in service.daemon.wait_for("config.rejected")["message"]
        assert any("MONOTONIC_USEC=" in field for field in service.manager.wait_for("RELOADING=1"))
        service.manager.wait_for("READY=1")
    service.sharpened("first", "after-rejection.png")
    config.write_text(before)


def test_a_reload_takes_effect(service: Service) -> None:
    """SIGHUP takes a new folder and another strength, says what changed, and loses no numbers."""
    (service.base / "second").mkdir()
    configure(service.base, service.student, "first", "second", strength=0, level="debug")
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    service.daemon.send(signal.SIGHUP)
    reloaded = service.daemon.wait_for("config.reloaded")
    assert {"model.strength", "log.level", "folder.second.input"} <= set(reloaded["changed"])
    assert not any(key.startswith("folder.first") for key in reloaded["changed"])
    message = service.manager.wait_for("RELOADING=1")
    (stamp,) = [field for field in message if field.startswith("MONOTONIC_USEC=")]
    assert int(stamp.partition("=")[2]) >= before_us
    service.manager.wait_for("READY=1")
    output = service.sharpened("second", "weak.png", seed=30)
    assert (load_rgb(output) == load_rgb(service.base / "second" / "weak.png")).all()
    assert len(service.daemon.events("file.settled")) == 1
    assert service.daemon.wait_for("report.published", images_total=8)


def test_a_burst_of_reloads(service: Service) -> None:
    """Twenty SIGHUPs at once, with work in between, are survived and leave nothing behind."""
    before = service.daemon.holds()
    for number in range(20):
        service.daemon.send(signal.SIGHUP)
        if number % 5 == 0:
            drop(service.base / "first", f"burst-{number}.png", seed=50 + number)
    for number in range(0, 20, 5):
        service.daemon.wait_for("image.finished", path=f"burst-{number}.png")
    assert service.daemon.wait_for("config.reloaded")["changed"] == []
    until(lambda: service.daemon.holds() <= before)


def test_the_second_sigterm_ends_at_once(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM drains; a second one ends without waiting, and the image is pending again."""
    daemon = service.daemon
    (worker,) = daemon.workers()
    worker.suspend()
    drop(service.base / "first", "stuck.png", seed=90)
    daemon.wait_for("report.published", images_total=12, queue_depth=1)
    daemon.send(signal.SIGTERM)
    assert daemon.wait_for("daemon.draining")["running"] == 1
    service.manager.wait_for("STOPPING=1")
    began_s = time.monotonic()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert time.monotonic() - began_s < DRAIN_S
    with LedgerReader.read_only(service.base / "state") as ledger:
        assert ledger.waiting(["first"]) == 1
    status = service.status(capsys)
    assert (status["running"], status["last"]["state"]) == (False, "stopped")
    assert (status["counts"]["pending"], status["counts"]["running"]) == (1, 0)
