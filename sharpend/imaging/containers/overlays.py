"""Overlays of HEIF, which are written as one image: tell whether a part of a layer is not seen.

Source: ISO/IEC 23008-12, 6.6.2.2 (iovl), 6.5.9 (clap) and 6.5.10 (irot).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers.geometry import crop_of, size_of
from sharpend.imaging.containers.isobmff import Fields

if TYPE_CHECKING:
    from sharpend.imaging.containers.items import Boxes, Items

_HIDDEN = "parts of the layers of its image that lie below others, or outside, were not kept"
_KIND = b"iovl"
_BACKGROUND_BYTES = 8
_WIDE = 1
"""Flag of numbers of 32 bits."""


class _Place(NamedTuple):
    """Rectangle of a layer on its canvas, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: _Place) -> bool:
        """Return whether they have a pixel in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def contains(self, other: _Place) -> bool:
        """Return whether the other one lies in it."""
        begins = self.left <= other.left and self.top <= other.top
        return begins and other.right <= self.right and other.bottom <= self.bottom


def lost(items: Items, data: bytes) -> list[str]:
    """List the loss of what cannot be seen of the layers of the primary image.

    An overlay that cannot be understood counts as one that hides something.
    """
    overlays = [part for part in items.parts(items.primary) if items.kind_of(part) == _KIND]
    return [_HIDDEN] * any(_hides(items, number, data) for number in overlays)


def _hides(items: Items, number: int, data: bytes) -> bool:
    layers = items.related(b"dimg").get(number, ())
    try:
        fields = Fields(items.content(number, data))
        size = 4 if fields.number(2) & _WIDE else 2  # version and flags
        fields.octets(_BACKGROUND_BYTES)
        width, height = fields.number(size), fields.number(size)
        places = [_place(fields, size, items.image(layer)) for layer in layers]
    except ImageRefusedError:
        return True
    canvas = _Place(0, 0, width, height)
    inside = all(canvas.contains(each) for each in places)
    return not inside or any(one.overlaps(two) for one, two in combinations(places, 2))


def _place(fields: Fields, size: int, layer: Boxes) -> _Place:
    left, top = (int.from_bytes(fields.octets(size), signed=True) for _ in range(2))
    crop = crop_of(layer)
    height, width = (crop.height, crop.width) if crop else size_of(layer)
    turns = sum(body[0] & 1 for kind, body in layer if kind == b"irot" and body)
    if turns & 1:
        height, width = width, height
    return _Place(left, top, left + width, top + height)
