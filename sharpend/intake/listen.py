"""Keep a living watch on a folder, or a reason to poll it.

Owns the decision between the two. Refuses to give up on watching: where the kernel's limits
forbid it, it is tried again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpend.intake.watch import Dirty, Watch, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_GATHER_S = 0.2  # events are gathered this long, so that a burst counts as one


class Listener:
    """The ears of one folder. All times are monotonic seconds.

    Args:
        root: the folder.
        recursive: whether the directories below it belong to it.
        why_polled: a reason never to watch, or None.
        retry_s: how long to poll before a watch that was refused is tried again.
        wake: asks for a step soon; called from another thread.
    """

    def __init__(
        self,
        root: bytes,
        *,
        recursive: bool,
        why_polled: str | None,
        retry_s: float,
        wake: Callable[[], None],
    ) -> None:
        self.polling = why_polled
        """Why the folder has to be scanned periodically, or None while it is watched."""
        self._root = root
        self._recursive = recursive
        self._never = why_polled is not None
        self._retry_s = retry_s
        self._wake = wake
        self._watch: Watch | None = None
        self._renew_after_s = -math.inf
        self._hear_after_s = -math.inf

    def renew(self, now_s: float) -> None:
        """Start the watch, replace one that died, or find out why there can be none.

        To be called before each whole scan: what a dead watch missed, the scan then finds.
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

    def hear(self, now_s: float) -> Dirty:
        """Fetch what got dirty; nothing while events are being gathered.

        A watch that died makes everything dirty.
        """
        if self._watch is None or now_s < self._hear_after_s:
            return Dirty()
        if not self._watch.alive():
            return Dirty(everything=True)
        if not self._watch.pending:
            return Dirty()
        self._hear_after_s = now_s + _GATHER_S
        return self._watch.take()

    @property
    def next_s(self) -> float:
        """When to `hear` again; infinite where only `wake` can tell."""
        return self._hear_after_s if self._watch and self._watch.pending else math.inf

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
