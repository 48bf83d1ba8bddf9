"""Uploads that an outage of object storage has left: dropped as soon as the store answers again.

Owns the interval and the thread, so that requests do not hold up the main loop. A start does the
same for what an earlier process left (`commit.stale`).
"""

from __future__ import annotations

import math
import threading

from sharpend.commit.stale import drop
from sharpend.files.objects.uploads import Uploads

EVERY_S = 30.0


class Leftovers:
    """Leftovers of one state directory; all methods are called from one thread.

    Args:
        spool: with their records; None: no folder is in object storage.
    """

    def __init__(self, spool: bytes | None) -> None:
        self._uploads = None if spool is None else Uploads(spool)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._next_s = -math.inf

    def step(self, now_s: float) -> None:
        """Begin to drop what is left, every half a minute; `now_s` is monotonic seconds."""
        if self._uploads is None or now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        if self._thread is not None and self._thread.is_alive():
            return
        if temps := self._uploads.leftovers():
            given = (self._uploads, temps, lambda: not self._closing.is_set())
            self._thread = threading.Thread(target=drop, args=given, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End after the request in progress."""
        self._closing.set()
