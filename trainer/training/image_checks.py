"""Checks of images before training: which ones can be used.

Checks that an image is readable, large enough, and not a copy of another one. Does not look at its
content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from trainer.training.dataset import read_image
from trainer.training.progress import with_progress
from trainer.training.split import find_images, split_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from trainer.training.split import Split


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that cannot be used, and the reason."""

    path: Path
    reason: str


def check_images(
    folders: Iterable[Path], *, validation: float, smallest_px: int
) -> tuple[Split, list[Rejected]]:
    """Check every image below the folders, and split the usable ones.

    Args:
        folders: searched with all below them.
        validation: the share of images that validates, above 0 and below 1.
        smallest_px: least length of an image's shorter side.

    Raises:
        InputMissingError: a folder does not exist.
        UsageError: two images share a name, or a side of the split would be empty.
    """
    used: list[Path] = []
    left_out: list[Rejected] = []
    by_digest: dict[str, Path] = {}
    found = find_images(folders)
    for path in with_progress(found, what="images", total=len(found)):
        reason = _unfit(path, smallest_px, by_digest)
        if reason:
            left_out.append(Rejected(path, reason))
        else:
            used.append(path)
    split = split_images(used, validation=validation)
    digests = {path: digest for digest, path in by_digest.items()}
    return replace(split, fingerprint=_fingerprint(split, digests)), left_out


def _fingerprint(split: Split, digests: Mapping[Path, str]) -> str:
    """Digest of the pixels on either side, independent of names and paths."""
    sides = [sorted(digests[path] for path in side) for side in (split.train, split.validation)]
    return hashlib.sha256(json.dumps(sides).encode()).hexdigest()[:16]


def _unfit(path: Path, smallest_px: int, by_digest: dict[str, Path]) -> str:
    """The reason to reject an image, or an empty text; adds its digest to `by_digest`."""
    try:
        pixels = read_image(path)
    except ImageRefusedError as error:
        return str(error.reason)
    height, width = pixels.shape[:2]
    if min(height, width) < smallest_px:
        return f"{width} x {height} pixels is smaller than {smallest_px}"
    # The split is by name: a copy under another name could be on both sides.
    twin = by_digest.setdefault(hashlib.sha256(pixels.data).hexdigest(), path)
    return "" if twin == path else f"the same pixels as {twin.name}"
