"""Run of `sharpend once` as a child process, with the events of its log.

It has a state directory of its own, and no settings but those given.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sharpend.benchmark.live import LOGGED, parsed
from sharpend.errors import UnavailableError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FEWEST_IMAGES = 2
"""For a throughput."""
STAGES = ("decode_s", "measure_s", "infer_s", "encode_s")
_OBSERVATIONS = ("agree_s", "canary_s", "preview_s")


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
    observed_s: tuple[float, ...]
    """Comparisons with a teacher, and preview, of each image together; 0 of most."""
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
        return cores / fmean(self.stages_s[skip:])

    def rest_s(self, cores: int, *, skip: int) -> float:
        """Processor time of an image after `skip`, without its stages and observations.

        That is what the daemon's own process takes from the workers, and time without work.
        """
        in_workers_s = fmean(self.stages_s[skip:]) + fmean(self.observed_s[skip:])
        return cores / self.images_per_s(skip=skip) - in_workers_s


def run_once(source: Path, scratch: Path, options: Mapping[str, str]) -> Run:
    """Sharpen all images of a folder by `sharpend once`.

    Args:
        source: the input folder.
        scratch: a folder for outputs and state, made where it is missing.
        options: settings by the name of their environment variable.

    Raises:
        UnavailableError: the command failed, and the text is the last line of its log; or it
            sharpened a single image.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    settings = scratch / "sharpend.toml"
    settings.touch()
    command = [sys.executable, "-m", "sharpend", "once", "--config", str(settings)]
    before, began = os.times(), time.time()
    done = subprocess.run(
        [*command, "--input", source, "--output", scratch / "out", "--state", scratch / "state"],
        env={**os.environ, **LOGGED, **options},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.time() - began, os.times()
    if done.returncode:
        raise UnavailableError(f"sharpend once failed: {done.stderr.strip().splitlines()[-1]}")
    events = list(parsed(line for line in done.stderr.splitlines() if line.startswith("{")))
    ready = next(event for event in events if event["event"] == Event.DAEMON_READY)
    finished = [event for event in events if event.get("outcome") == "sharpened"]
    if 0 < len(finished) < FEWEST_IMAGES:
        raise UnavailableError(f"{source}: at least {FEWEST_IMAGES} images are needed")
    return Run(
        seconds=seconds,
        cpu_s=sum(after[2:4]) - sum(before[2:4]),
        ready_s=_since(began, ready),
        finished_s=tuple(_since(began, event) for event in finished),
        stages_s=tuple(sum(event[stage] for stage in STAGES) for event in finished),
        observed_s=tuple(sum(one.get(key, 0.0) for key in _OBSERVATIONS) for one in finished),
        workers=ready["workers"],
    )


def _since(began: float, event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp() - began
