"""Found input files, and the counts of a scan: inputs, and entries that are none, by cause."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.sidecars import is_sidecar

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEMBERED = _MOST_KINDS = 16
_MOST_EMPTY = 10_000
_LONGEST_SUFFIX = 12
LINK, SPECIAL, SUBFOLDER, NO_SUFFIX = "link", "special file", "sub-folder", "without suffix"
SIDECAR = "sidecar"
EXCLUDED, OTHER = "excluded", "of other kinds"
"""Causes why an entry is left alone, other than an unknown suffix."""


@dataclass(frozen=True, slots=True)
class Found:
    """Input file with its fingerprint at one check."""

    relative: bytes
    """Path below the folder's root."""
    fingerprint: Fingerprint
    changed_s: float = field(default=0.0, compare=False)
    """Time at which the file got its path, content or attributes (ctime), wall clock seconds."""

    @classmethod
    def of(cls, relative: bytes, status: os.stat_result) -> Found:
        """Make the entry of a stat result."""
        return cls(relative, Fingerprint.of(status), status.st_ctime)


@dataclass(slots=True)
class Tally:
    """Counts of one scan, by the reason why entries were skipped."""

    found: int = 0
    """Input files."""
    left_alone: Counter[str] = field(default_factory=Counter)
    """Entries that are no inputs, by cause: a suffix that is not in the format table, in lower
    case, or one of the words above. More than 16 causes are counted as one."""
    empty: list[bytes] = field(default_factory=list)
    """Directories below the root without any entry, 10,000 at most."""
    ignored: int = 0
    """Temporary and junk names; a directory counts as one and is not entered."""
    unreadable: int = 0
    """Files and directories that could not be read."""
    unreadable_paths: list[bytes] = field(default_factory=list)
    """The first 16 of them, below the root."""

    def ignore(self, cause: str) -> None:
        """Count an entry that is no input."""
        is_new = cause not in self.left_alone and len(self.left_alone) >= _MOST_KINDS
        self.left_alone[OTHER if is_new else cause] += 1

    def found_empty(self, directory: bytes) -> None:
        """Remember a directory without any entry."""
        if len(self.empty) < _MOST_EMPTY:
            self.empty.append(directory)

    def cannot_read(self, relative: bytes) -> None:
        """Count a path that could not be read; the next scan tries again."""
        self.unreadable += 1
        if len(self.unreadable_paths) < _REMEMBERED:
            self.unreadable_paths.append(relative)


def left_alone_text(counts: Mapping[str, int]) -> str:
    """Describe what is left alone: `3 .nef (no known format), 1 link`; empty for nothing."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(
        f"{number} {cause}{' (no known format)' if cause.startswith('.') else ''}"
        for cause, number in ordered
    )


def kind_of(name: bytes) -> str:
    """Return a name's suffix for people, or the words for a name of another kind."""
    if is_sidecar(name):
        return SIDECAR
    suffix = display(os.path.splitext(name)[1].lower())
    return suffix if 1 < len(suffix) <= _LONGEST_SUFFIX else NO_SUFFIX
