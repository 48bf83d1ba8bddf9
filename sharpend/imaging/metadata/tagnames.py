"""Names of TIFF's and EXIF's tags, for notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED = 20
"""Most tags that one note names."""


def names(tags: Iterable[int]) -> str:
    """Name tags for a note, at most twenty."""
    every = sorted(set(tags))
    named = [f"{tag} {_name(tag)}".strip() for tag in every[:_NAMED]]
    more = len(every) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _name(tag: int) -> str:
    known = tifffile.TIFF.TAGS.get(tag, "") or tifffile.TIFF.EXIF_TAGS.get(tag, "")
    return f"({known})" if known else ""
