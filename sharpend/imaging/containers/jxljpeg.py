"""JPEG XL that was repacked from a JPEG: list what the JPEG held that no output in JPEG XL has.

The box with which the JPEG can be restored holds its other segments and the data behind its image,
a motion photo's video among them. libjxl restores the JPEG, and the module of JPEG lists its parts.

Source: ISO/IEC 18181-2 annex A (jbrd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers import jpegmetadata
from sharpend.imaging.containers.jpeglayout import parts
from sharpend.imaging.metadata.blocks import NEEDED, TRAILER, Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from sharpend.imaging.metadata.blocks import Block

_UNREADABLE = "what its repacked JPEG held beside the image could not be read: some may be lost"
_BEHIND = "the data behind the image of its repacked JPEG (a video, an archive) was not kept"
_NAMES = {
    Kind.EXIF: "EXIF",
    Kind.XMP: "XMP",
    Kind.EXTENDED_XMP: "extended XMP",
    Kind.PHOTOSHOP: "Photoshop data (IPTC)",
    Kind.TEXT: "comment",
}


def lost(data: bytes, kept: Collection[bytes], *, most_scans: int) -> list[str]:
    """List the content of a repacked JPEG that the output lacks.

    Args:
        data: the JPEG XL, with the box that restores the JPEG.
        kept: the metadata that is carried.
        most_scans: as of `jpeglayout.parts`.
    """
    try:
        restored = bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))
        found = parts(restored, most_scans=most_scans)
        carried = jpegmetadata.blocks(found)[0].blocks
    except (ImageRefusedError, imagecodecs.JpegxlError, ValueError):  # it restores no gray ones
        return [_UNREADABLE]
    gone = [block for block in carried if not _is_kept(block, kept)]
    names = dict.fromkeys(map(_name, gone))
    told = [_BEHIND] * any(block.where == TRAILER for block in carried)
    told += [f"the {name} of its repacked JPEG was not kept" for name in names]
    return told + jpegmetadata.losses(found)


def _is_kept(block: Block, kept: Collection[bytes]) -> bool:
    """Return whether the output has a block, or all that it says."""
    return block.kind in NEEDED or block.where == TRAILER or block.data in kept


def _name(block: Block) -> str:
    return _NAMES.get(block.kind, f"segment APP{block.where[0] - 0xE0}")
