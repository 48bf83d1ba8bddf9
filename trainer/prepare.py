"""Which pictures can train: looked at once, before hours of training rely on them.

Owns the checks on a picture (readable, large enough, no twin under another name) and the pin that
keeps a resumed run on the pictures it began with. Refuses nothing by content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.atomic import replacing
from sharpend.errors import ImageRefusedError, UsageError
from trainer.dataset import pictures_below, read_picture, split_pictures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from trainer.dataset import Split

PINNED = "data.json"


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
    for path in pictures_below(folders):
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


def pin_data(folder: Path, split: Split, labels: Mapping[str, str] | None) -> None:
    """Record in a run's folder what it trains on, or check that it is still the same.

    Args:
        folder: of the run; made if missing.
        split: the pictures.
        labels: which teacher made the labels, or None without labels.

    Raises:
        UsageError: the run began with other pictures or labels.
    """
    described = {
        "split": split.fingerprint,
        "pictures": {"train": len(split.train), "validation": len(split.validation)},
        "labels": dict(labels) if labels else None,
    }
    pinned = pinned_data(folder)
    if pinned is None:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / PINNED) as file:
            file.write(json.dumps(described).encode())
    elif pinned != described:
        raise UsageError(f"{folder} began with other pictures or labels; use a fresh --run folder")


def pinned_data(folder: Path) -> dict[str, object] | None:
    """What `pin_data` recorded, or None where it never did."""
    path = folder / PINNED
    if not path.is_file():
        return None
    described: dict[str, object] = json.loads(path.read_text())
    return described
