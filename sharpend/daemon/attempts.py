"""Attempts at one image: how often they are repeated, and what one leaves that was cut off."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory

if TYPE_CHECKING:
    from sharpend.job import Task


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How transient failures are repeated."""

    attempts: int = 8
    first_s: float = 5.0
    longest_s: float = 600.0

    def wait_s(self, attempts: int) -> float:
        """Seconds to wait after this many attempts: doubling, up to the longest."""
        return min(self.longest_s, self.first_s * 2.0 ** min(attempts - 1, 32))


def discard(task: Task | None) -> None:
    """Remove the file that a worker which was cut short may have left half-written."""
    if task is None:
        return
    with (
        suppress(OSError, ImageRefusedError),
        directory(task.output_root, task.output_parent) as parent,
    ):
        os.unlink(task.temp_name, dir_fd=parent)
