"""Metadata items of AVIF and HEIF: extract EXIF and XMP, and insert EXIF.

Pillow rebuilds EXIF that has an orientation, both when it reads and when it writes: the thumbnail
is lost, and offsets in maker notes break. So Pillow gets nothing but the orientation, and the real
block is extracted and inserted here.

Source: ISO/IEC 23008-12, A.2.1 (Exif) and A.3 (XMP).
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.containers.items import items_of
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from sharpend.imaging.containers.items import Items

XMP_TYPE = b"application/rdf+xml"
_OFFSET_BYTES = 4
"""An EXIF item begins with the offset of its TIFF header, behind this number."""
_EXTENT = struct.Struct(">II")


def exif_of(items: Items, data: bytes) -> bytes:
    """Extract the EXIF block of the primary image, with its prefix if present; b"" if none."""
    item = items.content(items.metadata(b"Exif"), data)
    block = item[_OFFSET_BYTES:]
    return block if block.startswith(PREFIX) else block[int.from_bytes(item[:_OFFSET_BYTES]) :]


def xmp_of(items: Items, data: bytes) -> bytes:
    """Extract the XMP packet of the primary image; b"" if none."""
    return items.content(items.metadata(b"mime", XMP_TYPE), data)


def metadata_of(items: Items, data: bytes, carried: Carried) -> Carried:
    """Replace EXIF and XMP by those of the primary image, byte for byte."""
    own = ((Kind.EXIF, exif_of(items, data)), (Kind.XMP, xmp_of(items, data)))
    found = [Block(kind, block) for kind, block in own if block]
    return Carried((*found, *carried.without(Kind.EXIF, Kind.XMP).blocks))


def with_exif(encoded: bytes, block: bytes) -> bytes:
    """Replace the EXIF that the encoder was given by this block.

    Args:
        encoded: as libavif writes it, with any EXIF; its own block stays behind as dead bytes.
        block: with or without its prefix.
    """
    items = items_of(Reader(BytesIO(encoded)))
    number = items.metadata(b"Exif")
    assert number is not None  # noqa: S101 - the encoder was given one
    before = len(PREFIX) if block.startswith(PREFIX) else 0
    item = before.to_bytes(_OFFSET_BYTES) + block
    extent = items.places[number].extents[0]
    start, end = extent[0], encoded.index(b"mdat")
    # An animation tells of the item twice: for its first frame and for its track.
    told = encoded[:end].replace(_EXTENT.pack(*extent), _EXTENT.pack(len(encoded) + 8, len(item)))
    assert start >= end  # noqa: S101 - the item lies in the media data, which follows
    return told + encoded[end:] + (8 + len(item)).to_bytes(4) + b"mdat" + item
