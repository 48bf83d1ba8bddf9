"""Which pictures can train: looked at once, before hours of training rely on them.

Owns the checks on a picture: readable, large enough, no twin under another name. Refuses nothing by
content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from trainer.training.dataset import read_picture
from trainer.training.progress import watched
from trainer.training.split import pictures_below, split_pictures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from trainer.training.split import Split


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that cannot be used, and why."""

    path: Path
    reason: str


def prepare(
    folders: Iterable[Path], *, validation: float, smallest_px: int
) -> tuple[Split, list[LeftOut]]:
    """Look at every picture below the folders and divide those that can be used.

    Args:
        folders: searched with all below them.
        validation: the share of pictures that validates, above 0 and below 1.
        smallest_px: least length of a picture's shorter side.

    Raises:
        InputMissingError: a folder does not exist.
        UsageError: two pictures share a name, or a side of the split would be empty.
    """
    used: list[Path] = []
    left_out: list[LeftOut] = []
    seen: dict[str, Path] = {}
    found = pictures_below(folders)
    for path in watched(found, what="pictures", total=len(found)):
        reason = _unfit(path, smallest_px, seen)
        if reason:
            left_out.append(LeftOut(path, reason))
        else:
            used.append(path)
    split = split_pictures(used, validation=validation)
    digests = {path: digest for digest, path in seen.items()}
    return replace(split, fingerprint=_fingerprint(split, digests)), left_out


def _fingerprint(split: Split, digests: Mapping[Path, str]) -> str:
    """What the pictures of either side are, whatever they are called and wherever they lie."""
    sides = [sorted(digests[path] for path in side) for side in (split.train, split.validation)]
    return hashlib.sha256(json.dumps(sides).encode()).hexdigest()[:16]


def _unfit(path: Path, smallest_px: int, seen: dict[str, Path]) -> str:
    """Why a picture cannot be used, or nothing; remembers its pixels."""
    try:
        pixels = read_picture(path)
    except ImageRefusedError as error:
        return str(error.reason)
    height, width = pixels.shape[:2]
    if min(height, width) < smallest_px:
        return f"{width} x {height} pixels is smaller than {smallest_px}"
    # The split goes by name: a copy under another name could train and validate at once.
    twin = seen.setdefault(hashlib.sha256(pixels.data).hexdigest(), path)
    return "" if twin == path else f"the same pixels as {twin.name}"
