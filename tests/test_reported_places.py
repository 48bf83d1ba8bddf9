"""Disks, containers and limits that public reports of other daemons report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.conftest import drop
from tests.daemons import WITHIN_S, configured, running, surroundings, temps, until
from tests.mounts import mounted, ran
from tests.outside_tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Networks
    from tests.daemons import Daemon

pytestmark = pytest.mark.slow

LIMIT_BYTES = 1_000_000
"""Largest file: above the ledger and a small image, below a large one."""


class Served:
    """A folder that a FUSE server shows at another place."""

    def __init__(self, source: Path, at: Path) -> None:
        self._source, self._at = source, at
        self._server: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        """Start the server; a test that may not is skipped."""
        self._at.mkdir(exist_ok=True)
        command = [need("bindfs"), "-f", str(self._source), str(self._at)]
        self._server = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        until(lambda: self._at.is_mount() or self._is_gone())
        if self._is_gone():
            pytest.skip("not permitted to mount by FUSE")

    def kill(self) -> None:
        """End the server as a crash does: what is below answers ENOTCONN from now on."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def unmount(self) -> None:
        """Remove the dead mount."""
        assert ran("umount", "-l", self._at)

    def _is_gone(self) -> bool:
        return self._server is not None and self._server.poll() is not None


@pytest.mark.parametrize("root", ["in", "out"])
def test_a_file_system_whose_server_is_killed(
    networks: Networks, tmp_path: Path, root: str
) -> None:
    """The folder pauses with its name, goes on once it is mounted again, and loses nothing."""
    (tmp_path / f"real-{root}").mkdir()
    served = Served(tmp_path / f"real-{root}", tmp_path / root)
    served.mount()
    inputs = tmp_path / ("real-in" if root == "in" else "in")
    try:
        with running("--config", configured(tmp_path, networks.student)) as daemon:
            drop(inputs, "before.png")
            daemon.wait_for("image.finished", path="before.png")
            served.kill()
            drop(inputs, "while.png", seed=1)
            assert daemon.wait_for("folder.paused")["folder"]
            served.unmount()
            served.mount()
            daemon.wait_for("folder.resumed")
            daemon.wait_for("image.finished", path="while.png")
        assert daemon.events("image.quarantined") == []
    finally:
        served.kill()
        served.unmount()
    made = tmp_path / ("real-out" if root == "out" else "out")
    assert {path.name for path in made.iterdir()} == {"before.png", "while.png"}


@contextmanager
def layered(base: Path) -> Iterator[None]:
    """An overlay at `in`, over what is in `lower`; its layers are on a disk in memory."""
    for name in ("lower", "upper", "work", "in"):
        (base / name).mkdir(exist_ok=True, parents=True)
    layers = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    with mounted(base / "in", "-t", "overlay", "-o", layers, "overlay"):
        yield


def test_an_overlay_that_is_mounted_again(networks: Networks, tmp_path: Path) -> None:
    """Files of the lower and of the upper layer are done once, though their inodes change."""
    (tmp_path / "layers").mkdir()
    with mounted(tmp_path / "layers", "-t", "tmpfs", "tmpfs"):
        base = tmp_path / "layers"
        drop(base / "lower", "lower.png")
        config = configured(base, networks.student)
        with layered(base):
            drop(base / "in", "upper.png", seed=1)
            with running("--config", config) as daemon:
                for name in ("lower.png", "upper.png"):
                    daemon.wait_for("image.finished", path=name)
        with layered(base), running("--config", config) as daemon:
            drop(base / "in", "new.png", seed=2)
            daemon.wait_for("image.finished", path="new.png")
        assert len(daemon.events("image.finished")) == 1


def test_a_disk_that_is_mounted_below_an_input(networks: Networks, tmp_path: Path) -> None:
    """Its images are done once; while it is away nothing is taken for removed or done again."""
    disk = tmp_path / "disk.img"
    disk.touch()
    os.truncate(disk, 16 << 20)
    if not ran("mkfs.ext4", "-q", disk):
        pytest.skip("there is no mkfs.ext4")
    (tmp_path / "in" / "card").mkdir(parents=True)
    config = configured(tmp_path, networks.student, intake={"rescan_s": 1})  # no event reports it
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(2):
            with mounted(tmp_path / "in" / "card", "-o", "loop", str(disk)):
                drop(tmp_path / "in" / "card", f"{number}.png", seed=number)
                daemon.wait_for("image.finished", path=f"card/{number}.png")
        drop(tmp_path / "in", "after.png")
        daemon.wait_for("image.finished", path="after.png")
    finished = [event["path"] for event in daemon.events("image.finished")]
    assert sorted(finished) == ["after.png", "card/0.png", "card/1.png"]


def test_a_daemon_that_is_process_one(networks: Networks, tmp_path: Path) -> None:
    """In a PID namespace of its own it drains at SIGTERM, ends with 0 and leaves no process."""
    config = configured(tmp_path, networks.student)
    unshare = (need("unshare"), "--pid", "--fork", "--mount-proc")
    if not ran(*unshare, "true"):
        pytest.skip("not permitted to make a PID namespace")
    with running("--config", config, prefix=unshare) as daemon:
        daemon.wait_for("daemon.ready")
        drop(tmp_path / "in", "a.png")
        daemon.wait_for("image.finished", path="a.png")
        (first,) = psutil.Process(daemon.process.pid).children()
        family = [first, *first.children(recursive=True)]
        first.send_signal(signal.SIGTERM)
        assert daemon.wait() == 0
        assert psutil.wait_procs(family, timeout=WITHIN_S)[1] == []


@pytest.fixture
def reached_by_all() -> Iterator[Path]:
    """A folder that another user reaches; pytest's are those of one user."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def test_a_container_of_any_user(networks: Networks, reached_by_all: Path) -> None:
    """A user without a name, no HOME, the C locale and a root that cannot be written suffice."""
    capabilities = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    # With it Python is found even where it is in the home folder of another user.
    other = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *capabilities)
    place = reached_by_all
    student = place / "student.safetensors"
    shutil.copy(networks.student, student)
    config = configured(place, student)
    drop(place / "in", "a.png")
    for path in (place, *place.rglob("*")):
        os.chown(path, 54321, 54321)
    inside = (
        f"mount --bind {place} {place} && mount -o remount,bind,ro / && exec"
        f" {' '.join(other)} env -i LC_ALL=C {sys.executable} -m sharpend once --config {config}"
    )
    if os.geteuid() or not ran(need("unshare"), "--mount", "mount", "-o", "remount,bind,ro", "/"):
        pytest.skip("not permitted to make a mount namespace")
    ended = subprocess.run(
        [need("unshare"), "--mount", "sh", "-c", inside],
        check=False,
        capture_output=True,
        text=True,
        env=surroundings({}),
    )
    assert ended.returncode == 0, ended.stderr
    assert (place / "out" / "a.png").stat().st_uid == 54321


def test_a_daemon_that_is_stopped_for_longer_than_a_job_may_take(
    networks: Networks, tmp_path: Path
) -> None:
    """After SIGCONT no attempt counts twice, and each image is done once."""
    config = configured(tmp_path, networks.student, workers={"count": 1, "job_timeout_s": 10})
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        names = map("{}.png".format, count())
        large = next(name for name in names if is_stopped(daemon, tmp_path, name))
        drop(tmp_path / "in", "small.png", seed=1)
        until_passed(12)
        daemon.send(signal.SIGCONT)
        for name in (large, "small.png"):
            daemon.wait_for("image.finished", path=name)
            assert len(daemon.events("image.finished", path=name)) == 1
    assert daemon.events("image.quarantined") == []


def is_stopped(daemon: Daemon, base: Path, name: str) -> bool:
    """Stop a daemon while an image is in work; False, and it goes on, where that had ended."""
    drop(base / "in", name, height=600, width=800)
    until(lambda: temps(base / "out") or daemon.events("image.finished", path=name))
    daemon.send(signal.SIGSTOP)
    if temps(base / "out"):
        return True
    daemon.send(signal.SIGCONT)
    return False


def until_passed(seconds: float) -> None:
    """Let time pass: it is what a stopped daemon is measured by."""
    time.sleep(seconds)


def test_few_open_files(networks: Networks, tmp_path: Path) -> None:
    """64 descriptors are enough for 100 images."""
    for number in range(100):
        drop(tmp_path / "in", f"{number}.png", height=16, width=16, seed=number)
    prefix = (need("prlimit"), "--nofile=64:64")
    with running("--config", configured(tmp_path, networks.student), prefix=prefix) as daemon:
        for _ in range(100):
            daemon.wait_for("image.finished")
    assert daemon.events("image.quarantined") == daemon.events("image.retried") == []


def test_an_output_beyond_the_limit_of_a_file(networks: Networks, tmp_path: Path) -> None:
    """EFBIG concerns that image alone: it is refused by name, and the next one is finished."""
    drop(tmp_path / "in", "large.png", height=1200, width=1600)
    assert (tmp_path / "in" / "large.png").stat().st_size > LIMIT_BYTES
    prefix = (need("prlimit"), f"--fsize={LIMIT_BYTES}:{LIMIT_BYTES}")
    with running("--config", configured(tmp_path, networks.student), prefix=prefix) as daemon:
        refused = daemon.wait_for("image.quarantined", path="large.png")
        assert refused["error_code"] == "output_too_large"
        drop(tmp_path / "in", "small.png", seed=1)
        daemon.wait_for("image.finished", path="small.png")
    assert daemon.events("folder.paused") == []


def test_a_default_access_list(networks: Networks, tmp_path: Path) -> None:
    """Below a folder with a default list, `mode` lets its users read the output."""
    (tmp_path / "out").mkdir()
    user = "54321"
    if not ran(need("setfacl"), "-m", f"d:u:{user}:rwX,u:{user}:rwX", tmp_path / "out"):
        pytest.skip("no access lists on this file system")
    folder: dict[str, Any] = {"input": tmp_path / "in", "output": tmp_path / "out", "mode": "0660"}
    config = configured(tmp_path, networks.student, folder | {"settle_s": 0.1})
    drop(tmp_path / "in" / "sub", "a.png").chmod(0o600)
    with running("--config", config) as daemon:
        daemon.wait_for("image.finished", path="sub/a.png")
    listed = subprocess.run(
        [need("getfacl"), "--omit-header", "--numeric", tmp_path / "out" / "sub" / "a.png"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    granted = next(line for line in listed.splitlines() if line.startswith(f"user:{user}:"))
    assert "#effective:---" not in granted
