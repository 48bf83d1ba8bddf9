"""Runs of whole `sharpend` commands as child processes, with the events of their logs.

Owns the environment in which a benchmark runs the command line: JSON logs, a state directory of its
own, and no settings but those given.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sharpend.errors import UnavailableError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STAGES = ("decode_s", "measure_s", "infer_s", "encode_s")


@dataclass(frozen=True, slots=True)
class Run:
    """One `sharpend once` from start to end."""

    seconds: float
    """Of the whole command."""
    cpu_s: float
    """Processor time of the command and its workers."""
    ready_s: float
    """From the start to `daemon.ready`."""
    finished_s: tuple[float, ...]
    """From the start to each `image.finished`, in order."""
    stages_s: tuple[float, ...]
    """Decode, measure, infer and encode of each image together."""
    workers: int

    @property
    def first_s(self) -> float:
        """From the start to the first output."""
        return self.finished_s[0]

    def images_per_s(self, *, skip: int) -> float:
        """Throughput after the first `skip` images."""
        return (len(self.finished_s) - skip) / (self.finished_s[-1] - self.finished_s[skip - 1])

    def roofline(self, cores: int, *, skip: int) -> float:
        """Images a second, if all cores did nothing but the stages of images after `skip`."""
        counted = self.stages_s[skip:]
        return cores * len(counted) / sum(counted)


def run_once(source: Path, scratch: Path, options: Mapping[str, str]) -> Run:
    """Sharpen all images of a folder by `sharpend once`.

    Args:
        source: the input folder.
        scratch: an empty folder for outputs and state.
        options: settings by the name of their environment variable.

    Raises:
        UnavailableError: the command failed; the text is the last line of its log.
    """
    before, began = os.times(), time.time()
    done = subprocess.run(
        [*_COMMAND, "once", "--input", source, "--output", scratch / "output", *_state(scratch)],
        env={**os.environ, **_LOGGED, **options},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.time() - began, os.times()
    if done.returncode:
        raise UnavailableError(f"sharpend once failed: {done.stderr.strip().splitlines()[-1]}")
    events = list(_events(done.stderr.splitlines()))
    ready = next(event for event in events if event["event"] == Event.DAEMON_READY)
    finished = [event for event in events if event.get("outcome") == "sharpened"]
    return Run(
        seconds=seconds,
        cpu_s=sum(after[2:4]) - sum(before[2:4]),
        ready_s=_since(began, ready),
        finished_s=tuple(_since(began, event) for event in finished),
        stages_s=tuple(sum(event[stage] for stage in STAGES) for event in finished),
        workers=ready["workers"],
    )


@dataclass(slots=True)
class Daemon:
    """Running daemon."""

    process: subprocess.Popen[str]
    lines: Iterator[str]
    seen: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, wanted: Event) -> dict[str, Any]:
        """Return the next event of a kind.

        Raises:
            UnavailableError: the daemon ended before.
        """
        for event in _events(self.lines):
            if event["event"] == wanted:
                return event
        raise UnavailableError(f"the daemon ended before {wanted}")

    def cpu_s(self) -> float:
        """Processor time of the daemon's own process so far, seconds."""
        with open(f"/proc/{self.process.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(settings: str, scratch: Path) -> Iterator[Daemon]:
    """Run a daemon for the length of a block, ready at its start.

    Args:
        settings: TOML.
        scratch: a folder for settings and state.

    Raises:
        UnavailableError: it did not start.
    """
    path = scratch / "sharpend.toml"
    path.write_text(settings)
    process = subprocess.Popen(
        [*_COMMAND, "run", "--config", path, *_state(scratch)],
        env={**os.environ, **_LOGGED},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None  # noqa: S101 - tells the type checker
    with process:
        try:
            daemon = Daemon(process, iter(process.stderr))
            daemon.wait_for(Event.DAEMON_READY)
            yield daemon
        finally:
            process.send_signal(signal.SIGTERM)
            for _ in process.stderr:  # a full pipe would hold the daemon
                pass


_COMMAND = [sys.executable, "-m", "sharpend"]
_LOGGED = {"SHARPEND_LOG__FORMAT": "json", "SHARPEND_LOG__LEVEL": "info"}


def _state(scratch: Path) -> list[str]:
    return ["--state", str(scratch / "state")]


def _events(lines: Iterator[str] | list[str]) -> Iterator[dict[str, Any]]:
    """Parse the lines of a log that are events; others are for people."""
    for line in lines:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


def _since(began: float, event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp() - began
