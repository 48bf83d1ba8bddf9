"""Shards of a folder: which of many processes takes an image.

Owns the key of the choice: the name of the output without its suffix, in any case and Unicode form.
Inputs that want one output name, files of one image in several formats, and their sidecars have one
key, so no two shards ever give out the same first name. Refuses settings by which a shard could
replace or skip the numbered output of another one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.commit.destination import output_names
from sharpend.errors import ImageRefusedError
from sharpend.ledger.case_folding import name_key
from sharpend.policies import CollisionPolicy, ExistingPolicy

if TYPE_CHECKING:
    from sharpend.commit.destination import Destination

_KEY_BYTES = 8


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Part `number` of `count` equal parts, counted from 0."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> ShardIndex:
        """Parse `I/N`; ValueError where it is no part."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not int(found[1]) < int(found[2]):
            raise ValueError("must be I/N, with I from 0 to N - 1, such as 0/16")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one folder that one of many processes takes."""

    index: ShardIndex
    destination: Destination

    def has(self, relative: bytes) -> bool:
        """Return whether an input belongs to this shard; the same on every machine."""
        try:
            output = next(output_names(self.destination, relative))
        except (ImageRefusedError, OSError):  # it is refused, by any one of the shards
            output = relative
        key = name_key(os.path.splitext(output)[0])
        return int.from_bytes(key[:_KEY_BYTES]) % self.index.count == self.index.number


def objection(destination: Destination) -> str | None:
    """Return in one line why a folder cannot be worked on in shards, or None.

    A collision gives an output a number, and so perhaps the name of an output of another shard,
    which is a stranger's here: it must be neither replaced nor taken for done.
    """
    numbers = destination.collision is CollisionPolicy.NUMBER
    if not numbers or destination.existing is ExistingPolicy.SUFFIX:
        return None
    return (
        f'folder {destination.folder}: shards need existing = "suffix" or collision = "refuse",'
        " as they do not know each other's outputs"
    )
