"""Decide when a file has stopped changing.

Owns the candidates: which fingerprint each showed, and since when. Pure: time comes in as an
argument, and who looks at the file is the caller's affair. Refuses to give up on a file: one
that keeps changing stays a candidate for ever.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

WAIT_S = 2.0
"""How long a file must stay as it is, where the owner does not say."""
FINISHED_WAIT_S = 1.0
"""The same after an event that tells of a finished file."""
NETWORK_WAIT_S = 5.0
"""The same on a network file system, which may tell late of what is written elsewhere."""


class _Candidate(NamedTuple):
    fingerprint: Fingerprint
    since_s: float
    due_s: float


class Settler:
    """Files that wait to be looked at a second time."""

    def __init__(self) -> None:
        self._candidates: dict[bytes, _Candidate] = {}
        # A candidate whose due time moves gets a second entry; the stale one is dropped when met.
        self._agenda: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def next_due_s(self) -> float:
        """When the next candidate wants a look; may be early, infinite where there is none."""
        return self._agenda[0][0] if self._agenda else math.inf

    def waits(self, relative: bytes, fingerprint: Fingerprint) -> bool:
        """Whether this file is a candidate and still looks as it did."""
        candidate = self._candidates.get(relative)
        return candidate is not None and candidate.fingerprint == fingerprint

    def look(
        self, relative: bytes, fingerprint: Fingerprint, *, now_s: float, wait_s: float
    ) -> bool:
        """Record a look at a file; True when it has settled, and is then no candidate any more.

        A file is settled when two looks at least `wait_s` apart showed the same fingerprint. The
        shortest wait asked for since its last change counts.

        Args:
            relative: the file, below its folder's root.
            fingerprint: what the look showed.
            now_s: monotonic seconds.
            wait_s: what this look's occasion asks for.
        """
        candidate = self._candidates.get(relative)
        if candidate is None or candidate.fingerprint != fingerprint:
            self._await(relative, _Candidate(fingerprint, now_s, now_s + wait_s))
            return False
        due_s = min(candidate.due_s, candidate.since_s + wait_s)
        if now_s >= due_s:
            self.forget(relative)
            return True
        if due_s < candidate.due_s:
            self._await(relative, candidate._replace(due_s=due_s))
        return False

    def due(self, now_s: float, *, limit: int) -> list[bytes]:
        """Take at most `limit` candidates whose wait is over, longest due first.

        The caller looks at each and answers with `look` or `forget`.
        """
        paths: list[bytes] = []
        while self._agenda and self._agenda[0][0] <= now_s and len(paths) < limit:
            due_s, relative = heapq.heappop(self._agenda)
            candidate = self._candidates.get(relative)
            if candidate is not None and candidate.due_s == due_s:
                paths.append(relative)
        return paths

    def forget(self, relative: bytes) -> None:
        """Drop a file that is gone, or is no input any more."""
        self._candidates.pop(relative, None)

    def _await(self, relative: bytes, candidate: _Candidate) -> None:
        self._candidates[relative] = candidate
        heapq.heappush(self._agenda, (candidate.due_s, relative))
