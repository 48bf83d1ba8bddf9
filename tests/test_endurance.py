"""Real daemons under hardship: many kills, poison, a bad student, 40,000 files."""

from __future__ import annotations

import random
import signal
import time
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.cli import main
from sharpend.daemon.status import read_status
from sharpend.imaging.files import load_rgb, save_png
from sharpend.ledger.reader import LedgerReader
from tests.conftest import drop, photograph
from tests.daemons import Daemon, configured, once, running, temps, until
from tests.students import agreeing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow


def test_many_power_cuts(networks: Networks, tmp_path: Path) -> None:
    """100 images and three SIGKILLs at odd moments: every output there, whole, made once."""
    config = configured(tmp_path, networks.student)
    chance = random.Random(0)
    done: dict[Path, int] = {}
    for cut in range(3):
        with running("--config", config) as daemon:
            for number in range(33 * cut, 33 * cut + 33):
                drop(tmp_path / "in", f"{number}.png", height=33, width=47, seed=number)
            daemon.wait_for("daemon.ready")
            for _ in range(chance.randrange(28)):
                daemon.wait_for("image.finished")
            daemon.kill()
        assert {path: path.stat().st_ino for path in done} == done
        done = {path: path.stat().st_ino for path in (tmp_path / "out").glob("*.png")}
        assert all(load_rgb(path).shape == (33, 47, 3) for path in done)
    names = {f"{number}.png" for number in range(100)}
    for number in (99,):
        drop(tmp_path / "in", f"{number}.png", height=33, width=47, seed=number)
    with running("--config", config) as daemon:
        until(lambda: len(list((tmp_path / "out").glob("*.png"))) == len(names))
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert {path: path.stat().st_ino for path in done} == done
    assert all(load_rgb(path).shape == (33, 47, 3) for path in (tmp_path / "out").iterdir())
    assert temps(tmp_path) == []


def struck(daemon: Daemon, base: Path, content: bytes, *, times: int) -> str:
    """An image during whose encoding the worker was killed so many times; its name.

    One that was finished before it could be met counts for nothing, and another one is dropped.
    """
    for number in count():
        name = f"{times}-{number}.png"
        (base / "hidden.png").write_bytes(content)
        (base / "hidden.png").rename(base / "in" / name)
        if all(_is_struck(daemon, base, name, hit) for hit in range(1, times + 1)):
            return name
    raise AssertionError


def _is_struck(daemon: Daemon, base: Path, name: str, hit: int) -> bool:
    before = set(temps(base / "out"))

    def ended() -> bool:
        return bool(daemon.events("image.finished", path=name))

    until(lambda: set(temps(base / "out")) - before or ended())
    for worker in daemon.workers()[-1:]:
        worker.kill()
    until(lambda: len(daemon.events("worker.died", path=name)) == hit or ended())
    return not ended()


def test_a_picture_that_kills_its_workers(networks: Networks, tmp_path: Path) -> None:
    """One dead worker costs an attempt; after two an image is quarantined as `worker_died`."""
    config = configured(tmp_path, networks.student)
    large = np.tile(photograph(400, 500), (5, 6, 1))
    save_png(large, tmp_path / "large.png")
    content = (tmp_path / "large.png").read_bytes()
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        unlucky = struck(daemon, tmp_path, content, times=1)
        assert daemon.wait_for("worker.died", path=unlucky)["cause"] == "SIGKILL"
        assert daemon.wait_for("image.retried", path=unlucky)["error_code"] == "worker_died"
        assert daemon.wait_for("image.finished", path=unlucky)["attempts"] == 2
        assert load_rgb(tmp_path / "out" / unlucky).shape == large.shape
        poison = struck(daemon, tmp_path, content, times=2)
        quarantined = daemon.wait_for("image.quarantined", path=poison)
        assert (quarantined["error_code"], quarantined["attempts"]) == ("worker_died", 2)
        drop(tmp_path / "in", "good.png")
        daemon.wait_for("image.finished", path="good.png")
        until(lambda: temps(tmp_path) == [])


def test_a_student_that_disagrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A student with noise on its weights raises `agreement.low` once; health is degraded."""
    config = configured(tmp_path, agreeing(tmp_path, noise=0.05), agreement={})
    surroundings = {"SHARPEND_AGREEMENT__SAMPLE": "1", "SHARPEND_AGREEMENT__BUDGET": "1"}
    with running("--config", config, **surroundings) as daemon:
        daemon.wait_for("daemon.ready")
        for seed in range(12):
            drop(tmp_path / "in", f"{seed}.png", seed=seed)
        low = daemon.wait_for("agreement.low")
        assert low["residual_ratio"] > low["residual_above"] == 0.5
        report = daemon.wait_for("report.published", images_total=12)
        assert report["health"] == "degraded"
        assert len(daemon.events("agreement.low")) == 1
        status = read_status(tmp_path / "state")
        assert status is not None
        assert status["health"] == "degraded"
        assert main(["status", "--config", str(config)]) == 0
        assert "health degraded" in capsys.readouterr().out


def test_a_damaged_network_is_not_taken(networks: Networks, tmp_path: Path) -> None:
    """A reload whose model cannot be loaded is rejected, and the old workers go on."""
    config = configured(tmp_path, networks.student)
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        workers = daemon.workers()
        configured(tmp_path, config)
        daemon.send(signal.SIGHUP)
        rejected = daemon.wait_for("config.rejected")
        assert "not a sharpend weights file" in rejected["message"]
        drop(tmp_path / "in", "a.png")
        daemon.wait_for("image.finished", path="a.png")
        assert until(lambda: daemon.workers() == workers)
        configured(tmp_path, networks.teacher)
        daemon.send(signal.SIGHUP)
        assert "model.name" in daemon.wait_for("config.reloaded")["changed"]
        drop(tmp_path / "in", "b.png")
        daemon.wait_for("image.finished", path="b.png")
        assert daemon.wait_for("report.published", images_total=2)["model"] == "teacher"
        assert until(lambda: len(daemon.workers()) == 1)


def fill(folder: Path, numbers: range) -> None:
    """Many files of one pixel."""
    folder.mkdir(exist_ok=True)
    save_png(photograph(1, 1), folder / ".pixel.tmp")
    content = (folder / ".pixel.tmp").read_bytes()
    for number in numbers:
        with (folder / f"{number}.png").open("wb", buffering=0) as file:
            file.write(content)


def test_forty_thousand_files(networks: Networks, tmp_path: Path) -> None:
    """Half of them there before, half written in one burst: all queued, in bounded memory."""
    config = configured(tmp_path, networks.student)
    fill(tmp_path / "in", range(20_000))
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        first_mb = daemon.memory_mb()
        began_s = time.monotonic()
        fill(tmp_path / "in", range(20_000, 40_000))
        wrote_s = time.monotonic() - began_s
        daemon.wait_for(
            "report.published",
            where=lambda one: bool(one["queue_depth"] + one["images_total"] == 40_000),
        )
        queued_s = time.monotonic() - began_s
        last_mb = daemon.memory_mb()
        began_s = time.monotonic()
        assert daemon.stop() == 0
        stopped_s = time.monotonic() - began_s
        print(  # noqa: T201 - shown by -s and for a failure
            f"20,000 files written in {wrote_s:.1f} s, all 40,000 queued after {queued_s:.1f} s, "
            f"memory {first_mb:.0f} MB, then {last_mb:.0f} MB, stopped in {stopped_s:.1f} s"
        )
        assert last_mb < first_mb + 50
        assert stopped_s < 60
    with LedgerReader.read_only(tmp_path / "state") as ledger:
        waiting = ledger.waiting(["in"])
    assert once("--config", config, "--dry-run").stdout.count(": would be sharpened") == waiting


def test_one_new_picture_does_not_wait_behind_a_backlog(networks: Networks, tmp_path: Path) -> None:
    """Where its folder begins with the newest, or has no backlog of its own, it is soon done."""
    usual: dict[str, object] = {"settle_s": 0.1}
    folders = [
        {"input": tmp_path / "in", "output": tmp_path / "out", "order": "newest"} | usual,
        {"input": tmp_path / "other", "output": tmp_path / "other-out"} | usual,
    ]
    config = configured(tmp_path, networks.student, *folders)
    (tmp_path / "other").mkdir()
    fill(tmp_path / "in", range(5_000))
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        for folder in ("in", "other"):
            drop(tmp_path / folder, "new.png")
            daemon.wait_for("image.finished", folder=folder, path="new.png")
        with LedgerReader.read_only(tmp_path / "state") as ledger:
            assert ledger.waiting(["in"]) > 0
