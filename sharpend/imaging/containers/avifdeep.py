"""AVIF of 10 and 12 bits: samples by libavif through imagecodecs, in a file that Pillow laid out.

Pillow knows 8 bits, imagecodecs no metadata. So Pillow writes a black image with all metadata, and
its coded data are replaced by those that imagecodecs has written.

Source: AV1-ISOBMFF 2.3.3 (av1C); ISO/IEC 14496-12, 8.11.3 (iloc).
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from sharpend.imaging.containers.isobmff import without_sequence
from sharpend.imaging.containers.items import items_of
from sharpend.imaging.depth import narrowed, widened
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sharpend.imaging.containers.items import Items
    from sharpend.imaging.picture import Frame
    from sharpend.imaging.source import Source

_EXTENT = struct.Struct(">II")
_PROFILES, _ANY_PROFILE = (b"MA1A", b"MA1B"), b"miaf"
"""Brands of files of at most 10 bits, and the one of all."""
_CODED = (b"av1C", b"pixi", b"colr")
_BEST = 100
_COLOURS = (1, 13, 6)
"""Primaries, transfer and matrix (H.273) that Pillow writes too."""


def samples(source: Source, _notes: list[str]) -> NDArray[np.uint16]:
    """Decode the primary image: H x W [x C], 0 to 65535."""
    # imagecodecs corrupts the heap where it is to decode one image of a sequence.
    values = imagecodecs.avif_decode(without_sequence(source.data), index=0)
    return widened(values, 8 * values.itemsize if values.itemsize == 1 else source.header.bits)


def encoded(frame: Frame, bits: int, options: Mapping[str, Any]) -> bytes:
    """Encode the samples of a frame, without metadata.

    Args:
        frame: of 16 bits.
        bits: of the output, 10 or 12.
        options: Pillow's: quality, speed and subsampling.
    """
    is_gray, quality = frame.pixels.shape[2] == 1, options["quality"]
    values = narrowed(frame.pixels, bits)
    sampling = "4:0:0" if is_gray else options.get("subsampling", "4:2:0")
    if is_gray and quality < _BEST:  # imagecodecs writes one channel, and alpha, without loss
        values = np.repeat(values, 3, axis=2)
    if frame.alpha is not None:
        values = np.dstack([values, narrowed(frame.alpha, bits)])
    return bytes(
        imagecodecs.avif_encode(
            values.squeeze(2) if values.shape[2] == 1 else values,
            level=quality,
            speed=options["speed"],
            bitspersample=bits,
            pixelformat=sampling.replace(":", ""),
            codec="aom",
            primaries=_COLOURS[0],
            transfer=_COLOURS[1],
            matrix=_COLOURS[2],
        )
    )


def grafted(layout: bytes, coded: bytes) -> bytes:
    """Replace the coded data of a file, and the fields of its depth, by another's.

    Args:
        layout: with all metadata, by libavif.
        coded: of the same size and channels, by libavif.
    """
    old, new = items_of(Reader(BytesIO(layout))), items_of(Reader(BytesIO(coded)))
    end = layout.index(b"mdat") - 4
    head, tail = layout[:end], layout[end:]
    for brand in _PROFILES:
        if brand not in coded[:end]:
            head = head.replace(brand, _ANY_PROFILE, 1)
    for before, after in zip(_images(old), _images(new), strict=True):
        body, (start, size) = new.content(after, coded), old.places[before].extents[0]
        tail = tail[: start - end] + bytes(size) + tail[start - end + size :]
        at = len(head) + len(tail) + 8
        tail += (8 + len(body)).to_bytes(4) + b"mdat" + body
        head = head.replace(_EXTENT.pack(start, size), _EXTENT.pack(at, len(body)))
        for kind in _CODED:
            head = _with_property(head, kind, old, new, (before, after))
    return head + tail


def _images(items: Items) -> list[int]:
    """The image and its alpha channel."""
    return [items.primary, *items.alphas()]


def _with_property(
    head: bytes, kind: bytes, old: Items, new: Items, numbers: tuple[int, int]
) -> bytes:
    """Replace a property of one item; an ICC profile is none that depends on the coding."""
    found = [
        next(
            (
                body
                for name, body in items.properties[number]
                if name == kind and not body.startswith(b"prof")
            ),
            None,
        )
        for items, number in zip((old, new), numbers, strict=True)
    ]
    before, after = found
    if before is None or after is None:
        return head
    assert len(before) == len(after)  # noqa: S101 - nothing may move
    return head.replace(kind + before, kind + after, 1)
