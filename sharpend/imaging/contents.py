"""Metadata summary of an image, independent of its container: EXIF, XMP, GPS, orientation, ...

Owns where each container keeps IPTC, orientation and resolution. Reads what the decoder has
collected and never a file; what cannot be read counts as absent, but
data that may contain a position counts as containing one.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import ImageCms

from sharpend.imaging.containers import jpegmetadata
from sharpend.imaging.metadata import exif, icc, photoshop, pngtext, xmp
from sharpend.imaging.metadata.blocks import Kind
from sharpend.imaging.metadata.ifd import EXIF, GPS, ORIENTATION, RESOLUTION, RESOLUTION_UNIT
from sharpend.imaging.metadata.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.imaging.metadata.blocks import Block, Carried
    from sharpend.imaging.metadata.ifd import Ifd
    from sharpend.imaging.picture import Picture

_PER_INCH = {2: 1.0, 3: 2.54}
"""TIFF's units of resolution, inch and centimetre, times this in an inch."""
_M_PER_INCH = 0.0254
_JFIF_UNITS = {1: 1.0, 2: 2.54}


@dataclass(frozen=True, slots=True)
class Contents:
    """Facts about the metadata of one image."""

    exif_bytes: int
    xmp_bytes: int
    iptc: bool
    icc: str
    """Description of the colour profile; empty if there is none."""
    icc_bytes: int
    dpi: tuple[float, float] | None
    """Horizontal and vertical pixels per inch."""
    comment: str
    """JPEG's."""
    thumbnail_bytes: int
    """Of the JPEG that is embedded in EXIF."""
    orientation: int
    """1 (upright) to 8, as EXIF counts them."""
    gps: bool
    """True if anything shows, or may show, where the image was taken."""
    provenance: Provenance | None
    """Our own record."""


def contents_of(picture: Picture) -> Contents:
    """Summarise the metadata of an image."""
    carried = picture.carried
    block, packet = carried.data(Kind.EXIF), xmp_of(carried)
    profile = icc.profile_of(carried)
    return Contents(
        exif_bytes=len(block) or _exif_bytes(carried.tags),
        xmp_bytes=len(packet),
        iptc=_has_iptc(carried),
        icc=_profile_name(profile),
        icc_bytes=len(profile),
        dpi=_of_bmp(picture) or _dpi(carried),
        comment=_comment(carried),
        thumbnail_bytes=len(exif.thumbnail_of(block)),
        orientation=orientation_of(picture),
        gps=_has_position(carried),
        provenance=Provenance.of(xmp.record_of(packet)),
    )


def xmp_of(carried: Carried) -> bytes:
    """Return the XMP packet, wherever the container keeps it; empty if there is none."""
    block = carried.block(Kind.XMP)
    with suppress(ValueError):
        if block is not None:
            return pngtext.xmp_of(block.data) if block.where == b"iTXt" else block.data
        for text in _texts(carried):
            if pngtext.profile_name(text.where, text.data) == "xmp":
                return pngtext.profile_of(text.where, text.data)
    return b""


def _texts(carried: Carried) -> list[Block]:
    return [block for block in carried.blocks if block.kind is Kind.TEXT]


def _exif_bytes(tags: Ifd | None) -> int:
    """Size of the EXIF directory of a TIFF, which has no block of its own."""
    child = tags.children.get(EXIF) if tags else None
    return sum(len(entry.data) for entry in child.entries.values()) if child else 0


def _has_iptc(carried: Carried) -> bool:
    return (
        carried.block(Kind.IPTC) is not None
        or photoshop.has(_resources(carried), photoshop.IPTC)
        or any(pngtext.profile_name(text.where, text.data) == "iptc" for text in _texts(carried))
    )


def _resources(carried: Carried) -> bytes:
    """Photoshop resources, of which a JPEG may have several segments."""
    return b"".join(block.data for block in carried.blocks if block.kind is Kind.PHOTOSHOP)


def _comment(carried: Carried) -> str:
    """First comment of a JPEG; other formats' texts have keywords and are many."""
    comments = [text.data for text in _texts(carried) if text.where == jpegmetadata.COMMENT]
    return comments[0].rstrip(b"\0").decode(errors="replace") if comments else ""


def orientation_of(picture: Picture) -> int:
    """Orientation as viewers show it: an AVIF by its own properties, whatever its EXIF says."""
    carried, own = picture.carried, picture.frames[0].encoding.get("orientation")
    if own:
        return int(own)
    if carried.tags:
        return carried.tags.values(ORIENTATION, (1,))[0]
    return exif.orientation_of(carried.data(Kind.EXIF))


def _of_bmp(picture: Picture) -> tuple[float, float] | None:
    dpi = picture.frames[0].encoding.get("dpi", (0, 0))
    return dpi if any(dpi) else None


def _dpi(carried: Carried) -> tuple[float, float] | None:
    for density in (block for block in carried.blocks if block.kind is Kind.DENSITY):
        with suppress(struct.error):
            if density.where == b"pHYs":
                x, y, unit = struct.unpack(">IIB", density.data)
                return (x * _M_PER_INCH, y * _M_PER_INCH) if unit else None
            if density.where == jpegmetadata.JFIF:
                unit, x, y = struct.unpack(">BHH", density.data[2:7])
                per_inch = _JFIF_UNITS.get(unit)
                return (x * per_inch, y * per_inch) if per_inch else None
    return _tiff_dpi(carried.tags)


def _tiff_dpi(tags: Ifd | None) -> tuple[float, float] | None:
    values = [tags.entries[tag].data for tag in RESOLUTION if tag in tags.entries] if tags else []
    unit = tags.values(RESOLUTION_UNIT, (2,))[0] if tags else 0
    if unit not in _PER_INCH or [len(value) for value in values] != [8, 8]:
        return None
    (x, x_parts), (y, y_parts) = (struct.unpack("<II", value) for value in values)
    if not x_parts or not y_parts:
        return None
    return x / x_parts * _PER_INCH[unit], y / y_parts * _PER_INCH[unit]


def _profile_name(data: bytes) -> str:
    if not data:
        return ""
    try:
        return ImageCms.getProfileDescription(BytesIO(data)).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"


def _has_position(carried: Carried) -> bool:
    extended = [block.data for block in carried.blocks if block.kind is Kind.EXTENDED_XMP]
    return (
        bool(carried.tags and GPS in carried.tags.children)
        or exif.holds_gps(carried.data(Kind.EXIF))
        or _changes(xmp.without_gps, xmp_of(carried))
        or _changes(photoshop.without_gps, _resources(carried))
        or any(pngtext.holds_gps(text.where, text.data) for text in _texts(carried))
        or xmp.extension_holds_gps(xmp.EXTENSION + data for data in extended)
    )


def _changes(clean: Callable[[bytes], bytes], data: bytes) -> bool:
    """Return whether a function would change the block; an unreadable one counts as changed."""
    try:
        return clean(data) != data
    except ValueError:
        return True
