"""Schedule of folder scans: decide when to walk a folder, and walk it in chunks.

Owns the walk under way and the time of the next one. Refuses to walk without rest: a burst of
events asks for many scans, and gets one after the other with pauses that grow with their length.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from sharpend.intake import scan

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_REST_S = 1.0
_REST_SHARE = 4.0  # rest this many times as long as the last scan took: at most a fifth of the time
_LONGEST_REST_S = 30.0
_EARLIEST, _LATEST = 0.75, 1.25


class Rounds:
    """The walks through one folder. All times are monotonic seconds.

    Args:
        root: the folder.
        recursive: whether the directories below it belong to it.
        chance: spreads the scans of several folders.
    """

    def __init__(self, root: bytes, *, recursive: bool, chance: random.Random) -> None:
        self.completed: scan.Tally | None = None
        """What the last whole scan left alone; None before the first one is through."""
        self.took_s = 0.0
        """How long the last whole scan took."""
        self._root = root
        self._recursive = recursive
        self._chance = chance
        self._walk: Iterator[list[scan.Found]] | None = None
        self._tally: scan.Tally | None = None  # of the whole scan under way
        self._began_s = 0.0
        self._parts: deque[bytes] = deque()
        self._due_s = -math.inf
        self._rest_until_s = -math.inf

    def want_all(self) -> None:
        """Ask for a whole scan as soon as the rest after the last one is over."""
        self._due_s = -math.inf

    def want_part(self, directory: bytes) -> None:
        """Ask for a walk through one directory below the root."""
        if self._recursive:
            self._parts.append(directory)

    def due(self, now_s: float) -> bool:
        """Whether it is time to `begin` a whole scan."""
        return self._walk is None and now_s >= self._next_whole_s

    def begin(self, now_s: float, *, every_s: float) -> None:
        """Begin a whole scan; the next one follows after about `every_s`."""
        self._parts.clear()
        self._tally, self._began_s = scan.Tally(), now_s
        self._walk = scan.walk(self._root, recursive=self._recursive, tally=self._tally)
        self._due_s = now_s + every_s * self._chance.uniform(_EARLIEST, _LATEST)

    def advance(self, now_s: float) -> list[scan.Found]:
        """Do one chunk of the walk under way, or of a part that waits; what it found."""
        if self._walk is None and self._parts:
            part = self._parts.popleft()
            self._walk = scan.walk(self._root, below=part, recursive=True, tally=scan.Tally())
        if self._walk is None:
            return []
        chunk = next(self._walk, None)
        if chunk is None:
            self._end(now_s)
            return []
        return chunk

    def next_s(self, now_s: float) -> float:
        """When there is something to do."""
        return now_s if self._walk is not None or self._parts else self._next_whole_s

    def close(self) -> None:
        """Let go of the directories that a walk under way holds open."""
        self._walk = None

    @property
    def _next_whole_s(self) -> float:
        return max(self._due_s, self._rest_until_s)

    def _end(self, now_s: float) -> None:
        self._walk = None
        if self._tally is not None:
            self.completed, self._tally = self._tally, None
            self.took_s = now_s - self._began_s
            rest_s = max(_REST_S, _REST_SHARE * self.took_s)
            self._rest_until_s = now_s + min(rest_s, _LONGEST_REST_S)
