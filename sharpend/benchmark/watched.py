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
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.benchmark.live import LOGGED, LiveDaemon, running_daemon, tree_cpu_s
from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_LEAST_S = 2.0
"""Time between two loads of a page by a browser (`web/static/page.js`)."""
_SCRAPED_EVERY_S = 1.0
_TIMEOUT_S = 60.0
_PAIRS = 7
"""Pairs of batches, after one that is not counted."""
_DEADLINE_S = 3600.0
"""For all pairs together, on a machine that is busy with other things."""
_WATCHED = "page open and scraped"
_UNWATCHED: Mapping[str, str] = {"SHARPEND_PREVIEWS__COUNT": "0"}
"""Environment of the daemon that is not looked at."""


class _Measured(NamedTuple):
    """One batch: speed, and what it cost."""

    images_per_s: float
    cpu_s: float
    """Processor time of an image, of the daemon with its workers and of the page."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A running daemon with its folder."""

    daemon: LiveDaemon
    base: Path
    numbers: Iterator[int]

    def measure(self, source: list[Path], page_cpu_s: Callable[[], float]) -> _Measured:
        """Measure a batch that comes at once, from its first image to its last."""
        for path in source:
            staged = self.base / "staged"
            shutil.copyfile(path, staged)
            os.rename(staged, self.base / "input" / f"{next(self.numbers)}{path.suffix}")
        self.daemon.await_event(Event.IMAGE_FINISHED)
        began_s, used_s = time.monotonic(), self.daemon.tree_cpu_s() + page_cpu_s()
        for _ in source[1:]:
            self.daemon.await_event(Event.IMAGE_FINISHED)
        took_s, count = time.monotonic() - began_s, len(source) - 1
        used_s = self.daemon.tree_cpu_s() + page_cpu_s() - used_s
        return _Measured(count / took_s, used_s / count)


def page(source: Path, scratch: Path, model: str) -> Table:
    """Measure two daemons in pairs: one alone, and one with previews, an open page and a scraper.

    Each pair begins with the other one, and the ratio is the median of those of the pairs, so that
    other load falls on both. On a machine that is busy all the same, look at the processor time: it
    is what the page takes away from the images.

    Args:
        source: folder with at least two images.
        scratch: an empty folder.
        model: as `model.name` takes it.
    """
    images = sorted(path for path in source.iterdir() if path.is_file())
    environment = {"SHARPEND_MODEL__NAME": model}
    pairs: list[tuple[_Measured, _Measured]] = []
    with ExitStack() as stack:
        alone = stack.enter_context(_running(scratch / "alone", {**environment, **_UNWATCHED}))
        watched = stack.enter_context(_running(scratch / "watched", environment))

        def looked_at() -> _Measured:
            with _looked_at(scratch / "watched" / "state") as page_cpu_s:
                return watched.measure(images, page_cpu_s)

        for number in range(_PAIRS + 1):
            if number % 2:
                second, first = looked_at(), alone.measure(images, lambda: 0.0)
            else:
                first, second = alone.measure(images, lambda: 0.0), looked_at()
            pairs += [(first, second)] * bool(number)  # the first is a warm-up
    note = f"{model}, {len(images)} images a batch on {cores()} cores, {_PAIRS} pairs."
    return Table(_TITLE, ("images/s", "ratio", _CPU, "processor ratio"), _rows(pairs), [note])


_TITLE = "The daemon with its status page"
_CPU = "processor time, ms an image"


def _rows(pairs: list[tuple[_Measured, _Measured]]) -> dict[str, dict[str, Cell]]:
    """Summarise the pairs: speeds and their ratio, costs and their ratio."""
    rows: dict[str, dict[str, Cell]] = {}
    for row, batches in zip(("alone", _WATCHED), zip(*pairs, strict=True), strict=True):
        rows[row] = {
            "images/s": Figure.of(one.images_per_s for one in batches),
            _CPU: Figure.of(one.cpu_s * 1000 for one in batches),
        }
    rows[_WATCHED]["ratio"] = Figure.of(two.images_per_s / one.images_per_s for one, two in pairs)
    rows[_WATCHED]["processor ratio"] = Figure.of(one.cpu_s / two.cpu_s for one, two in pairs)
    return rows


@contextmanager
def _running(base: Path, environment: Mapping[str, str]) -> Iterator[_Place]:
    """Run a daemon with folders of its own."""
    (base / "input").mkdir(parents=True)
    options = ["--input", str(base / "input"), "--output", str(base / "output")]
    options += ["--state", str(base / "state")]
    with running_daemon(options, environment, _DEADLINE_S) as daemon:
        daemon.await_event(Event.DAEMON_READY)
        yield _Place(daemon, base, itertools.count())


@contextmanager
def _looked_at(state: Path) -> Iterator[Callable[[], float]]:
    """Serve the page of a state directory, keep it open as a browser does, and scrape it.

    Yields:
        A function that returns the processor time of the page's process so far, seconds.
    """
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
            yield partial(tree_cpu_s, server.pid)
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
