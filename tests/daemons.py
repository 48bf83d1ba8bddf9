"""Real daemon processes for tests: started, listened to event by event, signalled, always ended.

Waiting is for events with a deadline, never for time to pass. A line on stderr that is no event is
a traceback or a warning of ours, so a daemon that wrote one fails its test.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import psutil  # type: ignore[import-untyped]

from sharpend.workers.ahead import PROGRAM
from tests.described import undescribed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")
Test: TypeAlias = "Callable[[dict[str, Any]], bool]"
WITHIN_S = 300.0
"""Far more than anything takes on a slow machine beside other load: only a hang is a failure."""


class Heard(Generic[T]):
    """What one thread receives and another waits for; each thing answers one wait.

    Args:
        look: is called each second of a wait, and raises where nothing more can come.
    """

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._taken: set[int] = set()
        self._ended = False
        self.all: list[T] = []

    def add(self, thing: T) -> None:
        """Take in one thing more."""
        with self._changed:
            self.all.append(thing)
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more comes: who waits fails now."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, wanted: Callable[[T], bool], what: str, within_s: float = WITHIN_S) -> T:
        """The first thing wanted that no earlier call has taken; waits for it."""
        deadline_s = time.monotonic() + within_s
        with self._changed:
            while True:
                for number, thing in enumerate(self.all):
                    if number not in self._taken and wanted(thing):
                        self._taken.add(number)
                        return thing
                left_s = deadline_s - time.monotonic()
                if self._ended or left_s <= 0:
                    last = "\n".join(str(thing) for thing in self.all[-30:])
                    until = "until its end" if self._ended else f"within {within_s:g} s"
                    raise AssertionError(f"no {what} {until}; the last:\n{last}")
                if not self._changed.wait(min(left_s, 1.0)):
                    self._look()


class Daemon:
    """A running `sharpend run`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.text: list[str] = []
        """Lines on stderr that were no events."""
        self.unprintable: list[bytes] = []
        """Lines with characters that could steer a terminal or forge a line."""
        self.undescribed: list[str] = []
        """What lines hold that the reference of the log does not have."""
        self._heard: Heard[dict[str, Any]] = Heard()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                if not line.decode(errors="replace").removesuffix("\n").isprintable():
                    self.unprintable.append(line)
                try:
                    heard = json.loads(line)
                except ValueError:
                    self.text.append(line.decode(errors="replace"))
                else:
                    self.undescribed += undescribed(heard)
                    self._heard.add(heard)
        self._heard.end()

    def wait_for(
        self, event: str, *, within_s: float = WITHIN_S, where: Test = bool, **values: object
    ) -> Any:  # noqa: ANN401 - JSON
        """The next event with these values; events of one kind are taken one after the other."""

        def wanted(heard: dict[str, Any]) -> bool:
            return (
                heard["event"] == event
                and all(heard[key] == values[key] for key in values)
                and where(heard)
            )

        return self._heard.take(wanted, f"{event} {values}", within_s)

    def events(self, event: str, **values: object) -> list[dict[str, Any]]:
        """All events of a kind so far with these values."""
        return [
            heard
            for heard in self._heard.all
            if heard["event"] == event and all(heard[key] == values[key] for key in values)
        ]

    def workers(self) -> list[psutil.Process]:
        """Its worker processes, the youngest last."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        forked = {child.pid: child for child in children if PROGRAM in command_of(child)}
        workers = [child for child in forked.values() if parent_of(child) in forked]  # no servers
        return sorted(workers, key=lambda child: child.create_time())

    def memory_mb(self) -> float:
        """What its own process holds in memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)

    def holds(self) -> tuple[int, int]:
        """How many descriptors and threads its own process has; 0 for what root alone may count."""
        process, descriptors = psutil.Process(self.process.pid), 0
        with suppress(psutil.AccessDenied):
            descriptors = process.num_fds()
        return descriptors, process.num_threads()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would; its workers must follow it."""
        workers = self.workers()
        self.process.kill()
        assert self.wait() == -signal.SIGKILL
        _, alive = psutil.wait_procs(workers, timeout=WITHIN_S)
        assert alive == []

    def stop(self, within_s: float = WITHIN_S) -> int:
        """Stop it as a service manager does; returns its exit status."""
        self.send(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float = WITHIN_S) -> int:
        """Wait for its end; returns its exit status."""
        status = self.process.wait(within_s)
        self._listener.join(within_s)
        return status


_RUNNING: list[Daemon] = []
"""Daemons whose block has not ended."""
_ORDERLY = (None, 0, -signal.SIGTERM, -signal.SIGKILL)
"""What the status of one may be that runs, or that a test has ended."""


@contextmanager
def running(
    *arguments: str | Path,
    prefix: Sequence[str] = (),
    module: str = "sharpend",
    **environment: str,
) -> Iterator[Daemon]:
    """A daemon for the length of a block; where it still runs then, it has to stop with status 0.

    Args:
        arguments: of `sharpend run`.
        prefix: a command that becomes the one that follows it.
        module: what to run in its place: the daemon with hooks in it.
        environment: on top of ours.
    """
    daemon = Daemon(
        subprocess.Popen(
            [*prefix, sys.executable, "-m", module, "run", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=surroundings(environment),
            start_new_session=True,
        )
    )
    _RUNNING.append(daemon)
    try:
        yield daemon
        if daemon.process.poll() is None:
            assert daemon.stop() == 0
    finally:
        _RUNNING.remove(daemon)
        with suppress(ProcessLookupError):
            os.killpg(daemon.process.pid, signal.SIGKILL)
        daemon.wait()
    said = "".join(daemon.text)
    assert said == "", said
    assert daemon.undescribed == []


def once(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A finished `sharpend once`."""
    return subprocess.run(
        [sys.executable, "-m", "sharpend", "once", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=surroundings(environment),
        timeout=WITHIN_S,
    )


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Our environment without what would change a daemon's settings, and these variables.

    Workers get one thread: beside other load the threads of one image wait for each other, so that
    many small images take several times as long.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SHARPEND_", "XDG_", "NOTIFY_", "WATCHDOG_", "STATE_DIRECTORY"))
    }
    return {**ours, "SHARPEND_WORKERS__THREADS": "1", **environment}


def until(condition: Callable[[], T], within_s: float = WITHIN_S, every_s: float = 0.003) -> T:
    """Look again and again at what no event reports, until it is true; not if a daemon died."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not (found := condition()):
        _require_life()
        assert time.monotonic() < deadline_s, "it did not come true"
        pause.wait(every_s)
    return found


def _require_life() -> None:
    """Fail where a daemon ended that no test has stopped."""
    for daemon in _RUNNING:
        assert daemon.process.poll() in _ORDERLY, "the daemon died:\n" + "".join(daemon.text)


class ServiceManager:
    """The receiving end of sd_notify: a real datagram socket."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._heard: Heard[list[str]] = Heard(_require_life)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        with self._socket:
            while message := self._socket.recv(65536):
                self._heard.add(message.decode().split("\n"))

    def wait_for(self, field: str) -> list[str]:
        """The next message with a field that begins like this, as its fields."""
        return self._heard.take(
            lambda fields: any(one.startswith(field) for one in fields), f"message with {field}"
        )

    def messages(self) -> list[list[str]]:
        """All messages so far."""
        return list(self._heard.all)

    def close(self) -> None:
        """Stop listening."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)
        self._listener.join()


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process; empty once it has ended, waited for or not."""
    with suppress(psutil.NoSuchProcess):  # a ZombieProcess is one of these
        return list(process.cmdline())
    return []


def parent_of(process: psutil.Process) -> int | None:
    """The process number of a process's parent; None once it has ended."""
    with suppress(psutil.NoSuchProcess):
        return int(process.ppid())
    return None


def toml(
    state: Path, settings: Mapping[str, Mapping[str, object]], *folders: Mapping[str, object]
) -> str:
    """A configuration file's text."""
    lines = [f"state = {json.dumps(str(state))}"]
    tables = [(f"[{name}]", table) for name, table in settings.items()]
    for title, table in [*tables, *(("[[folder]]", folder) for folder in folders)]:
        lines += [
            title,
            *(f"{key} = {json.dumps(value, default=str)}" for key, value in table.items()),
        ]
    return "\n".join(lines) + "\n"


def configured(
    base: Path, model: Path, *folders: dict[str, object], **tables: dict[str, object]
) -> Path:
    """A configuration with one worker in float32; without folders, of `in` and `out`."""
    settings: dict[str, dict[str, object]] = {
        "model": {"name": model, "device": "cpu", "precision": "float32", "runtime": "torch"},
        "workers": {"count": 1},
        "retry": {"first_s": 0.1},
        "agreement": {"sample": 0},
        "report": {"every_s": 1},
    }
    usual: dict[str, object] = {"input": base / "in", "output": base / "out", "settle_s": 0.1}
    (base / "in").mkdir(exist_ok=True)
    config = base / "sharpend.toml"
    config.write_text(toml(base / "state", settings | tables, *(folders or [usual])))
    return config


def temps(base: Path) -> list[Path]:
    """Our temporary files."""
    return list(base.rglob(".sharpend-*.tmp"))
