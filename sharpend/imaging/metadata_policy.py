"""Output metadata: apply the folder's policies, renew the thumbnail, add the provenance record.

Owns the order: strip, then renew the thumbnail, then add our record. A block that may hold what a
policy removes, but cannot be parsed, is dropped as a whole with a note.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers import trailers
from sharpend.imaging.detection import CONTAINERS
from sharpend.imaging.metadata import exif, photoshop, pngtext, xmp
from sharpend.imaging.metadata.blocks import (
    NEEDED,
    NOTE_MOVED,
    TRAILER,
    Block,
    Carried,
    Kind,
)
from sharpend.imaging.metadata.ifd import MAKER_NOTE
from sharpend.imaging.metadata.tagnames import names
from sharpend.imaging.metadata.thumbnail import thumbnail
from sharpend.policies import Metadata, Thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.imaging.containers.container import Container
    from sharpend.imaging.metadata.provenance import Provenance
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.policies import Policies


def finished(picture: Picture, policies: Policies, record: Provenance | None) -> Picture:
    """Return the sharpened image with the metadata of its output.

    Args:
        picture: sharpened; with all that its source carried.
        policies: what is kept, and what becomes of the thumbnail.
        record: how the output was made, where that is to be told.
    """
    if not picture.frames:  # copied unchanged
        return picture
    notes, container = list(picture.notes), CONTAINERS[picture.format]
    frames = [_finished(frame, container, policies, notes) for frame in picture.frames]
    if record is not None and container.xmp_at is None:
        notes.append(f"{picture.format} cannot hold a provenance record")
    elif record is not None:
        carried = _with_record(frames[0].carried, container, record, notes)
        frames[0] = replace(frames[0], carried=carried)
    return replace(picture, frames=tuple(frames), notes=tuple(dict.fromkeys(notes)))


def _finished(frame: Frame, container: Container, policies: Policies, notes: list[str]) -> Frame:
    carried, encoding = reduced(frame.carried, container, policies, notes), frame.encoding
    if policies.metadata is Metadata.STRIP:
        encoding = {key: value for key, value in encoding.items() if key != "header"}
    elif policies.thumbnail is Thumbnail.REFRESH:
        carried = _with_new_thumbnail(frame, carried, container, notes)
    return replace(frame, carried=carried, encoding=encoding)


def reduced(
    carried: Carried, container: Container, policies: Policies, notes: list[str]
) -> Carried:
    """Remove from metadata what the policies do not let through.

    Args:
        carried: of one image.
        container: of its format.
        policies: what is kept.
        notes: gets sentences on what was removed as a whole.
    """
    if policies.metadata is Metadata.STRIP:
        return _stripped(carried)
    if policies.metadata is Metadata.STRIP_GPS:
        carried = _without_gps(carried, container, notes)
    if policies.thumbnail is Thumbnail.DROP:
        carried = _mapped(carried, container, {Kind.EXIF: exif.without_thumbnail}, notes)
    return carried


def _stripped(carried: Carried) -> Carried:
    """Keep only the metadata that is needed to show the image as it was."""
    blocks = [block for block in carried.blocks if block.kind in NEEDED]
    block = carried.block(Kind.EXIF)
    needed = exif.only_needed(carried.data(Kind.EXIF))
    if block is not None and needed:
        blocks.append(replace(block, data=needed))
    return Carried(tuple(blocks), carried.tags and carried.tags.needed())


def _without_gps(carried: Carried, container: Container, notes: list[str]) -> Carried:
    extended = [block.data for block in carried.blocks if block.kind is Kind.EXTENDED_XMP]
    if xmp.extension_holds_gps(xmp.EXTENSION + data for data in extended):
        notes.append("removed its extended XMP, which contains GPS data")
        carried = carried.without(Kind.EXTENDED_XMP)
    unknown = [block for block in carried.blocks if block.kind is Kind.OTHER]
    if unknown:
        notes.append("removed an unknown metadata block that may contain GPS data")
        carried = carried.without(Kind.OTHER)
    telling = [block for block in carried.blocks if pngtext.holds_gps(block.where, block.data)]
    if telling:
        notes.append("removed a text chunk that contains, or may contain, GPS data")
        rest = tuple(block for block in carried.blocks if block not in telling)
        carried = replace(carried, blocks=rest)
    tags = carried.tags
    blocks = [block.data for block in carried.blocks if block.kind is Kind.EXIF]
    private = set().union(tags.private() if tags else (), *map(exif.unknown_tags, blocks))
    _tell_private(private, notes)
    carried = replace(carried, tags=tags and tags.without_private().without_gps())
    has_lost_video = any(block.where == TRAILER for block in unknown)
    carried = photoshop.joined(carried)
    resources = photoshop.unknown(carried.data(Kind.PHOTOSHOP))
    if resources:
        told = ", ".join(map(str, resources))
        notes.append(f"removed Photoshop resources that may contain GPS data: {told}")
    edits = {
        Kind.EXIF: exif.without_gps,
        Kind.XMP: _quiet_without_gps if has_lost_video else xmp.without_gps,
        Kind.PHOTOSHOP: photoshop.without_gps,
    }
    return _mapped(carried, container, edits, notes)


def _tell_private(tags: set[int], notes: list[str]) -> None:
    """Add notes on tags that are removed because only their makers understand them."""
    if MAKER_NOTE in tags:
        notes[:] = [note for note in notes if note != NOTE_MOVED]
        notes.append("removed its maker note (MakerNote), which may contain GPS data")
    if tags - {MAKER_NOTE}:
        told = names(tags - {MAKER_NOTE})
        notes.append(f"removed tags of unknown meaning that may contain GPS data: {told}")


def _quiet_without_gps(packet: bytes) -> bytes:
    """Remove positions, and what announces data behind the image that is removed too."""
    return xmp.without_announcements(xmp.without_gps(packet))


def _with_new_thumbnail(
    frame: Frame, carried: Carried, container: Container, notes: list[str]
) -> Carried:
    old = exif.thumbnail_of(carried.data(Kind.EXIF))
    if not old:
        return carried

    def renewed(block: bytes) -> bytes:
        return exif.with_thumbnail(block, thumbnail(frame.pixels, old))

    return _mapped(carried, container, {Kind.EXIF: renewed}, notes)


def _mapped(
    carried: Carried,
    container: Container,
    edits: Mapping[Kind, Callable[[bytes], bytes]],
    notes: list[str],
) -> Carried:
    """Change the blocks of these kinds; drop those that are unreadable or too large."""
    blocks = []
    for block in carried.blocks:
        if block.kind not in edits:
            blocks.append(block)
            continue
        try:
            blocks += container.fitting(_changed(block, edits[block.kind], notes))
        except ValueError as error:
            notes.append(f"its {block.kind.name} data was not kept: {error}")
    return replace(carried, blocks=tuple(blocks))


def _changed(block: Block, edit: Callable[[bytes], bytes], notes: list[str]) -> Block:
    """Change the content of one block, in the packing of its format."""
    if block.where != b"iTXt":
        return replace(block, data=edit(block.data))
    packet = pngtext.xmp_of(block.data) if block.data else b""
    changed = replace(block, data=pngtext.with_xmp(block.data, edit(packet)))
    behind = pngtext.behind_xmp(block.data) if block.data else b""
    notes += trailers.unknown(behind, "in its compressed XMP")
    return changed


def _with_record(
    carried: Carried, container: Container, record: Provenance, notes: list[str]
) -> Carried:
    """Add our record to the XMP packet, or make a new packet if there is none."""

    def with_ours(packet: bytes) -> bytes:
        return xmp.with_record(packet, record.fields())

    old = carried.block(Kind.XMP)
    try:
        new = _changed(old or Block(Kind.XMP, b"", container.xmp_at or b""), with_ours, notes)
        container.fitting(new)
    except ValueError as error:
        notes.append(f"no provenance record was written: {error}")
        return carried
    blocks = [new if block is old else block for block in carried.blocks]
    return replace(carried, blocks=tuple(blocks if old is not None else [*blocks, new]))
