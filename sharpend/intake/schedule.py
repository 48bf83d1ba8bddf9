"""Schedule of folder scans: decide when to scan a folder, and scan it in chunks.

Owns the scan in progress and the time of the next one. Pauses between two scans, in proportion to
their duration, even if a burst of events requests many.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.intake import scan
from sharpend.intake.tally import Found, Tally

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_REST_S = 1.0
_REST_SHARE = (
    4.0  # multiple of the last scan's duration, so that scans take at most 20 % of the time
)
_LONGEST_REST_S = 30.0
_EARLIEST, _LATEST = 0.75, 1.25


class ScanSchedule:
    """Scans of one folder. All times are monotonic seconds.

    Args:
        root: the folder.
        recursive: True includes the directories below it.
        only: paths below the root that alone are inputs; None: all files.
        patterns: of names that are left out.
        chance: spreads the scans of several folders.
    """

    def __init__(
        self,
        root: bytes,
        *,
        recursive: bool,
        only: Sequence[bytes] | None = None,
        patterns: Patterns = EVERYTHING,
        chance: random.Random,
    ) -> None:
        self.completed: Tally | None = None
        """Counts of the last full scan; None before the first one is complete."""
        self.took_s = 0.0
        """Duration of the last full scan in seconds."""
        self._scan_all = partial(
            scan.inputs, root, recursive=recursive, only=only, patterns=patterns
        )
        self._walk_below = partial(scan.walk, root, recursive=True, patterns=patterns)
        self._recursive = recursive
        self._chance = chance
        self._walk: Iterator[list[Found]] | None = None
        self._tally: Tally | None = None  # of the full scan in progress
        self._began_s = 0.0
        self._parts: deque[bytes] = deque()
        self._due_s = -math.inf
        self._rest_until_s = -math.inf

    def request_full(self) -> None:
        """Request a full scan as soon as the pause after the last one is over."""
        self._due_s = -math.inf

    def request_part(self, directory: bytes) -> None:
        """Request a scan of one directory below the root."""
        if self._recursive:
            self._parts.append(directory)

    def due(self, now_s: float) -> bool:
        """Return whether to `begin` a full scan now."""
        return self._walk is None and now_s >= self._next_full_s

    def begin(self, now_s: float, *, every_s: float) -> None:
        """Begin a full scan; the next one follows after about `every_s` seconds."""
        self._parts.clear()
        self._tally, self._began_s = Tally(), now_s
        self._walk = self._scan_all(tally=self._tally)
        self._due_s = now_s + every_s * self._chance.uniform(_EARLIEST, _LATEST)

    def advance(self, now_s: float) -> list[Found]:
        """Scan one chunk, of the scan in progress or of a requested part; return its files."""
        if self._walk is None and self._parts:
            part = self._parts.popleft()
            self._walk = self._walk_below(below=part, tally=Tally())
        if self._walk is None:
            return []
        chunk = next(self._walk, None)
        if chunk is None:
            self._end(now_s)
            return []
        return chunk

    def next_s(self, now_s: float) -> float:
        """Return the time of the next piece of work."""
        return now_s if self._walk is not None or self._parts else self._next_full_s

    def close(self) -> None:
        """Close the directories that a scan in progress holds open."""
        self._walk = None

    @property
    def _next_full_s(self) -> float:
        return max(self._due_s, self._rest_until_s)

    def _end(self, now_s: float) -> None:
        self._walk = None
        if self._tally is not None:
            self.completed, self._tally = self._tally, None
            self.took_s = now_s - self._began_s
            rest_s = max(_REST_S, _REST_SHARE * self.took_s)
            self._rest_until_s = now_s + min(rest_s, _LONGEST_REST_S)
