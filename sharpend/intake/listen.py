"""Choice between watching and polling a folder; restarts a watch that failed.

Owns the choice between watching and polling. If the kernel's limits do not allow a watch, it is
tried again later.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpend.intake.watch import Dirty, Watch, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_GATHER_S = 0.2  # events of this interval are handled together


class Listener:
    """Source of events for one folder. All times are monotonic seconds.

    Args:
        root: the folder.
        recursive: True includes the directories below it.
        poll_reason: reason never to watch, or None.
        retry_s: seconds of polling before a refused watch is tried again.
        wake: asks for a step soon; called from another thread.
    """

    def __init__(
        self,
        root: bytes,
        *,
        recursive: bool,
        poll_reason: str | None,
        retry_s: float,
        wake: Callable[[], None],
    ) -> None:
        self.polling = poll_reason
        """Reason why the folder is polled, or None while it is watched."""
        self._root = root
        self._recursive = recursive
        self._never = poll_reason is not None
        self._retry_s = retry_s
        self._wake = wake
        self._watch: Watch | None = None
        self._renew_after_s = -math.inf
        self._take_after_s = -math.inf

    def renew(self, now_s: float) -> None:
        """Start the watch, replace one that died, or set `polling` to the reason for none.

        Call before each full scan, which then finds the changes that a dead watch missed.
        """
        if self._never or now_s < self._renew_after_s:
            return
        try:
            self._start_or_check()
            self.polling = None
        except WatchUnavailableError as error:
            self.stop()
            self.polling = str(error)
            self._renew_after_s = now_s + self._retry_s

    def take(self, now_s: float) -> Dirty:
        """Return the changed paths; none while events are being collected.

        After the watch died, everything counts as changed.
        """
        if self._watch is None or now_s < self._take_after_s:
            return Dirty()
        if not self._watch.alive():
            return Dirty(everything=True)
        if not self._watch.pending:
            return Dirty()
        self._take_after_s = now_s + _GATHER_S
        return self._watch.take()

    @property
    def next_s(self) -> float:
        """Time of the next `take`; infinite until `wake` is called."""
        return self._take_after_s if self._watch and self._watch.pending else math.inf

    def stop(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _start_or_check(self) -> None:
        if self._watch is not None and not self._watch.alive():
            self.stop()
        if self._watch is None:
            self._watch = Watch(self._root, recursive=self._recursive, wake=self._wake)
        else:
            self._watch.check()
