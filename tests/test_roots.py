"""Disks that are not mounted, or are others: nothing is written until they come."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.ledger.schema import STEPS
from tests.conftest import drop
from tests.daemons import Daemon, ServiceManager, configured, once, running
from tests.mounts import Disk, disks
from tests.older_ledgers import take_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow
RESUMED_WITHIN_S = 60.0
"""What README promises."""


@dataclass
class Shop:
    """A folder whose input, output or archive is on a disk of its own, at `base/mount`."""

    base: Path
    config: Path
    disk: Disk
    other: Disk
    """Another disk for the same place."""

    @property
    def place(self) -> Path:
        """Where the disk is mounted."""
        return self.base / "mount"

    def drop(self, name: str) -> Path:
        """An image in the input."""
        return drop(self.base / "in", name)

    def work(self, *names: str) -> None:
        """A whole run of the daemon, with the disk mounted, which makes these outputs."""
        for name in names:
            self.drop(name)
        with running("--config", self.config) as daemon:
            for name in names:
                daemon.wait_for("image.finished", path=name)

    def is_bare(self) -> bool:
        """Whether nothing was written below the mount point."""
        return not list(self.place.iterdir())


def shop_of(networks: Networks, base: Path, made: list[Disk], **folder: object) -> Shop:
    """A shop with these keys of its folder, its disk mounted."""
    usual = {"input": base / "in", "output": base / "out", "settle_s": 0.1}
    config = configured(base, networks.student, usual | folder)
    made[0].mount(base / "mount")
    return Shop(base, config, *made)


@pytest.fixture
def shop(networks: Networks, tmp_path: Path) -> Iterator[Shop]:
    """A folder whose output is on a disk of its own, and whose sources are deleted."""
    with disks(tmp_path, "disk", "other") as made:
        yield shop_of(
            networks, tmp_path, made, output=tmp_path / "mount" / "sharp", source="delete"
        )


def resumed(daemon: Daemon, *, folder: str = "in") -> None:
    """The folder works again soon."""
    daemon.wait_for("folder.resumed", within_s=RESUMED_WITHIN_S, folder=folder)


def test_an_output_disk_that_is_not_mounted_at_start(shop: Shop) -> None:
    """Nothing is made below the mount point, the source stays, and work goes on when it comes."""
    shop.work("1.png")
    shop.disk.unmount()
    source = shop.drop("2.png")
    with running("--config", shop.config) as daemon:
        paused = daemon.wait_for("folder.paused", folder="in")
        assert f"output: {shop.place}/sharp: {shop.place} is not mounted" in paused["reason"]
        assert "`sharpend accept in`" in paused["reason"]
        daemon.wait_for("daemon.ready")
        assert daemon.wait_for("report.published", health="degraded")["paused"]
        assert shop.is_bare()
        assert source.exists()
        shop.disk.mount(shop.place)
        resumed(daemon)
        daemon.wait_for("image.finished", path="2.png")
        assert len(daemon.events("folder.paused")) == 1
    assert sorted(path.name for path in (shop.place / "sharp").iterdir()) == ["1.png", "2.png"]
    assert not source.exists()


def test_the_same_disk_by_another_device(shop: Shop) -> None:
    """A disk that gets another device number, as after a boot, is the same disk."""
    shop.work("1.png")
    before = shop.place.stat().st_dev
    shop.disk.unmount()
    shop.other.mount(shop.base / "elsewhere")
    shop.disk.mount(shop.place)
    assert shop.place.stat().st_dev != before or not shop.is_bare()
    shop.work("2.png")
    assert sorted(path.name for path in (shop.place / "sharp").iterdir()) == ["1.png", "2.png"]


def test_another_disk_at_start(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Another disk at the same place is not written until it is accepted, which works at once."""
    shop.work("1.png")
    shop.disk.unmount()
    shop.other.mount(shop.place)
    before = sorted(shop.place.iterdir())
    source = shop.drop("2.png")
    with running("--config", shop.config) as daemon:
        reason = daemon.wait_for("folder.paused")["reason"]
        assert "is on another disk than before (ext4 at " in reason
        daemon.wait_for("daemon.ready")
        daemon.wait_for("report.published", health="degraded")
        assert (sorted(shop.place.iterdir()), source.exists()) == (before, True)
        assert main(["status", "--config", str(shop.config)]) == 0
        assert f"paused: in: {reason}" in capsys.readouterr().out
        assert main(["accept", "in", "--config", str(shop.config)]) == 0
        assert "within seconds" in capsys.readouterr().out
        resumed(daemon)
        daemon.wait_for("image.finished", path="2.png")
    assert [path.name for path in (shop.place / "sharp").iterdir()] == ["2.png"]


def test_disks_swapped_while_it_runs(shop: Shop) -> None:
    """A running daemon compares likewise: another disk waits, and the old one is known again."""
    shop.drop("1.png")
    with running("--config", shop.config) as daemon:
        daemon.wait_for("image.finished", path="1.png")
        shop.disk.unmount()
        shop.other.mount(shop.place)
        (shop.place / "sharp").mkdir()
        source = shop.drop("2.png")
        daemon.wait_for("folder.paused", where=lambda one: "another disk" in one["reason"])
        assert list((shop.place / "sharp").iterdir()) == []
        shop.other.unmount()
        shop.disk.mount(shop.place)
        resumed(daemon)
        daemon.wait_for("image.finished", path="2.png")
        assert not source.exists()


def test_a_reload_while_the_disk_is_away(shop: Shop) -> None:
    """SIGHUP makes nothing on the disk below, and lets no source go."""
    shop.drop("1.png")
    with running("--config", shop.config) as daemon:
        daemon.wait_for("image.finished", path="1.png")
        shop.disk.unmount()
        source = shop.drop("2.png")
        daemon.wait_for("folder.paused")
        daemon.send(signal.SIGHUP)
        daemon.wait_for("config.reloaded")
        daemon.wait_for("folder.paused")
        daemon.wait_for("report.published", health="degraded")
        assert (shop.is_bare(), source.exists()) == (True, True)
        shop.disk.mount(shop.place)
        resumed(daemon)
        daemon.wait_for("image.finished", path="2.png")


def test_commands_say_the_same(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """`once`, `check` and `doctor` end with 73 and the words of the log; nothing is made."""
    shop.work("1.png")
    shop.disk.unmount()
    source = shop.drop("2.png")
    said = f"output: {shop.place}/sharp: {shop.place} is not mounted: mount it"
    ended = once("--config", shop.config)
    assert (ended.returncode, said in ended.stderr) == (73, True)
    for command in ("check", "doctor"):
        assert main([command, "--config", str(shop.config)]) == 73
        heard = capsys.readouterr()
        assert said in heard.out + heard.err
    assert (shop.is_bare(), source.exists()) == (True, True)
    assert main(["accept", "in", "--config", str(shop.config)]) == 0
    assert "at the next start" in capsys.readouterr().out
    assert once("--config", shop.config).returncode == 0
    assert (shop.place / "sharp" / "2.png").exists()


def test_an_archive_disk_that_is_not_mounted(networks: Networks, tmp_path: Path) -> None:
    """Nothing is archived below the mount point; the source stays until the disk comes."""
    archive = {"source": "archive", "archive": tmp_path / "mount" / "originals"}
    with disks(tmp_path, "disk", "other") as made:
        shop = shop_of(networks, tmp_path, made, **archive)
        shop.work("1.png")
        shop.disk.unmount()
        source = shop.drop("2.png")
        assert once("--config", shop.config).returncode == 73
        with running("--config", shop.config) as daemon:
            assert "archive: " in daemon.wait_for("folder.paused")["reason"]
            daemon.wait_for("daemon.ready")
            assert (shop.is_bare(), source.exists()) == (True, True)
            shop.disk.mount(shop.place)
            resumed(daemon)
            daemon.wait_for("image.finished", path="2.png")
        names = sorted(path.name for path in (shop.place / "originals").iterdir())
        assert names == ["1.png", "2.png"]


@pytest.mark.parametrize("below", ["", "camera"])
def test_an_input_disk_that_is_not_mounted(networks: Networks, tmp_path: Path, below: str) -> None:
    """A stray file at the mount point is not taken; what is on the disk is, when it comes."""
    with disks(tmp_path, "disk", "other") as made:
        inbox = tmp_path / "mount" / below
        shop = shop_of(networks, tmp_path, made, input=inbox, name="in", source="delete")
        inbox.mkdir(exist_ok=True)
        drop(inbox, "1.png")
        assert once("--config", shop.config).returncode == 0
        drop(inbox, "2.png")
        shop.disk.unmount()
        stray = drop(shop.place, "stray.png")
        ended = once("--config", shop.config)
        said = f"{shop.place} is not mounted: mount it"
        assert (ended.returncode, said in ended.stderr) == (66, True)
        with running("--config", shop.config) as daemon:
            assert said in daemon.wait_for("folder.paused")["reason"]
            daemon.wait_for("daemon.ready")
            daemon.wait_for("report.published", health="degraded")
            assert stray.exists()
            shop.disk.mount(shop.place)
            resumed(daemon)
            daemon.wait_for("image.finished", path="2.png")
            assert daemon.events("image.finished", path="stray.png") == []


def test_a_first_start_before_the_disk(networks: Networks, tmp_path: Path) -> None:
    """A path below /mnt is not made where no disk is mounted, by the daemon, `once` or a reload."""
    place = tmp_path.parent / "mnt"
    if os.geteuid() != 0 or not os.path.isdir("/mnt"):
        pytest.skip("needs root and /mnt")
    away = f"/mnt/sharpend-test-{os.getpid()}"
    folder = {"input": tmp_path / "in", "output": f"{away}/sharp", "settle_s": 0.1}
    config = configured(tmp_path, networks.student, folder)
    source = drop(tmp_path / "in", "1.png")
    try:
        ended = once("--config", config)
        said = f"no disk is mounted at {away}"
        assert (ended.returncode, said in ended.stderr) == (73, True)
        with running("--config", config) as daemon:
            assert said in daemon.wait_for("folder.paused")["reason"]
            daemon.wait_for("daemon.ready")
            daemon.send(signal.SIGHUP)
            daemon.wait_for("config.reloaded")
            assert not os.path.exists(away)
            assert source.exists()
            os.makedirs(f"{away}/sharp")
            resumed(daemon)
            daemon.wait_for("image.finished", path="1.png")
    finally:
        shutil.rmtree(away, ignore_errors=True)
    assert not place.exists()


def test_a_folder_that_is_late(networks: Networks, tmp_path: Path) -> None:
    """A missing input pauses its folder; the service comes up, others work, and then it does."""
    folders: list[dict[str, object]] = [
        {"input": tmp_path / name, "output": tmp_path / f"{name}-out", "settle_s": 0.1}
        for name in ("here", "late")
    ]
    config = configured(tmp_path, networks.student, *folders)
    (tmp_path / "here").mkdir()
    manager = ServiceManager(tmp_path / "notify")
    try:
        with running("--config", config, NOTIFY_SOCKET=manager.address) as daemon:
            paused = daemon.wait_for("folder.paused", folder="late")
            assert "no such folder" in paused["reason"]
            manager.wait_for("READY=1")
            drop(tmp_path / "here", "a.png")
            daemon.wait_for("image.finished", folder="here", path="a.png")
            report = daemon.wait_for("report.published", health="degraded")
            assert list(report["paused"]) == ["late"]
            (tmp_path / "away").mkdir()
            drop(tmp_path / "away", "b.png")
            (tmp_path / "away").rename(tmp_path / "late")
            resumed(daemon, folder="late")
            daemon.wait_for("image.finished", folder="late", path="b.png")
            daemon.wait_for("report.published", health="ok", images_total=2)
    finally:
        manager.close()
    ended = once("--config", config)
    assert ended.returncode == 0
    shutil.rmtree(tmp_path / "late")
    ended = once("--config", config)
    assert (ended.returncode, "no such folder" in ended.stderr) == (66, True)


@pytest.mark.parametrize("rule", [True, False])
def test_require_mount(networks: Networks, tmp_path: Path, *, rule: bool) -> None:
    """True wants any disk but the system's, false takes whatever is there; nobody has to accept."""
    with disks(tmp_path, "disk", "other") as made:
        output = {"output": tmp_path / "mount" / "sharp", "require_mount": rule}
        shop = shop_of(networks, tmp_path, made, **output)
        if rule and os.stat("/").st_dev == tmp_path.stat().st_dev:
            pytest.skip("the folder for tests is on the system's disk")
        shop.work("1.png")
        shop.disk.unmount()
        shop.other.mount(shop.place)
        shop.work("2.png")
        assert (shop.place / "sharp" / "2.png").exists()


def test_an_upgrade_pauses_nothing(shop: Shop) -> None:
    """A ledger from before roots were remembered goes on, and remembers from then on."""
    shop.work("1.png")
    before = next(number for number, step in enumerate(STEPS) if "TABLE root" in step)
    take_back(shop.base / "state", before)
    shop.work("2.png")
    shop.disk.unmount()
    assert once("--config", shop.config).returncode == 73
    assert shop.is_bare()
