"""Splits: the sharp images that train and those that validate, as one JSON file.

An image belongs to exactly one side, decided by a hash of its name.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import replacing
from sharpend.imaging.formats import format_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Split:
    """Paths of the images for training and for validation."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    fingerprint: str = ""
    """A short digest of the pixels on either side, by `trainer prepare`, for runs and cards."""


def find_images(folders: Iterable[Path]) -> list[Path]:
    """Every image below the folders, hidden files left out, sorted by path.

    Raises:
        InputMissingError: a folder does not exist.
    """
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise InputMissingError(f"{folder}: no such folder")
        found += [
            path.resolve()
            for path in folder.rglob("*")
            if format_of(os.fsencode(path)) and not path.name.startswith(".")
        ]
    return sorted(set(found))


def split_images(images: Sequence[Path], *, validation: float) -> Split:
    """Split by a hash of each name, so that adding images does not move others.

    Args:
        images: no two of one name, because the name decides the side and names the label.
        validation: the share that validates, above 0 and below 1.

    Raises:
        UsageError: two images share a name, or a side would be empty.
    """
    named: dict[str, Path] = {}
    for path in images:
        other = named.setdefault(path.name, path)
        if other != path:
            raise UsageError(f"two images have the same name: {other}, {path}")

    def share(path: Path) -> float:
        return int(hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8], 16) / 0xFFFFFFFF

    held_out = tuple(path for path in images if share(path) < validation)
    train = tuple(path for path in images if share(path) >= validation)
    if not train or not held_out:
        raise UsageError(
            f"{len(images)} images give {len(train)} for training and {len(held_out)} for "
            f"validation at --validation {validation}; give more images or another share"
        )
    return Split(train, held_out)


def write_split(split: Split, path: Path) -> None:
    """Write the split as JSON, atomically."""
    sides = {
        "train": [str(p) for p in split.train],
        "validation": [str(p) for p in split.validation],
        "fingerprint": split.fingerprint,
    }
    with replacing(path) as file:
        file.write(json.dumps(sides, indent=1).encode())


def read_split(path: Path) -> Split:
    """Read what `write_split` wrote.

    Raises:
        InputMissingError: there is no such file.
        UsageError: it is something else.
    """
    try:
        sides = json.loads(path.read_text())
        train, held_out = (tuple(map(Path, sides[side])) for side in ("train", "validation"))
        return Split(train, held_out, sides["fingerprint"])
    except FileNotFoundError as error:
        raise InputMissingError(f"{path}: no such file: run `trainer prepare`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not a split of `trainer prepare` ({error!r})") from error
