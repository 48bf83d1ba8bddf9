"""What one file of the corpus is: how an outside tool makes it, and what must become of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

Edit = Callable[[bytes], bytes]

TAKEN, UNCHANGED = "taken", "unchanged"

PATH = f"/usr/bin:/bin:{os.environ.get('PATH', '')}"
"""The distribution's own tools before anything of the same name."""
BASICS = frozenset({"cat", "cp", "head", "tail", "printf", "seq", "true"})
"""Commands that every system has."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One file: its name, the command lines that make it, and its fate under each policy."""

    name: str
    """File name; the part before the suffix is unique in the corpus."""
    make: str
    """Shell commands, run among the sources: they write `$out`, and may use names on `$tmp`."""
    fate: str = TAKEN
    """Under the default policies: `taken` (sharpened), `unchanged` (copied as it is), or the reason
    of the refusal; `a|b` where both do."""
    kind: str = "rgb8"
    """What an outside reader finds in the output: channels and bits."""
    fates: Mapping[str, str] = field(default_factory=dict)
    """The same under a policy, `frames=all`: where it is another one."""
    tags: tuple[str, ...] = ()
    """Options for exiftool that write metadata into the finished file."""
    edit: Edit | None = None
    """A last change of the bytes, for what no tool at hand can write."""
    lossy: bool = False
    """Whether the format loses something each time it is written."""
    floor_db: float = 0.0
    """Where lossy: how like its source a second writing is at least; 0: as its format says."""
    frames: int = 1
    differs: tuple[str, ...] = ()
    """Fields, as patterns, that cannot stay as they are in this file; the table says why."""
    like: str = ""
    """Another file with the same pixels, where no other program at hand reads this one."""
    needs: tuple[str, ...] = ()
    """Sources that not every machine has: ICC profiles."""

    @property
    def tools(self) -> frozenset[str]:
        """The programs that the command lines start."""
        started = {words.split()[0] for words in re.split(r"\||&&|;", self.make) if words.strip()}
        return frozenset(started - BASICS) | (frozenset({"exiftool"}) if self.tags else frozenset())

    @property
    def suffix(self) -> str:
        """The suffix without its dot."""
        return self.name.rsplit(".", 1)[1]

    @property
    def missing(self) -> list[str]:
        """The tools that are not installed."""
        return sorted(tool for tool in self.tools if not installed(tool))

    @property
    def has_alpha(self) -> bool:
        """Whether its output has an alpha channel."""
        return self.kind.startswith(("rgba", "graya"))

    def fate_under(self, policy: str = "") -> frozenset[str]:
        """What may become of it: `taken`, `unchanged` or reasons."""
        return frozenset(self.fates.get(policy, self.fate).split("|"))


@cache
def installed(tool: str) -> bool:
    """Whether a program is there."""
    return shutil.which(tool, path=PATH) is not None
