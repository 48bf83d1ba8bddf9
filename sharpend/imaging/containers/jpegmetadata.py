"""JPEG metadata: list the segments that are carried, those that are not, and write them again.

Owns what of a file is carried: segments as they are, in their order, and what lies behind the image
and stays valid there.

Source: T.871 (JFIF), EXIF 2.32 section 4.5.4, XMP specification part 3, CIPA DC-007 (MPF), ISO
21496-1 annex C (gain maps), ISO/IEC 18477-3 (JPEG XT) and 19566-5 (JUMBF).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers import jpegmpf, pillow, trailers
from sharpend.imaging.containers.jpeglayout import (
    APP0,
    APP14,
    ARITHMETIC,
    FRAMES,
    Parts,
    is_metadata,
    parts,
)
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import CREDENTIALS, TRAILER, Block, Carried, Kind
from sharpend.imaging.source import MOST_SCANS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.imaging.containers.pillow import CarriedAndNotes

_APP11 = 0xEB
_SEGMENT_MAX = 65_533
"""A segment's length field has 16 bits and counts itself."""

JFIF = b"\xe0JFIF\0"
COMMENT = b"\xfe"
ADOBE = b"\xeeAdobe"
"""Colour coding: RGB, YCbCr or YCCK."""
EXIF = b"\xe1Exif\0"
XMP = b"\xe1http://ns.adobe.com/xap/1.0/\0"
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    (JFIF, Kind.DENSITY),
    (EXIF, Kind.EXIF),
    (XMP, Kind.XMP),
    (b"\xe1http://ns.adobe.com/xmp/extension/\0", Kind.EXTENDED_XMP),
    (b"\xe2ICC_PROFILE\0", Kind.ICC),
    (ADOBE, Kind.COLOR),
    (b"\xedPhotoshop 3.0\0", Kind.PHOTOSHOP),
    (COMMENT, Kind.TEXT),
)
"""Marker and signature of the segments that are understood; all other APPn are Kind.OTHER."""
_INSTANCE, _BOX_TYPE = slice(2, 4), slice(12, 16)
"""Number of the box that an APP11 segment is a part of, and the box's type (18477-3, B.1)."""
_GAIN_MAP_TOLD = (b"\xe2MPF\0", b"\xe2urn:iso:std:iso:ts:21496:-1\0")
"""Segments that announce further images in the file, of which MPF's has their offsets."""
_GAIN_MAP_NOTE = "what announces further images or a gain map (MPF, ISO 21496-1) was removed"
_IMAGES_LOST = (
    "the further images in its file (a gain map, a depth map, another view) are not in the output"
)
_FRAMES_LOST = "what follows its first frame header with another one is not in the output"
_THUMBNAILS_NOTE = "its larger thumbnails (MPF) are not in the output"
_VIDEO_UNANNOUNCED = (
    "the references to a gain map and a video were removed from its XMP; the video itself was kept"
)
_HUFFMAN_NOTE = "its arithmetic coding was replaced by Huffman's"
_EXTENSION_LOST = "its JPEG XT extension layers are not in the output"
_JUMBF_LOST = "its JUMBF data is not in the output"


def blocks(found: Parts) -> CarriedAndNotes:
    """Extract the metadata segments and what is carried from behind the image; list notes."""
    notes = ["its end mark was missing"] * (not found.has_end_mark)
    if found.frame.marker in ARITHMETIC:
        notes.append(_HUFFMAN_NOTE)
    notes += [CREDENTIALS] * (CREDENTIALS in _extensions(found))
    made = []
    for segment in found.segments:
        marker_and_payload = found.data[segment.start + 1 : segment.start + 2] + found.body(segment)
        note = _left_out(marker_and_payload)
        notes += [note] if note else []
        if is_metadata(segment.marker) and note is None:
            made.append(_block(marker_and_payload))
    if not icc.is_complete(made):
        made = [block for block in made if block.kind is not Kind.ICC]
        notes.append("its ICC profile is incomplete and was left out")
    kept = trailers.kept_from(found.data, found.end)
    if kept < len(found.data):
        made.append(Block(Kind.OTHER, found.data[kept:], TRAILER))
    carried, behind = Carried(tuple(made)), found.data[found.end : kept]
    if jpegmpf.without_thumbnails(found, kept) != behind:
        notes.append(_THUMBNAILS_NOTE)
    if behind and not behind.strip(b"\0"):
        notes.append(f"{len(behind)} zeros behind its end were not kept")
    if kept == len(found.data) or behind.strip(b"\0"):
        carried, removed = pillow.unannounced(carried)
        kept_video = removed and kept < len(found.data)
        notes += [_VIDEO_UNANNOUNCED] if kept_video else removed
    return carried, list(dict.fromkeys(notes))


def _left_out(marker_and_payload: bytes) -> str | None:
    """Note on a segment that is not carried, "" where `_extensions` tells; None for all others.

    Args:
        marker_and_payload: the marker's second byte and the payload.
    """
    if marker_and_payload.startswith(_GAIN_MAP_TOLD):
        return _GAIN_MAP_NOTE
    if marker_and_payload.startswith(b"\xebJP"):
        return ""
    return None


def _extensions(found: Parts) -> set[str]:
    """Sentences on the boxes of APP11, each of which may be spread over several segments."""
    boxes: dict[bytes, tuple[bytes, bytes]] = {}
    for each in found.segments:
        body = found.body(each)
        if each.marker == _APP11 and body.startswith(b"JP"):
            kind, content = boxes.get(body[_INSTANCE], (body[_BOX_TYPE], b""))
            boxes[body[_INSTANCE]] = kind, content + body[_BOX_TYPE.stop :]
    return {
        _EXTENSION_LOST if kind != b"jumb" else CREDENTIALS if b"c2pa" in content else _JUMBF_LOST
        for kind, content in boxes.values()
    }


def losses(found: Parts) -> list[str]:
    """List the content that the output will not hold."""
    behind = jpegmpf.without_thumbnails(found, trailers.kept_from(found.data, found.end))
    has_images = b"\xff\xd8\xff" in behind
    lost = [_IMAGES_LOST] if has_images else trailers.unknown(behind)
    if found.stray_content:
        lost.append(f"{found.stray_content} stray bytes between its segments are not in the output")
    lost += [_FRAMES_LOST] * (sum(each.marker in FRAMES for each in found.segments) > 1)
    return lost + sorted(_extensions(found) - {CREDENTIALS})


def _block(segment: bytes) -> Block:
    for start, kind in _KINDS:
        if segment.startswith(start):
            # Some write 0xff in place of EXIF's second 0.
            end = len(start) + (kind is Kind.EXIF)
            return Block(kind, segment[end:], segment[:end])
    return Block(Kind.OTHER, segment[1:], segment[:1])


def spliced(encoded: bytes, carried: Sequence[Block]) -> bytes:
    """Insert these blocks in place of the encoder's own APP0 (JFIF) and APP14 (Adobe)."""
    # Without one of Adobe's the encoder's stays.
    own = {APP0, APP14 if any(block.where == ADOBE for block in carried) else APP0}
    start = 2
    if encoded[3] in own:
        start += 2 + int.from_bytes(encoded[4:6])
    made = b"".join(
        b"\xff"
        + block.where[:1]
        + (len(block.where) + 1 + len(block.data)).to_bytes(2)
        + block.where[1:]
        + block.data
        for block in carried
        if block.where != TRAILER
    )
    behind = b"".join(block.data for block in carried if block.where == TRAILER)
    return encoded[:2] + made + encoded[start:] + behind


def edited(data: bytes, edit: Callable[[Carried], Carried]) -> tuple[bytes, list[str]]:
    """Change the metadata segments of a file; see `Container.edited`."""
    found = parts(data, most_scans=MOST_SCANS, stop=trailers.video_or_samsung(data))
    carried, notes = blocks(found)
    copy = spliced(found.stream(lambda _: False), edit(carried).blocks)
    return copy, [note for note in notes if note != _HUFFMAN_NOTE]


def fitting(block: Block) -> list[Block]:
    """Split a block into segments; none if it is empty.

    Raises:
        ValueError: it is larger than one segment of JPEG and may not be divided.
    """
    room = _SEGMENT_MAX - len(block.where) + 1
    if len(block.data) <= room:
        return [block] if block.data else []
    if block.kind is not Kind.PHOTOSHOP:
        raise ValueError(f"{len(block.data)} bytes are more than a JPEG segment holds")
    starts = range(0, len(block.data), room)
    return [replace(block, data=block.data[at : at + room]) for at in starts]
