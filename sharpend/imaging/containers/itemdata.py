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

from sharpend.imaging.containers.isobmff import meta_of
from sharpend.imaging.containers.items import items_of
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from sharpend.imaging.containers.items import Items

XMP_TYPE = b"application/rdf+xml"
_OFFSET_BYTES = 4
"""An EXIF item begins with the offset of its TIFF header, behind this number."""
_TIFF_HEADS = (b"II*\0", b"MM\0*")
_NO_EXIF = "its EXIF block cannot be read and was not kept"
_EXTENT = struct.Struct(">II")


def exif_of(items: Items, data: bytes) -> bytes:
    """Extract the EXIF block of the primary image, with its prefix if present; b"" if none."""
    item = items.content(items.metadata(b"Exif"), data)
    block = item[_OFFSET_BYTES:]
    # Some writers forget the offset, or that it does not count the prefix.
    for header in (block, block[int.from_bytes(item[:_OFFSET_BYTES]) :], item):
        if header.removeprefix(PREFIX).startswith(_TIFF_HEADS):
            return header
    return b""


def notes_of(items: Items, data: bytes) -> list[str]:
    """List the note on an EXIF block that is none."""
    item = items.content(items.metadata(b"Exif"), data)
    return [_NO_EXIF] * bool(item.strip(b"\0") and not exif_of(items, data))


def without_exif(data: bytes) -> bytes:
    """Give the EXIF items of a file another type, for decoders that refuse a file for its EXIF."""
    iinf = dict(meta_of(Reader(BytesIO(data)))).get(b"iinf", b"")
    return data.replace(iinf, iinf.replace(b"Exif", b"free"), 1) if iinf else data


def xmp_of(items: Items, data: bytes) -> bytes:
    """Extract the XMP packet of the primary image; b"" if none."""
    return items.content(items.metadata(b"mime", XMP_TYPE), data)


def metadata_of(items: Items, data: bytes, carried: Carried) -> Carried:
    """Replace EXIF and XMP by those of the primary image, byte for byte."""
    own = ((Kind.EXIF, exif_of(items, data)), (Kind.XMP, xmp_of(items, data)))
    found = [Block(kind, block) for kind, block in own if block]
    return Carried((*found, *carried.without(Kind.EXIF, Kind.XMP).blocks))


def exif_item(block: bytes) -> bytes:
    """Make the item of an EXIF block, with or without its prefix."""
    before = len(PREFIX) if block.startswith(PREFIX) else 0
    return before.to_bytes(_OFFSET_BYTES) + block


def with_exif(encoded: bytes, block: bytes) -> bytes:
    """Replace the EXIF that the encoder was given by this block.

    Args:
        encoded: as libavif writes it, with any EXIF, whose bytes become zeros.
        block: with or without its prefix.
    """
    items = items_of(Reader(BytesIO(encoded)))
    number = items.metadata(b"Exif")
    assert number is not None  # noqa: S101 - the encoder was given one
    item = exif_item(block)
    extent = items.places[number].extents[0]
    start, end = extent[0], encoded.index(b"mdat")
    # An animation tells of the item twice: for its first frame and for its track.
    header = encoded[:end].replace(_EXTENT.pack(*extent), _EXTENT.pack(len(encoded) + 8, len(item)))
    assert start >= end  # noqa: S101 - the item lies in the media data, which follows
    blank = encoded[end:start] + bytes(extent[1]) + encoded[start + extent[1] :]
    return header + blank + (8 + len(item)).to_bytes(4) + b"mdat" + item
