"""Terminals that close, full disks and closed pipes behind standard output, and foreign signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.conftest import drop
from tests.daemons import configured, running, surroundings, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A finished command of the shell, in which $S is sharpend."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        env=surroundings({"S": f"{sys.executable} -m sharpend", **environment}),
    )


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("$S formats > /dev/full", 73, "sharpend: standard output: No space left on device"),
        ("$S formats >&-", 0, ""),
        ("$S formats 2>&- >&- <&-", 0, ""),
        ("$S nonsense 2> /dev/full", 64, ""),
        ("$S status --state /nowhere 2> /dev/full", 66, ""),
        ("($S formats; echo $? >&2) | true", 0, "141"),
    ],
)
def test_standard_streams(command: str, status: int, said: str) -> None:
    """Whatever cannot be printed is never called a bug of sharpend."""
    ran = shell(command)
    assert "bug" not in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == status, ran.stderr
    assert said in ran.stderr


def test_results_on_a_full_disk(networks: Networks, tmp_path: Path) -> None:
    """`once` ends with 73 where its results cannot be printed; the next run goes on."""
    config = configured(tmp_path, networks.student)
    for index in range(3):
        drop(tmp_path / "in", f"{index}.png", seed=index)
    ran = shell(f"$S once --json --config {config} > /dev/full")
    assert (ran.returncode, "bug" in ran.stderr) == (73, False), ran.stderr
    again = shell(f"$S once --config {config}")
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_work_without_standard_streams(networks: Networks, tmp_path: Path) -> None:
    """The pipes of workers do not get the numbers of streams that were closed."""
    config = configured(tmp_path, networks.student)
    drop(tmp_path / "in", "one.png")
    assert shell(f"$S once --config {config} 2>&- >&- <&-").returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_the_signal_of_log_rotation(networks: Networks, tmp_path: Path) -> None:
    """SIGUSR1 and SIGUSR2 change nothing, and one event says so."""
    with running("--config", configured(tmp_path, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            daemon.send(number)
        assert "SIGHUP" in daemon.wait_for("signal.ignored")["advice"]
        drop(tmp_path / "in", "a.png")
        daemon.wait_for("image.finished", path="a.png")
        daemon.wait_for("report.published", images_total=1)
    assert len(daemon.events("signal.ignored")) == 1


def test_a_closed_terminal_ends_the_daemon(networks: Networks, tmp_path: Path) -> None:
    """SIGHUP reloads while the terminal is there, and ends `run` once it is closed."""
    config = configured(tmp_path, networks.student)
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sharpend", "run", "--config", str(config)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=surroundings({"TERM": "dumb"}),
        start_new_session=True,
    )
    os.close(slave)
    try:
        with closing(os.fdopen(master, "rb", buffering=0)) as terminal:
            text = b""
            while b"daemon.ready" not in text:
                text += terminal.read(4096)
            process.send_signal(signal.SIGHUP)
            while b"config.reloaded" not in text:
                text += terminal.read(4096)
        process.send_signal(signal.SIGHUP)  # the kernel sends it to the session's leader
        assert process.wait(300) == 0
    finally:
        process.kill()
    until(lambda: not list((tmp_path / "out").glob(".sharpend-*")))
