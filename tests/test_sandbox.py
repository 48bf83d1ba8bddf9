"""What a confined process cannot do any more, tried in one; and what an image still needs."""

from __future__ import annotations

import json
import os
import platform
import struct
import subprocess
import sys
import tempfile

import pytest

from sharpend.workers import sandbox

TRIED = """
import ctypes, fcntl, json, os, resource, socket, subprocess, sys, threading
from sharpend.workers import sandbox

begun, goes = threading.Event(), {}

def at(name, deed):
    try:
        deed()
        goes[name] = 0
    except OSError as error:
        goes[name] = error.errno

def late():
    begun.wait()
    at("another thread", lambda: subprocess.run(["true"]))

other = threading.Thread(target=late)
other.start()
parts = sandbox.enter(local_sockets=sys.argv[2:] == ["gpu"])
begun.set()
other.join()
at("a program", lambda: subprocess.run(["true"]))
at("exec", lambda: os.execv(sys.executable, [sys.executable, "-c", ""]))
at("fork", os.fork)
at("internet", lambda: socket.socket(socket.AF_INET))
at("internet 6", lambda: socket.socket(socket.AF_INET6))
at("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
at("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
at("local", lambda: socket.socket(socket.AF_UNIX))
at("a signal to the parent", lambda: os.kill(os.getppid(), 0))
at("a signal to itself", lambda: os.kill(os.getpid(), 0))
at("limits of the parent", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU))
at("limits of its own", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
at("typing into the terminal", lambda: fcntl.ioctl(0, 0x5412, b"x"))
at("a device", lambda: os.mknod("/tmp/never"))
here, there = os.pipe()
at("a pipe's signals for the parent", lambda: fcntl.fcntl(here, fcntl.F_SETOWN, os.getppid()))
at("another signal of a pipe", lambda: fcntl.fcntl(here, fcntl.F_SETSIG, 9))
at("the same by ioctl", lambda: fcntl.ioctl(here, 0x8901, os.getppid()))
name = sys.argv[1]
at("a file to be run as its owner", lambda: os.open(name + "/a", os.O_CREAT | os.O_WRONLY, 0o4755))
at("the same without a name", lambda: os.open(name, os.O_TMPFILE | os.O_WRONLY, 0o4755))
at("a file", lambda: os.close(os.open(name + "/b", os.O_CREAT | os.O_RDWR, 0o755)))
at("the bit afterwards", lambda: os.chmod(name + "/b", 0o4755))
at("the group's bit", lambda: os.fchmod(os.open(name + "/b", os.O_RDWR), 0o2755))
at("a shared folder", lambda: os.mkdir(name + "/c", 0o2755))
at("a mode", lambda: os.chmod(name + "/b", 0o640))
at("a folder", lambda: os.mkdir(name + "/d", 0o755))
at("a thread", lambda: threading.Thread(target=goes.get).start())
libc = ctypes.CDLL(None, use_errno=True)

def call(number):
    if libc.syscall(number, 0, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "")

for number in map(int, os.environ.get("CALLS", "").split()):
    at(f"call {number}", lambda: call(number))
print(json.dumps([parts, goes]))
"""
MUST_FAIL = {
    "another thread", "a program", "exec", "fork", "internet", "internet 6", "netlink", "packets",
    "a signal to the parent", "limits of the parent", "typing into the terminal", "a device",
    "a pipe's signals for the parent", "another signal of a pipe", "the same by ioctl",
    "a file to be run as its owner", "the same without a name", "the bit afterwards",
    "the group's bit", "a shared folder",
}  # fmt: skip
MUST_WORK = {"a signal to itself", "limits of its own", "a thread", "a file", "a mode", "a folder"}
EPERM, ENOSYS = 1, 38


def tried(*arguments: str, calls: tuple[int, ...] = ()) -> tuple[list[str], dict[str, int]]:
    """What was given up, and how each deed ended: 0 or the error's number."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-c", TRIED, folder, *arguments],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CALLS": " ".join(map(str, calls))},
        )
    parts, goes = json.loads(ran.stdout)
    return parts, goes


confines = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in sandbox._MACHINES,
    reason="no sandbox on this system",
)


@confines
def test_a_confined_process() -> None:
    """No program, no process, no socket, no signal to others, in any thread; threads and files."""
    parts, goes = tried()
    assert set(parts) == sandbox.PARTS
    assert {name: goes[name] for name in MUST_FAIL} == dict.fromkeys(MUST_FAIL, EPERM)
    assert {name: goes[name] for name in MUST_WORK} == dict.fromkeys(MUST_WORK, 0)
    assert goes["local"] == EPERM


@confines
def test_drivers_may_talk_on_this_machine() -> None:
    """With a GPU sockets of the file system stay, and nothing else."""
    parts, goes = tried("gpu")
    assert set(parts) == sandbox.PARTS
    assert {name: goes[name] for name in MUST_FAIL} == dict.fromkeys(MUST_FAIL, EPERM)
    assert goes["local"] == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are of x86_64")
def test_every_call_of_the_list_is_refused() -> None:
    """Each fails with EPERM, by its second number too; clone3 and openat2 are missing."""
    listed = tuple(numbers[0] for numbers in sandbox._REFUSED.values() if numbers[0] is not None)
    _, goes = tried(calls=(*listed, 0x4000003B, 435, 437))
    assert {number for number in listed if goes[f"call {number}"] != EPERM} == set()
    assert goes["call 1073741883"] == EPERM
    assert {goes["call 435"], goes["call 437"]} == {ENOSYS}


@confines
def test_a_worker_cannot_outlive_its_parent() -> None:
    """It may not take back that the kernel ends it with the fork server."""
    code = (
        "import ctypes, os; from sharpend.workers import sandbox; "
        "libc = ctypes.CDLL(None, use_errno=True); sandbox.enter(local_sockets=False); "
        "print(libc.prctl(1, 0, 0, 0, 0), ctypes.get_errno(), libc.prctl(3, 0, 0, 0, 0))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["-1", str(EPERM), "1"]


LOOKED_INTO = """
import ctypes, os, sys
from sharpend.workers import sandbox

if os.geteuid() == 0:  # which sees through everything
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # a change of user has closed it already

def seen():
    looks, told = os.pipe()
    if not os.fork():
        try:
            os.close(os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY))
            os.listdir(f"/proc/{os.getppid()}/fd")
            os.write(told, b"seen")
        except PermissionError:
            os.write(told, b"closed")
        os._exit(0)
    return os.read(looks, 10).decode()

before = seen()
sandbox.deny_inspection()
print(before, seen())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")
def test_a_daemon_denies_inspection() -> None:
    """Another process of the same user reads neither its environment nor its descriptors."""
    ran = subprocess.run(
        [sys.executable, "-c", LOOKED_INTO], check=True, capture_output=True, text=True
    )
    assert ran.stdout.split() == ["seen", "closed"]


def test_elsewhere_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no such thing, `enter` says so and changes nothing."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.enter(local_sockets=False) == ()


def jumps(program: bytes) -> list[tuple[int, int, int, int]]:
    """The steps of a filter: code, jump if true, jump if false, value."""
    return list(struct.iter_unpack("=HBBI", program))


@pytest.mark.parametrize("machine", sandbox._MACHINES)
@pytest.mark.parametrize("local_sockets", [False, True])
def test_the_filter_is_sound(machine: str, local_sockets: bool) -> None:  # noqa: FBT001
    """On either machine no jump leads out of the program, and its last step allows."""
    column, architecture = sandbox._MACHINES[machine]
    steps = jumps(sandbox._filter(column, architecture, local_sockets=local_sockets))
    for at, (_, if_true, if_false, _) in enumerate(steps):
        assert at + max(if_true, if_false) + 1 < len(steps) or at == len(steps) - 1
    assert steps[-1] == (sandbox._RETURN, 0, 0, sandbox._ALLOW)
    assert len(steps) < 4096
