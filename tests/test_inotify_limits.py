"""The kernel's limits on watches, for real: a user namespace has its own."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import drop
from tests.daemons import configured, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

LIMIT = "/proc/sys/user/max_inotify_watches"
UNSHARED = ["unshare", "--user", "--map-root-user"]


def can_limit() -> bool:
    """Whether this machine lets us make a namespace with limits of its own."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    command = [*UNSHARED, "sh", "-c", f"echo 1 > {LIMIT}"]
    return not subprocess.run(command, check=False, capture_output=True).returncode


def limit(process: int, most: int) -> None:
    """Set how many watches the user of a process's namespace may have."""
    entered = ["nsenter", f"--target={process}", "--user", "--preserve-credentials"]
    subprocess.run([*entered, "sh", "-c", f"echo {most} > {LIMIT}"], check=True)


@pytest.mark.slow
def test_watches_that_run_out_and_come_back(networks: Networks, tmp_path: Path) -> None:
    """Without watches at the start the daemon says which sysctl, polls, and tries again; later too.

    No image is missed in any of the three.
    """
    if not can_limit():
        pytest.skip("no user namespace with limits of its own is to be had")
    folder: dict[str, object] = {
        "input": tmp_path / "in",
        "output": tmp_path / "out",
        "settle_s": 0.1,
        "poll_s": 0.5,
    }
    config = configured(tmp_path, networks.student, folder, intake={"rescan_s": 1})
    for number in range(5):
        (tmp_path / "in" / str(number)).mkdir(parents=True)
    few = [*UNSHARED, "sh", "-c", f'echo 3 > {LIMIT}; exec "$@"', "sh"]
    with running("--config", config, prefix=few) as daemon:
        polled = daemon.wait_for("folder.polled")
        assert "fs.inotify.max_user_watches" in polled["reason"]
        daemon.wait_for("daemon.ready")
        for event, most in ((None, 3), ("folder.watched", 100), ("folder.polled", 3)):
            limit(daemon.process.pid, most)
            if event:
                daemon.wait_for(event)
            drop(tmp_path / "in" / "4", f"{event}.png")
            daemon.wait_for("image.finished", path=f"4/{event}.png")
        assert len(daemon.events("folder.polled")) == 2
