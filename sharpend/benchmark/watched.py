"""Section on the status page: throughput of a daemon that is looked at, against one that is not."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sharpend.benchmark.batches import Batch, running_in
from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.benchmark.live import LOGGED, tree_cpu_s
from sharpend.errors import UnavailableError
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
_WATCHED = "page open and scraped"
_UNWATCHED: Mapping[str, str] = {"SHARPEND_PREVIEWS__COUNT": "0"}
"""Environment of the daemon that is not looked at."""


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
    pairs: list[tuple[Batch, Batch]] = []
    with ExitStack() as stack:
        alone = stack.enter_context(running_in(scratch / "alone", {**environment, **_UNWATCHED}))
        watched = stack.enter_context(running_in(scratch / "watched", environment))

        def looked_at() -> Batch:
            with _looked_at(scratch / "watched" / "state") as page_cpu_s:
                return watched.batch(images, page_cpu_s)

        for number in range(_PAIRS + 1):
            if number % 2:
                second, first = looked_at(), alone.batch(images)
            else:
                first, second = alone.batch(images), looked_at()
            pairs += [(first, second)] * bool(number)  # the first is a warm-up
    note = f"{model}, {len(images)} images a batch on {cores()} cores, {_PAIRS} pairs."
    return Table(_TITLE, ("images/s", "ratio", _CPU, "processor ratio"), _rows(pairs), [note])


_TITLE = "The daemon with its status page"
_CPU = "processor time, ms an image"


def _rows(pairs: list[tuple[Batch, Batch]]) -> dict[str, dict[str, Cell]]:
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
