"""A real systemd with the installed unit, on a machine that it did not boot and leaves untouched.

`boot.sh` makes the namespaces; what is written there goes with them. The unit runs as it is, with
all its hardening; a drop-in says only where this checkout and its Python are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

from sharpend.workers.ahead import PROGRAM
from tests.daemons import WITHIN_S, Heard, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).parent.parent
UNIT = "sharpend.service"
NAMESPACES = ("--pid", "--mount", "--ipc", "--uts", "--net")
_UNDER_TEST = "/run/under-test"
_CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def why_not() -> str | None:
    """Why this machine cannot boot a systemd of its own, or None."""
    missing = [
        program
        for program in (
            "systemd",
            "unshare",
            "setpriv",
            "nsenter",
            "systemctl",
            "journalctl",
            "make",
        )
        if shutil.which(program, path=f"{os.environ['PATH']}:/lib/systemd") is None
    ]
    if missing:
        return f"{', '.join(missing)} not installed"
    if os.geteuid() != 0:
        return "only root may boot a systemd"
    attempt = (
        "mount --make-rprivate / && mount -t proc proc /proc && mount -t cgroup2 cgroup2 /mnt && "
        "mkdir /mnt/sharpend-tried && rmdir /mnt/sharpend-tried"
    )
    tried = _ran("unshare", "--fork", *NAMESPACES, "--cgroup", "sh", "-c", attempt)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


class Machine:
    """The booted systemd, asked from outside.

    Args:
        pid: of its process 1, as it is called here.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._inside = ("-t", str(pid), "-m", "-p", "-i", "-u", "-n", "-C")
        self._journal: Heard[dict[str, Any]] = Heard()

    def follow(self) -> threading.Thread:
        """Begin to follow the journal, to its end."""
        listener = threading.Thread(target=self._listen)
        listener.start()
        return listener

    def path(self, inside: str) -> Path:
        """A file of the machine, in reach from here."""
        return Path(f"/proc/{self._pid}/root{inside}")

    def run(self, *command: str, check: bool = True) -> str:
        """What a command prints inside."""
        ran = _ran("nsenter", *self._inside, "--", *command)
        assert not check or ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout

    def systemctl(self, *arguments: str) -> None:
        """Steer units; what fails shows the journal's end."""
        try:
            self.run("systemctl", "--no-pager", *arguments)
        except AssertionError as error:
            said = self.run("journalctl", "--no-pager", "-n", "40", check=False)
            raise AssertionError(f"{error}\n{said}") from error

    def shows(self, name: str, unit: str = UNIT) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def daemon(self, unit: str = UNIT) -> psutil.Process:
        """The unit's main process, as it is called here."""
        inside = int(self.shows("MainPID", unit))
        for process in psutil.Process(self._pid).children():
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text()
                line = next(one for one in status.splitlines() if one.startswith("NSpid:"))
                if int(line.split()[-1]) == inside:
                    return process
        raise AssertionError(f"{unit} has no main process")

    def worker(self) -> psutil.Process:
        """The youngest process that sharpens."""
        servers = [one for one in self.daemon().children() if PROGRAM in one.cmdline()]
        return max(
            (worker for server in servers for worker in server.children()),
            key=lambda one: float(one.create_time()),
        )

    def events(self, unit: str = UNIT) -> list[dict[str, Any]]:
        """All events of a unit so far, each with the journal's `PRIORITY`."""
        return [told for told in self._journal.all if told["_SYSTEMD_UNIT"] == unit]

    def wait_for(
        self, event: str, *, unit: str = UNIT, within_s: float = WITHIN_S, **values: object
    ) -> dict[str, Any]:
        """The next event of a unit with these values; each answers one wait."""
        wanted = {"_SYSTEMD_UNIT": unit, "event": event, **values}
        return self._journal.take(
            lambda told: all(told.get(key) == wanted[key] for key in wanted), str(wanted), within_s
        )

    def _listen(self) -> None:
        follow = ("journalctl", "--follow", "--no-tail", "--output=json")
        command = ("nsenter", *self._inside, "--", *follow)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as journal:
            assert journal.stdout is not None
            for line in journal.stdout:
                entry = json.loads(line)
                if str(entry["MESSAGE"]).startswith('{"event"'):
                    fields = {key: entry[key] for key in ("_SYSTEMD_UNIT", "PRIORITY")}
                    self._journal.add(json.loads(entry["MESSAGE"]) | fields)
        self._journal.end()


@contextmanager
def booted(image: Path, dropins: Mapping[str, str]) -> Iterator[Machine]:
    """A machine with the service installed from this checkout, not started yet.

    Args:
        image: an empty folder.
        dropins: what is added to the [Service] section of these units.
    """
    home = image / "home"
    for target in (("install-files", f"DESTDIR={image}"), ("install-user-files", f"HOME={home}")):
        made = _ran("make", "-C", str(CHECKOUT), *target)
        assert made.returncode == 0, made.stderr
    for unit, text in dropins.items():
        _drop_in(image / "dropins" / f"{unit}.d", CHECKOUT / "systemd" / unit, text)
    _drop_in(home / f".config/systemd/user/{UNIT}.d", CHECKOUT / "systemd/user" / UNIT, "")
    group = f"sharpend-under-test-{os.getpid()}"
    log = image / "boot.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                # Whatever ends the tests ends the machine: a signal, too, that no fixture outlives.
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--fork", "--kill-child", *NAMESPACES, "sh"),
                *(CHECKOUT / "tests/boot.sh", CHECKOUT, sysconfig.get_path("purelib")),
                *(sys.base_prefix, image, group),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    listener = None
    try:
        machine = _come_up(process, log)
        listener = machine.follow()
        yield machine
    finally:
        process.kill()
        process.wait()
        if listener is not None:  # everything inside has ended with process 1
            listener.join()
        _remove_cgroup(group)


def _drop_in(folder: Path, unit: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "under-test.conf").write_text(f"[Service]\n{_command(unit)}\n{text}")


def _command(unit: Path) -> str:
    """This Python and this checkout in place of the command that `make install` makes."""
    found = re.search(r"(?m)^ExecStart=\S*sharpend (.*)$", unit.read_text())
    assert found is not None
    return (
        f"Environment=PYTHONPATH={_UNDER_TEST}/code:{_UNDER_TEST}/packages\n"
        "Environment=PYTHONDONTWRITEBYTECODE=1\n"
        f"Environment=LD_LIBRARY_PATH={_UNDER_TEST}/python/lib\n"
        "ExecStart=\n"
        f"ExecStart={command()} {found[1]}"
    )


def command() -> str:
    """The command `sharpend` of this checkout, as it is called inside."""
    program = Path(os.path.realpath(sys.executable)).relative_to(os.path.realpath(sys.base_prefix))
    return f"{_UNDER_TEST}/python/{program} -m sharpend"


def _come_up(process: subprocess.Popen[bytes], log: Path) -> Machine:
    def up() -> Machine | None:
        assert process.poll() is None
        first = next(iter(psutil.Process(process.pid).children()), None)
        if first is None or first.name() != "systemd":
            return None
        machine = Machine(first.pid)
        state = machine.run("systemctl", "is-active", "booted.target", check=False)
        return machine if state.strip() == "active" else None

    try:
        machine = until(up)
    except AssertionError as error:
        raise AssertionError(f"systemd did not come up: {log.read_text()}") from error
    assert machine is not None
    return machine


def _remove_cgroup(name: str) -> None:
    for root in _CGROUPS:
        if (root / name).is_dir():
            until(lambda root=root: _emptied(root / name))  # type: ignore[misc]


def _emptied(group: Path) -> bool:
    """Remove a control group and those below; False while its last processes still end."""
    with suppress(OSError):
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    return not group.exists()


def _ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=WITHIN_S)
