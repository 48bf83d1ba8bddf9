"""Names of sidecars: files that hold the edits, ratings or tags of an image beside it.

Owns the conventions: `IMG_1.xmp` and `IMG_1.jpg.xmp` belong to `IMG_1.jpg`; on an iPhone
`IMG_1234.AAE` and `IMG_O1234.AAE` belong to `IMG_1234.HEIC` and to its edited form
`IMG_E1234.HEIC`. Pure: nothing is looked up here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_XMP, _AAE = b".xmp", b".aae"
_SUFFIXES = {_XMP: (b".xmp", b".XMP", b".Xmp"), _AAE: (b".AAE", b".aae", b".Aae")}
"""Each suffix in the spellings that are looked for."""
_VIDEOS = {b".mov", b".mp4"}
"""A Live Photo has a video of its name, whose edits are those of the photo."""
_APPLE = re.compile(rb"IMG_[EO]?(\d+)")


def is_sidecar(name: bytes) -> bool:
    """Return whether a file with this name is a sidecar."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def possible_sidecars(image: bytes) -> Iterator[bytes]:
    """Yield the names that the sidecars of an image may have."""
    bases = (image, os.path.splitext(image)[0])
    for suffix, spellings in _SUFFIXES.items():
        family = _family(bases[1]) if suffix == _AAE else set()
        for base in (*bases, *sorted(family - {bases[1]})):
            yield from (base + spelling for spelling in spellings)


def is_own(sidecar: bytes, image: bytes) -> bool:
    """Return whether a sidecar is named after this image, not after another form of it."""
    return os.path.splitext(sidecar)[0] in {image, os.path.splitext(image)[0]}


def belongs_to(sidecar: bytes, other: bytes) -> bool:
    """Return whether a sidecar belongs to the file `other`, which may be in any format, RAW too."""
    stem, suffix = os.path.splitext(other)
    if is_sidecar(other) or suffix.lower() in _VIDEOS:
        return False
    base, of = os.path.splitext(sidecar)
    family = _family(base) if of.lower() == _AAE else set()
    return base == other or stem in family | {base}


def core(sidecar: bytes) -> bytes:
    """Return the part of a sidecar's name that is in the name of each file that it belongs to."""
    base, suffix = os.path.splitext(sidecar)
    found = _APPLE.fullmatch(base)
    return base if found is None or suffix.lower() != _AAE else found[1]


def renamed(sidecar: bytes, image: bytes, other: bytes) -> bytes:
    """Name a sidecar after the name `other` that its image has elsewhere, by the same convention.

    `a.xmp` of `a.jpg` becomes `b.xmp` beside `b.jpg`, and `a.jpg.xmp` becomes `b.jpg.xmp`. One that
    is named after another form of the image keeps its name.
    """
    base, suffix = os.path.splitext(sidecar)
    if base == image:
        return other + suffix
    return os.path.splitext(other)[0] + suffix if is_own(sidecar, image) else sidecar


def _family(stem: bytes) -> set[bytes]:
    """Return the stems of an iPhone's forms of one image: as taken, edited, original edits."""
    found = _APPLE.fullmatch(stem)
    return {b"IMG_" + form + found[1] for form in (b"", b"E", b"O")} if found else set()
