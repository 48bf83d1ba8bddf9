"""Upkeep of object storage: log outages of the endpoint, drop the uploads that an outage left.

Owns the two events of an outage, which concerns all folders of the endpoint: one names them when it
begins for the first of them, one when the store answers again. Their own pauses are not logged.
Uploads that an outage has left are dropped in a thread; a start does the same for what an earlier
process left (`commit.stale`).
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from sharpend.commit.stale import drop
from sharpend.daemon.roots import named_roots
from sharpend.files.objects.client import outage
from sharpend.files.objects.uploads import Uploads
from sharpend.files.remote import is_remote
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.commit.destination import Destination
    from sharpend.logs.logs import Log


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


class StoreUpkeep:
    """Upkeep of the store of one process; all methods are called from one thread.

    Args:
        spool: with the records of uploads; None: no folder is in object storage.
        destinations: of all folders.
        log: for outages.
    """

    def __init__(self, spool: bytes | None, destinations: Sequence[Destination], log: Log) -> None:
        self._leftovers = Leftovers(spool)
        self._folders = [
            one.folder
            for one in destinations
            if any(is_remote(root) for root, _ in named_roots(one))
        ]
        self._log = log
        self._is_out = False

    def covers(self, reason: str) -> bool:
        """Return whether the reason of a folder's pause is an outage; the first one logs it."""
        cause = outage().cause
        if cause is None or cause not in reason:
            return False
        if not self._is_out:
            self._is_out = True
            self._log.error(Event.STORE_PAUSED, folders=self._folders, reason=cause)
        return True

    def step(self, now_s: float) -> None:
        """Log the end of an outage, and drop what it has left; `now_s` is monotonic seconds."""
        if self._is_out and outage().cause is None:
            self._is_out = False
            self._log.info(Event.STORE_RESUMED, folders=self._folders)
        self._leftovers.step(now_s)

    def close(self) -> None:
        """End after the request in progress."""
        self._leftovers.close()
