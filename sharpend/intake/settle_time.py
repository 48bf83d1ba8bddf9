"""Settle time: its defaults, and the decision when a file has stopped changing.

Owns the candidates, each with its fingerprint and since when it has that. Pure: the caller passes
times and fingerprints, and `intake.folder` chooses one of the three default waits below. There is
no time limit: a file that keeps changing stays a candidate. One that was taken too early waits
longer the next time (`patience`); whether a file is whole is checked by its format's module in
`imaging.containers`.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

WAIT_S = 2.0
"""Default of the seconds that a file must stay unchanged."""
FINISHED_WAIT_S = 1.0
"""The same after an event that reports a finished file (closed after writing, or moved)."""
NETWORK_WAIT_S = 5.0
"""The same on a network file system, which may report changes of other machines late."""


class _Candidate(NamedTuple):
    fingerprint: Fingerprint
    since_s: float
    due_s: float


class Settler:
    """Files that wait for a second check."""

    def __init__(self) -> None:
        self._candidates: dict[bytes, _Candidate] = {}
        # A candidate whose due time changes gets a second entry; the old one is dropped when due.
        self._agenda: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def next_due_s(self) -> float:
        """Time of the next check; may be early, infinite without candidates."""
        return self._agenda[0][0] if self._agenda else math.inf

    def waits(self, relative: bytes, fingerprint: Fingerprint) -> bool:
        """Return whether this file is a candidate with the same fingerprint."""
        candidate = self._candidates.get(relative)
        return candidate is not None and candidate.fingerprint == fingerprint

    def look(
        self,
        relative: bytes,
        fingerprint: Fingerprint,
        *,
        now_s: float,
        wait_s: float,
        since_s: float = math.inf,
    ) -> bool:
        """Record a check of a file; return True when it has settled and is no candidate any more.

        A file is settled when two checks at least `wait_s` apart found the same fingerprint, or
        when it is known to be unchanged for so long. The shortest wait since its last change
        counts.

        Args:
            relative: the file, below its folder's root.
            fingerprint: at this check.
            now_s: monotonic seconds.
            wait_s: seconds, by the event that led to this check.
            since_s: monotonic seconds since when it is known to be unchanged.
        """
        if now_s - since_s >= wait_s:
            self.forget(relative)
            return True
        candidate = self._candidates.get(relative)
        if candidate is None or candidate.fingerprint != fingerprint:
            since_s = min(since_s, now_s)
            self._await(relative, _Candidate(fingerprint, since_s, since_s + wait_s))
            return False
        due_s = min(candidate.due_s, candidate.since_s + wait_s)
        if now_s >= due_s:
            self.forget(relative)
            return True
        if due_s < candidate.due_s:
            self._await(relative, candidate._replace(due_s=due_s))
        return False

    def due(self, now_s: float, *, limit: int) -> list[bytes]:
        """Return at most `limit` candidates whose wait is over, the earliest due first.

        The caller checks each and then calls `look` or `forget`.
        """
        paths: list[bytes] = []
        while self._agenda and self._agenda[0][0] <= now_s and len(paths) < limit:
            due_s, relative = heapq.heappop(self._agenda)
            candidate = self._candidates.get(relative)
            if candidate is not None and candidate.due_s == due_s:
                paths.append(relative)
        return paths

    def forget(self, relative: bytes) -> None:
        """Remove a file that is missing, or is no input any more."""
        self._candidates.pop(relative, None)

    def _await(self, relative: bytes, candidate: _Candidate) -> None:
        self._candidates[relative] = candidate
        heapq.heappush(self._agenda, (candidate.due_s, relative))
