"""Patterns of names: which entries of an input folder are left out.

Owns pathspec: nothing else imports it. Patterns are those of gitignore(5), relative to the input
folder. As there, a folder that is left out is not entered, so nothing inside it can be taken.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Callable


def require_pattern(pattern: str) -> str:
    """Return a pattern that can match something.

    Raises:
        ValueError: it is none of gitignore's, or never matches a path below the input folder.
    """
    if {"", ".", ".."} & set(pattern.strip("/").split("/")):
        raise ValueError('must be patterns for paths inside the input, without "//", "." and ".."')
    try:
        with warnings.catch_warnings(action="error"):
            usable = [one.include is not None for one in _spec((pattern,)).patterns] == [True]
    except (ValueError, re.error, Warning):
        usable = False
    if not usable:
        raise ValueError('must be patterns as in .gitignore, such as "Originals/" and "*-copy.*"')
    return pattern


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of one folder; without any, nothing is left out."""

    exclude: tuple[str, ...] = ()
    """Files and folders that match are left out; the last pattern that matches decides."""
    include: tuple[str, ...] = ()
    """If there are any, files that match none of them, nor are in a folder that does, are left
    out."""
    takes: Callable[[bytes], bool] | None = None
    """Says of a file's path whether it is taken at all; None: every file is."""

    def leaves_out_entry(self, relative: bytes, *, is_folder: bool) -> bool:
        """Return whether one entry is left out; the folders above it were asked before.

        Args:
            relative: path below the input folder.
            is_folder: False for a file.
        """
        if self.exclude and _matches(self.exclude, relative, is_folder=is_folder):
            return True
        if is_folder:
            return False
        if self.include and not _matches(self.include, relative, is_folder=False):
            return True
        return self.takes is not None and not self.takes(relative)

    def leaves_out(self, relative: bytes, *, is_folder: bool = False) -> bool:
        """Return whether an entry, or a folder above it, is left out."""
        if not self.exclude and not self.include and self.takes is None:
            return False
        above = (at for at, byte in enumerate(relative) if byte == ord("/"))
        return any(self.leaves_out_entry(relative[:at], is_folder=True) for at in above) or (
            self.leaves_out_entry(relative, is_folder=is_folder)
        )


EVERYTHING = Patterns()
"""Leaves nothing out."""


def _matches(patterns: tuple[str, ...], relative: bytes, *, is_folder: bool) -> bool:
    # pathspec's expressions stop at a newline, which a name may contain; no name contains a zero.
    text = os.fsdecode(relative).replace("\n", "\0")
    return _spec(patterns).match_file(f"{text}/" if is_folder else text)


@lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(patterns, backend="simple")
