"""Free space: size and free bytes of the file system that a folder is on, for the metrics.

statvfs(2) never returns on a network mount that hangs. So each folder is queried in a thread of its
own, and not again before that thread has returned: at most one thread hangs for each folder. What a
full disk leads to is decided in `disk_errors`.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 2.0
"""Seconds after which a file system counts as hanging."""


class DiskSpace(NamedTuple):
    """Size of a file system, and what a user may still write."""

    size_bytes: int
    available_bytes: int
    """Bytes that a process without privileges can still write."""


def disk_space_of(folder: bytes) -> DiskSpace | None:
    """Ask the file system of a folder; None if it is missing or refused."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


class DiskSpaceReader:
    """Reader of the free space of folders, for any number of threads.

    Args:
        ask: asks the file system of a folder; may never return.
        patience_s: seconds to wait for an answer.
    """

    def __init__(
        self,
        ask: Callable[[bytes], DiskSpace | None] = disk_space_of,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ask = ask
        self._patience_s = patience_s
        self._asked: dict[bytes, tuple[Future[DiskSpace | None], float]] = {}
        """Answers that are awaited, and the monotonic times until which they are."""
        self._lock = threading.Lock()

    def read(self, folder: bytes) -> DiskSpace | None:
        """Return the space of a folder; None if it is missing, refused or does not respond.

        Threads that ask at the same time share one question and its answer.
        """
        with self._lock:
            if folder not in self._asked:
                self._asked[folder] = Future(), time.monotonic() + self._patience_s
                threading.Thread(target=self._look, args=(folder,), daemon=True).start()
            answer, until_s = self._asked[folder]
        try:
            return answer.result(timeout=max(0.0, until_s - time.monotonic()))
        except TimeoutError:
            return None

    def _look(self, folder: bytes) -> None:
        space = self._ask(folder)
        with self._lock:
            answer, _ = self._asked.pop(folder)
        answer.set_result(space)
