"""TIFF metadata: what an output keeps of the tags of its source.

Owns the list of tags that are not carried, and the sentences on them. Every tag of a page is
carried, describes a coding that is chosen anew, or is named in a note.

Source: TIFF 6.0; C2PA 2.1 section A.3.6 for the content credentials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers.tiffpage import UNCOMPRESSED
from sharpend.imaging.containers.tiffpages import CODING, DECISIVE
from sharpend.imaging.metadata.blocks import CREDENTIALS, NOTE_MOVED, Block, Carried, Kind
from sharpend.imaging.metadata.ifd import EXIF, MAKER_NOTE, Ifd, IfdEntry
from sharpend.imaging.metadata.tagnames import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tifffile

ICC = 34675
_BLOCKS: Mapping[int, Kind] = {
    ICC: Kind.ICC,
    700: Kind.XMP,
    33723: Kind.IPTC,
    34377: Kind.PHOTOSHOP,
}
XMP_AT = (700).to_bytes(2) + b"\1"
"""Place of a page's XMP packet: tag and type, as a block remembers them."""
_CREDENTIALS = 52545
_OF_SAMPLES = frozenset(
    {263, 264, 265, 280, 281, 290, 291, 301, 332, 333, 334, 336, 338, 339, 340, 341, 342, 346, 532}
)
"""Tags that say what the numbers of samples mean: true as long as these are written unchanged."""
_IMPLIED = frozenset({338, 339})
"""Those of them that a writer sets anew."""


def carried_of(tags: Ifd, *, keeps_samples: bool, notes: list[str]) -> Carried:
    """Choose what is kept of a page's tags, as blocks and as tags.

    Args:
        tags: all tags of the page.
        keeps_samples: its samples are written as they are stored.
        notes: gets the sentences on what is not kept.
    """
    gone = set() if keeps_samples else _OF_SAMPLES & tags.entries.keys()
    if gone - _IMPLIED:
        notes.append(f"tags of its former samples were not kept: {names(gone - _IMPLIED)}")
    if _CREDENTIALS in tags.entries:
        notes.append(CREDENTIALS)
    unread = {tag for one in tags.family() for tag in one.unread} - DECISIVE
    if unread:
        notes.append(f"tags that cannot be read were not kept: {names(unread)}")
    left_out = {*CODING, *_BLOCKS, *gone, _CREDENTIALS}
    blocks = tuple(
        Block(kind, tags.entries[tag].data, where(tag, tags.entries[tag].kind))
        for tag, kind in _BLOCKS.items()
        if tag in tags.entries
    )
    others = {tag: entry for tag, entry in tags.entries.items() if tag not in left_out}
    return Carried(blocks, Ifd(others, tags.children))


def tags_of(carried: Carried) -> Ifd:
    """Join blocks and tags as the directory that they came from."""
    tags = carried.tags or Ifd({}, {})
    blocks = {
        int.from_bytes(block.where[:2]): IfdEntry(block.where[2], block.data)
        for block in carried.blocks
    }
    return Ifd({**tags.entries, **blocks}, tags.children)


def where(tag: int, kind: int) -> bytes:
    """Place of a block: its tag and type."""
    return tag.to_bytes(2) + bytes((kind,))


def with_note_in_place(tags: Ifd, page: tifffile.TiffPage, notes: list[str]) -> Ifd:
    """Let the maker note move where its place would leave a large hole in the output.

    Its offsets count from the start of the file, so it is to stay where it is. Behind a single
    compressed strip it cannot: the new strip may be larger, and would come behind the note.
    """
    exif = tags.children.get(EXIF)
    note = exif.entries.get(MAKER_NOTE) if exif else None
    if not exif or not note or not note.pinned_at or page.compression == UNCOMPRESSED:
        return tags
    if len(page.dataoffsets) > 1 or note.pinned_at < page.dataoffsets[0]:
        return tags
    notes.append(NOTE_MOVED)
    moved = replace(exif, entries={**exif.entries, MAKER_NOTE: replace(note, pinned_at=0)})
    return replace(tags, children={**tags.children, EXIF: moved})
