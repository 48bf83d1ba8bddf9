"""Section on the status page: throughput of a daemon that is looked at, against one that is not."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.benchmark.live import LOGGED, LiveDaemon, running_daemon
from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.machine import cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LEAST_S = 2.0
"""Time between two loads of a page by a browser (`web/static/page.js`)."""
_SCRAPED_EVERY_S = 1.0
_TIMEOUT_S = 60.0
_BATCHES = 5
"""Batches of each daemon, after one that is not counted."""
_UNWATCHED: Mapping[str, str] = {"SHARPEND_PREVIEWS__COUNT": "0"}
"""Environment of the daemon that is not looked at."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A running daemon with its folder."""

    daemon: LiveDaemon
    base: Path
    numbers: Iterator[int]

    def images_per_s(self, source: list[Path]) -> float:
        """Measure images per second, from the first to the last of a batch that comes at once."""
        for path in source:
            staged = self.base / "staged"
            shutil.copyfile(path, staged)
            os.rename(staged, self.base / "input" / f"{next(self.numbers)}{path.suffix}")
        self.daemon.await_event(Event.IMAGE_FINISHED)
        began_s = time.monotonic()
        for _ in source[1:]:
            self.daemon.await_event(Event.IMAGE_FINISHED)
        return (len(source) - 1) / (time.monotonic() - began_s)


def page(source: Path, scratch: Path, model: str) -> Table:
    """Measure two daemons in turn: one alone, and one with previews, an open page and a scraper.

    Args:
        source: folder with at least two images.
        scratch: an empty folder.
        model: as `model.name` takes it.
    """
    images = sorted(path for path in source.iterdir() if path.is_file())
    found: dict[str, list[float]] = {"alone": [], "page open and scraped": []}
    environment = {"SHARPEND_MODEL__NAME": model}
    with ExitStack() as stack:
        alone = stack.enter_context(_running(scratch / "alone", {**environment, **_UNWATCHED}))
        watched = stack.enter_context(_running(scratch / "watched", environment))
        for number in range(_BATCHES + 1):
            rates = [alone.images_per_s(images)]
            with _looked_at(scratch / "watched" / "state"):
                rates.append(watched.images_per_s(images))
            for row, rate in zip(found, rates, strict=True):
                found[row] += [rate] * bool(number)  # the first is a warm-up
    first, second = found.values()
    ratio = Figure.of(two / one for one, two in zip(first, second, strict=True))
    rows: dict[str, dict[str, Cell]] = {
        row: {"images/s": Figure.of(rates)} for row, rates in found.items()
    }
    rows["page open and scraped"]["ratio"] = ratio
    notes = [f"{model}, {len(images)} images a batch on {cores()} cores, batches in turn."]
    return Table("The daemon with its status page", ("images/s", "ratio"), rows, notes)


@contextmanager
def _running(base: Path, environment: Mapping[str, str]) -> Iterator[_Place]:
    """Run a daemon with folders of its own."""
    (base / "input").mkdir(parents=True)
    options = ["--input", str(base / "input"), "--output", str(base / "output")]
    options += ["--state", str(base / "state")]
    with running_daemon(options, environment) as daemon:
        daemon.await_event(Event.DAEMON_READY)
        yield _Place(daemon, base, itertools.count())


@contextmanager
def _looked_at(state: Path) -> Iterator[None]:
    """Serve the page of a state directory, keep it open as a browser does, and scrape it."""
    command = [sys.executable, "-m", "sharpend", "web", "--state", str(state)]
    ended, lookers = threading.Event(), list[threading.Thread]()
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **LOGGED},
    ) as server:
        try:
            address = urlsplit(_address(server)).netloc
            for look in (_browse, _scrape):
                lookers.append(threading.Thread(target=look, args=(address, ended)))
                lookers[-1].start()
            yield
        finally:
            ended.set()
            server.terminate()
    for one in lookers:
        one.join()


def _address(server: subprocess.Popen[str]) -> str:
    """Return where the page answers; UnavailableError if it does not start."""
    line = "" if server.stderr is None else server.stderr.readline()
    with suppress(ValueError, KeyError):
        return str(json.loads(line)["address"])
    raise UnavailableError(f"the status page did not start: {line.strip()}")


def _browse(address: str, ended: threading.Event) -> None:
    """Load the overview at each change, as the script of the page does."""
    stream = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    with suppress(OSError, http.client.HTTPException):  # the server has ended
        stream.request("GET", "/events")
        lines = stream.getresponse()
        while not ended.is_set() and (line := lines.readline()):
            if line.startswith(b"event: changed"):
                _get(address, "/")
                ended.wait(_LEAST_S)
    stream.close()


def _scrape(address: str, ended: threading.Event) -> None:
    """Ask for the metrics again and again."""
    while not ended.wait(_SCRAPED_EVERY_S):
        with suppress(OSError, http.client.HTTPException):  # as above
            _get(address, "/metrics")


def _get(address: str, path: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Accept": "text/html"})
        connection.getresponse().read()
    finally:
        connection.close()
