"""Room on disks: size and free bytes of the file system that a folder is on.

statvfs(2) never returns on a network mount that hangs. So each folder is queried in a thread of its
own, and not again before that thread has returned: at most one thread hangs for each folder.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 2.0
"""Seconds after which a file system counts as hanging."""


class Room(NamedTuple):
    """Room of a file system."""

    size_bytes: int
    available_bytes: int
    """Bytes that a process without privileges can still write."""


def room_of(folder: bytes) -> Room | None:
    """Ask the file system of a folder; None if it is missing or refused."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return Room(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


class RoomReader:
    """Reader of the room of folders, for any number of threads.

    Args:
        ask: asks the file system of a folder; may never return.
        patience_s: seconds to wait for an answer.
    """

    def __init__(
        self, ask: Callable[[bytes], Room | None] = room_of, patience_s: float = PATIENCE_S
    ) -> None:
        self._ask = ask
        self._patience_s = patience_s
        self._asked: set[bytes] = set()
        self._lock = threading.Lock()

    def read(self, folder: bytes) -> Room | None:
        """Return the room of a folder; None if it is missing or refused.

        None too while an earlier question about it has no answer.
        """
        with self._lock:
            if folder in self._asked:
                return None
            self._asked.add(folder)
        answers: queue.SimpleQueue[Room | None] = queue.SimpleQueue()
        threading.Thread(target=self._look, args=(folder, answers), daemon=True).start()
        try:
            return answers.get(timeout=self._patience_s)
        except queue.Empty:
            return None

    def _look(self, folder: bytes, answers: queue.SimpleQueue[Room | None]) -> None:
        room = self._ask(folder)
        with self._lock:
            self._asked.discard(folder)
        answers.put(room)
