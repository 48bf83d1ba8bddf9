"""Attempts at one image: retry limits and waits, and removal of an interrupted attempt's file."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.backoff import Backoff
from sharpend.errors import ImageRefusedError
from sharpend.files.beneath import directory
from sharpend.files.remote import is_remote

if TYPE_CHECKING:
    from sharpend.task import Task


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """Limits and waits of retries after transient failures."""

    attempts: int = 8
    first_s: float = 5.0
    longest_s: float = 600.0

    def wait_s(self, attempts: int) -> float:
        """Return the wait in seconds after so many attempts."""
        return Backoff(self.first_s, self.longest_s).wait_s(attempts)


def discard(task: Task | None) -> None:
    """Remove the unfinished temporary file of an interrupted task, if there is one."""
    if task is None:
        return
    if is_remote(task.output_root):  # `workers.transfers` knows how far it had come
        return
    with (
        suppress(OSError, ImageRefusedError),
        directory(task.output_root, task.output_parent) as parent,
    ):
        os.unlink(task.temp_name, dir_fd=parent)
