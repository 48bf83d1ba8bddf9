"""Section on the status page: throughput of a daemon with page, previews and metrics."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from sharpend.benchmark.batches import Batch, running_in
from sharpend.benchmark.figures import Cell, Figure, Table
from sharpend.benchmark.live import LOGGED, tree_cpu_s
from sharpend.errors import UnavailableError
from sharpend.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sharpend.benchmark.batches import Place

    Look: TypeAlias = Callable[[str, threading.Event], None]

_LEAST_S = 2.0
"""Time between two loads of a page by a browser (`web/static/page.js`)."""
_SCRAPED_EVERY_S = 1.0
_TIMEOUT_S = 60.0
_UNCOUNTED = 0.25
"""Share of a batch before its clock starts: after an idle time more images get a preview."""
_FEWEST_IMAGES = 4
_WARM_UPS = 2
_BUDGET_S = 300.0
"""Time after which no further round begins."""
_FEWEST_ROUNDS = 2
_UNWATCHED: Mapping[str, str] = {"SHARPEND_PREVIEWS__COUNT": "0"}
"""Environment of the daemon that makes no previews."""
_NONE, _ALL = "none of them", "all together"
_TITLE = "The daemon with its status page"
_RATIO, _CPU, _CPU_RATIO = "ratio", "processor time, ms an image", "processor ratio"


def page(source: Path, scratch: Path, model: str, *, rounds: int, batch_s: float) -> Table:
    """Measure a daemon with previews, an open page, a scraper and all three, against none of them.

    Each batch has one with none beside it, and the two change their order with each round. The
    ratios are medians of those of the pairs, so that other load falls on both. On a machine that is
    busy all the same, look at the processor time: it is what is taken away from the images.

    Args:
        source: folder of images.
        scratch: an empty folder.
        model: as `model.name` takes it.
        rounds: at most; fewer, but at least 2, where they take more than 5 minutes.
        batch_s: about the seconds of a batch that count.
    """
    environment = {"SHARPEND_MODEL__NAME": model}
    began_s, pairs = time.monotonic(), dict[str, list[tuple[Batch, Batch]]]()
    with ExitStack() as stack:
        bare = stack.enter_context(running_in(scratch / "bare", {**environment, **_UNWATCHED}))
        drawing = stack.enter_context(running_in(scratch / "drawing", environment))
        images = _as_many(
            sorted(path for path in source.iterdir() if path.is_file()), bare, batch_s
        )
        none = partial(_measured, bare, images)
        kinds = {
            "previews": partial(_measured, drawing, images),
            "page open": partial(_measured, bare, images, _browse),
            "scraped each second": partial(_measured, bare, images, _scrape),
            _ALL: partial(_measured, drawing, images, _browse, _scrape),
        }
        drawing.batch(images)  # a warm-up; the other daemon has had one
        for number in range(rounds):
            for kind, one in kinds.items():
                pair = (none(), one()) if number % 2 else (one(), none())[::-1]
                pairs.setdefault(kind, []).append(pair)
            took_s = (time.monotonic() - began_s) / (number + 1)
            if number + 1 >= _FEWEST_ROUNDS and took_s * (number + 2) > _BUDGET_S:
                break
    note = (
        f"{model}, {len(images)} images a batch of which {_UNCOUNTED:.0%} are not counted,"
        f" {cores()} cores, {len(pairs[_ALL])} pairs each. Load average at the end:"
        f" {os.getloadavg()[0]:.1f}."
    )
    return Table(_TITLE, ("images/s", _RATIO, _CPU, _CPU_RATIO), _rows(pairs), [note])


def _as_many(images: Sequence[Path], place: Place, batch_s: float) -> Sequence[Path]:
    """Repeat or cut a list of images to a batch of this length, by the speed of warm-ups."""
    count = max(_FEWEST_IMAGES, cores())
    for _ in range(_WARM_UPS):
        rate = place.batch(list(itertools.islice(itertools.cycle(images), count))).images_per_s
        count = max(_FEWEST_IMAGES, math.ceil(rate * batch_s / (1 - _UNCOUNTED)))
    return list(itertools.islice(itertools.cycle(images), count))


def _measured(place: Place, images: Sequence[Path], *looks: Look) -> Batch:
    """Measure one batch, while it is looked at."""
    uncounted = round(len(images) * _UNCOUNTED)
    if not looks:
        return place.batch(images, uncounted=uncounted)
    with _looked_at(place.base / "state", looks) as page_cpu_s:
        return place.batch(images, page_cpu_s, uncounted=uncounted)


def _rows(pairs: Mapping[str, Sequence[tuple[Batch, Batch]]]) -> dict[str, dict[str, Cell]]:
    """Summarise the pairs: speeds and their ratio, costs and their ratio."""
    rows = {_NONE: _speeds([none for each in pairs.values() for none, _ in each])}
    for kind, each in pairs.items():
        rows[kind] = _speeds([one for _, one in each])
        rows[kind][_RATIO] = Figure.of(one.images_per_s / none.images_per_s for none, one in each)
        rows[kind][_CPU_RATIO] = Figure.of(none.cpu_s / one.cpu_s for none, one in each)
    return rows


def _speeds(batches: Sequence[Batch]) -> dict[str, Cell]:
    return {
        "images/s": Figure.of(one.images_per_s for one in batches),
        _CPU: Figure.of(one.cpu_s * 1000 for one in batches),
    }


@contextmanager
def _looked_at(state: Path, looks: Sequence[Look]) -> Iterator[Callable[[], float]]:
    """Serve the page of a state directory, and let each of `looks` ask it in a thread.

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
            for look in looks:
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
