"""Health: the notify protocol on a real socket, and the status file."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from sharpend.daemon.status import STATUS_FILE, read_status, write_status
from sharpend.daemon.systemd import Notifier, watchdog_interval_s

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, of both kinds, and the NOTIFY_SOCKET that names it."""
    path = str(tmp_path / "notify")
    address = path if request.param == "path" else f"@sharpend-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(60)
        yield receiver, address


def test_each_message_arrives_as_the_protocol_wants_it(
    manager: tuple[socket.socket, str],
) -> None:
    """sd_notify(3): one datagram each, of lines KEY=value."""
    receiver, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("2 folders")
    assert receiver.recv(999) == b"READY=1\nSTATUS=2 folders"
    notifier.status("queue 12, Gr\u00fc\u00dfe")
    assert receiver.recv(999).decode() == "STATUS=queue 12, Grüße"
    notifier.watchdog()
    assert receiver.recv(999) == b"WATCHDOG=1"
    notifier.stopping()
    assert receiver.recv(999) == b"STOPPING=1"
    notifier.extend_timeout(1.5)
    assert receiver.recv(999) == b"EXTEND_TIMEOUT_USEC=1500000"


def test_a_reload_carries_the_monotonic_time(manager: tuple[socket.socket, str]) -> None:
    """Without the time stamp systemd hangs in the reload."""
    receiver, address = manager
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier({"NOTIFY_SOCKET": address}).reloading()
    word, stamp = receiver.recv(999).decode().split("\n")
    assert word == "RELOADING=1"
    key, value = stamp.split("=")
    assert key == "MONOTONIC_USEC"
    assert before_us <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_cannot_set_other_fields(manager: tuple[socket.socket, str]) -> None:
    """A newline or a stray byte of a file name stays inside the one line."""
    receiver, address = manager
    Notifier({"NOTIFY_SOCKET": address}).status("now a\nMAINPID=1\udcff")
    assert receiver.recv(999) == rb"STATUS=now a\nMAINPID=1\udcff"


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "vsock:2:1234", "/\0", "@" * 200])
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    """Outside systemd, or with a broken socket, the daemon just runs."""
    Notifier({} if address is None else {"NOTIFY_SOCKET": address}).ready("x")


@pytest.mark.parametrize(
    ("variables", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_pinged_at_half_its_time(
    variables: dict[str, str], interval_s: float | None
) -> None:
    """Only where systemd asks this very process for it."""
    assert watchdog_interval_s(variables) == interval_s


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the process's own environment counts."""
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert watchdog_interval_s() == 2.0
    Notifier().watchdog()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The status survives the file, paths and missing numbers included; the last one counts."""
    write_status(tmp_path, {"old": 1})
    write_status(tmp_path, {"health": "ok", "rolling": float("nan"), "oldest": b"a\xff"})
    assert read_status(tmp_path) == {"health": "ok", "rolling": None, "oldest": "a\udcff"}
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b'{"a": "\xff"}'])
def test_a_status_that_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    """Nothing written yet, or something else in its place, is no error."""
    if content is not None:
        (tmp_path / STATUS_FILE).write_bytes(content)
    assert read_status(tmp_path) is None
