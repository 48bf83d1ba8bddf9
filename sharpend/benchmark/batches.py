"""Batches of images through a running daemon, which come at once and are timed from end to end."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sharpend.benchmark.live import LiveDaemon, running_daemon
from sharpend.benchmark.once import STAGES
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_DEADLINE_S = 3600.0
"""For all batches of a daemon together, on a machine that is busy with other things."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Batch that has ended, timed from the last image that is not counted to its last one.

    By the times in the daemon's log, as this process may read several lines late and at once.
    """

    wall_s: float
    used_s: float
    """Processor time of the daemon with its local workers."""
    events: Sequence[Mapping[str, Any]]
    """`image.finished` of all images that are counted."""

    @property
    def images_per_s(self) -> float:
        """Throughput."""
        return len(self.events) / self.wall_s

    @property
    def cpu_s(self) -> float:
        """Processor time of an image."""
        return self.used_s / len(self.events)

    def busy(self, places: int) -> float:
        """Share of the time of so many places that had an image in progress.

        A place is a worker, or a core where workers outnumber the cores that they share: images
        beyond one for each place wait for a core, and do not count. An image is in progress from
        when its worker gets it.
        """
        ends = [_finished_at(one) for one in self.events]
        last_s = max(ends)
        first_s, changes = last_s - self.wall_s, list[tuple[float, int]]()
        for end_s, event in zip(ends, self.events, strict=True):
            begin_s = end_s - float(event["seconds"])
            until_s = min(begin_s + _work_s(event), last_s)
            if until_s > first_s:
                changes += [(max(begin_s, first_s), 1), (until_s, -1)]
        busy_s, in_work, since_s = 0.0, 0, first_s
        for at_s, change in sorted(changes):
            busy_s += min(in_work, places) * (at_s - since_s)
            in_work, since_s = in_work + change, at_s
        return busy_s / (places * self.wall_s)

    @property
    def beside_s(self) -> float:
        """Median overhead of an image in seconds: transfer to and from its worker, and commit."""
        return statistics.median([float(one["seconds"]) - _work_s(one) for one in self.events])


def _finished_at(event: Mapping[str, Any]) -> float:
    """Return when an image was finished, in seconds since the epoch."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def _work_s(event: Mapping[str, Any]) -> float:
    return float(sum(event[stage] for stage in STAGES))


@dataclass(frozen=True, slots=True)
class Place:
    """A running daemon with its folder."""

    daemon: LiveDaemon
    base: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def batch(
        self,
        source: Sequence[Path],
        other_cpu_s: Callable[[], float] = float,
        *,
        uncounted: int = 1,
    ) -> Batch:
        """Put images into the input at once, and wait until all are finished.

        Args:
            source: the images.
            other_cpu_s: returns the processor time so far of other processes that are counted.
            uncounted: images that are finished before the clock starts; fewer than all.
        """
        for path in source:
            staged = self.base / "staged"
            shutil.copyfile(path, staged)
            os.rename(staged, self.base / "input" / f"{next(self._numbers)}{path.suffix}")
        began_s = time.time()
        for _ in range(uncounted):
            began_s = _finished_at(self.daemon.await_event(Event.IMAGE_FINISHED))
        used_s = self.daemon.tree_cpu_s() + other_cpu_s()
        events = [self.daemon.await_event(Event.IMAGE_FINISHED) for _ in source[uncounted:]]
        took_s = max(map(_finished_at, events)) - began_s
        return Batch(took_s, self.daemon.tree_cpu_s() + other_cpu_s() - used_s, events)


@contextmanager
def running_in(base: Path, environment: Mapping[str, str]) -> Iterator[Place]:
    """Run a daemon with folders of its own."""
    (base / "input").mkdir(parents=True)
    options = ["--input", str(base / "input"), "--output", str(base / "output")]
    options += ["--state", str(base / "state")]
    with running_daemon(options, environment, _DEADLINE_S) as daemon:
        daemon.await_event(Event.DAEMON_READY)
        yield Place(daemon, base)
