"""Longer waits for files that were judged before they were complete.

Owns, for each such file, how often that happened. A file that was refused or changed after it had
settled must stay unchanged for twice as long the next time, and so on up to a limit. Written by the
daemon's thread and read by the intake's, so each method is one operation on a dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.backoff import Backoff

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

LONGEST_WAIT_S = 120.0
"""Longest wait after repeated early reads; a longer `settle_s` is not shortened."""
MOST_FILES = 10_000
"""Files that are remembered; the earliest are forgotten first."""


class Patience:
    """Early reads of one folder: how many for each file, and the fingerprint that was read."""

    def __init__(self) -> None:
        self._mistakes: dict[bytes, tuple[int, Fingerprint]] = {}

    def record(self, relative: bytes, judged: Fingerprint) -> None:
        """Record that a file may have been judged before it was complete."""
        times, before = self._mistakes.pop(relative, (0, judged))
        if times and before.inode != judged.inode:
            times = 0
        if not times or before != judged:
            times += 1
        self._mistakes[relative] = (times, judged)
        if len(self._mistakes) > MOST_FILES:
            del self._mistakes[next(iter(self._mistakes))]

    def forget(self, relative: bytes) -> None:
        """Forget the mistakes about a file: its output was made."""
        self._mistakes.pop(relative, None)

    def wait_s(self, relative: bytes, judged_file: Fingerprint, usual_s: float) -> float:
        """Return the seconds that a file must stay unchanged.

        A file that was replaced, and not written further, has another inode and waits as usual.

        Args:
            relative: the file, below the input folder.
            judged_file: its fingerprint now.
            usual_s: seconds for a file without mistakes.
        """
        times, judged = self._mistakes.get(relative, (0, judged_file))
        if judged.inode != judged_file.inode:
            return usual_s
        return max(usual_s, Backoff(usual_s, LONGEST_WAIT_S).wait_s(times + 1))
