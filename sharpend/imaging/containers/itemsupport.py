"""Primary images of AVIF and HEIF that no decoder here shows right, and the reasons.

Owns which properties of items are known. A decoder tells of none of these, or calls the file
damaged.

Source: ISO/IEC 23008-12, 6.5 (properties), 6.6 (derived images) and 9.3.1 (essential properties).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.reading import damaged, unsupported

if TYPE_CHECKING:
    from collections.abc import Collection

    from sharpend.imaging.containers.items import Items

CODED = frozenset(b"hvcC av1C lhvC av1S a1op a1lx ispe pixi colr irot imir auxC clap pasp".split())
"""Properties that the output has in its own form."""
FORM = frozenset(b"clli mdcv cclv amve lsel rref subs".split())
"""Properties that say how the image was coded, or how a display may show it."""
_DERIVED = frozenset(b"grid iovl iden tmap".split())
_NAMES = {b"tmap": "a base image and its gain map", b"iovl": "overlaid images"}


def check(items: Items, coded: bytes, read: Collection[bytes]) -> None:
    """Refuse a primary image that is not read.

    Args:
        items: of the file.
        coded: the only type of coded images that is decoded.
        read: types of derived images that are.

    Raises:
        ImageRefusedError: `format_not_allowed` with what the image is or needs; `damaged` where
            nothing leads to a coded image.
    """
    every = items.parts(items.primary)
    for number in every:
        kind = items.kind_of(number)
        if kind in _DERIVED and kind not in read:
            made_of = _NAMES.get(kind, "others")
            raise unsupported(f"its image is made of {made_of} ({kind.decode()})")
        if kind not in {b"", coded, *_DERIVED}:
            raise unsupported(f"its image is coded as {kind.decode('ascii', 'backslashreplace')}")
    if all(items.kind_of(number) != coded for number in every):
        raise damaged("it declares no image")
    needed = {kind for number in every for kind in items.essential.get(number, ())}
    for kind in sorted(needed - CODED - FORM):
        name = kind.decode("ascii", "backslashreplace")
        raise unsupported(f"its image needs the property {name} to be shown right")
