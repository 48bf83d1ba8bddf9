"""Metadata of AVIF and HEIF changed in the file, whose coded images stay as they are, bit for bit.

Owns the way: nothing moves. Content that changes is written where it lay, padded; an item that goes
is taken out of the lists, its bytes become zeros, and the room in the list a `free` box.

Source: ISO/IEC 14496-12, 8.1.2 (free), 8.2.2, 8.3.2 and 8.4.2 (times), 8.11.3 (iloc).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from sharpend.imaging.containers import isotracks, itemlists, leftout, pillow
from sharpend.imaging.containers.isobmff import box_of, boxes, inside, leaves, without_cut_padding
from sharpend.imaging.containers.itemdata import XMP_TYPE, exif_item, metadata_of
from sharpend.imaging.containers.itemplaces import IN_FILE, IN_META
from sharpend.imaging.containers.items import items_in, items_of
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.imaging.containers.isobmff import Box
    from sharpend.imaging.containers.itemplaces import Place
    from sharpend.imaging.containers.items import Items

    Contents = Mapping[int, bytes | None]
    """The items that stay, by number: their new content, None for that of an image."""

_STAYING = frozenset(b"ftyp styp meta mdat moov wide pdin".split())
_TIMES = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_HEAD_BYTES, _VERSION_BYTES = 8, 4
_MADE_AT = b"times"
"""Place (a block's `where`) of the times at which tracks were made."""


def edited(data: bytes, edit: Callable[[Carried], Carried]) -> tuple[bytes, list[str]]:
    """Change the metadata of a file, and remove what belongs to none of its images.

    Args:
        data: a whole file that loses no content when it is written again.
        edit: returns what is to stay of its metadata.

    Returns:
        The file, and notes on what was removed beside metadata.

    Raises:
        ValueError: it cannot be changed in place.
        ImageRefusedError: `damaged`.
    """
    data = without_cut_padding(data)
    items = items_of(Reader(BytesIO(data)))
    found = list(leaves(data))
    carried, notes = pillow.unannounced(metadata_of(items, data, Carried()))
    if any(leaf.kind in _TIMES for leaf in found):
        carried = Carried((*carried.blocks, Block(Kind.TEXT, b"", _MADE_AT)))
    wanted = edit(carried)
    made, contents = bytearray(data), _contents(items, wanted)
    _edit_lists(made, found, items, contents)
    if all(block.where != _MADE_AT for block in wanted.blocks):
        _clear_times(made, found)
    _clear_boxes(made)
    form = leftout.left_out(data, items, is_sequence=False).notes
    staying = leftout.of_properties(items, are_form=True)
    return bytes(made), [*notes, *(note for note in form if note not in staying)]


def _contents(items: Items, wanted: Carried) -> Contents:
    """List the items that stay: images, and the metadata that is wanted."""
    block = wanted.data(Kind.EXIF)
    metadata = {
        items.metadata(b"Exif"): (block and exif_item(block), b"\0"),
        items.metadata(b"mime", XMP_TYPE): (wanted.data(Kind.XMP), b" "),
    }
    contents: dict[int, bytes | None] = {}
    for number in leftout.carried_by(items):
        content, padding = metadata.get(number, (None, b""))
        if content is not None and number in items.places:
            room = sum(length for _, length in items.places[number].extents)
            if len(content) > room:
                raise ValueError("its metadata does not fit where it lies")
            contents |= {number: content.ljust(room, padding)} if content else {}
        else:
            contents[number] = None
    return contents


def _edit_lists(made: bytearray, found: list[Box], items: Items, contents: Contents) -> None:
    """Change the lists of items: that of the file, and those of tracks, which tell the same."""
    data = bytes(made)
    shared = {
        (items.kind_of(number), items.places[number]): content
        for number, content in contents.items()
        if number in items.places
    }
    media = [(leaf.start, leaf.end) for leaf in found if leaf.kind == b"mdat"]
    images = [number for number, content in contents.items() if content is None]
    needed = [span for number in images for span in _spans(items.places.get(number))]
    needed += isotracks.tracks_of(data).samples
    is_first = True
    for leaf in found:
        if leaf.kind != b"meta":
            continue
        described = list(inside(data[leaf.start + _VERSION_BYTES : leaf.end]))
        listed = items_in(described, 0)
        staying = contents if is_first else _same(listed, shared)
        is_first = False
        inner = bytearray(listed.inner)
        for number, place in listed.places.items():
            content = staying.get(number, b"")
            if content is not None:
                _check(place, media, needed, len(inner))
                _put(made if place.method == IN_FILE else inner, place, content)
        described = [(kind, bytes(inner) if kind == b"idat" else body) for kind, body in described]
        gone = (listed.items.keys() | listed.places.keys()) - staying.keys()
        _put_list(made, leaf, itemlists.without(described, gone))


def _same(listed: Items, shared: Mapping[tuple[bytes, Place], bytes | None]) -> Contents:
    """Return the items of a track that the whole file has, too."""
    keys = {number: (listed.kind_of(number), place) for number, place in listed.places.items()}
    return {number: shared[key] for number, key in keys.items() if key in shared}


def _spans(place: Place | None) -> list[tuple[int, int]]:
    """Start and end of each part of an item that lies in the file."""
    if place is None or place.method != IN_FILE:
        return []
    return [(offset, offset + length) for offset, length in place.extents]


def _check(
    place: Place, media: list[tuple[int, int]], needed: list[tuple[int, int]], inner: int
) -> None:
    """Refuse to write over anything but media data, and over what an image needs."""
    lies_well = place.method == IN_META and all(
        length and offset + length <= inner for offset, length in place.extents
    )
    spans = _spans(place)
    if spans:
        lies_well = all(
            first < last
            and any(start <= first and last <= end for start, end in media)
            and not any(first < end and start < last for start, end in needed)
            for first, last in spans
        )
    if not lies_well and place.extents:
        raise ValueError("its metadata lies where something else does")


def _put(target: bytearray, place: Place, content: bytes) -> None:
    """Write the content of an item where it lies, zeros behind it."""
    at = 0
    for offset, length in place.extents:
        target[offset : offset + length] = content[at : at + length].ljust(length, b"\0")
        at += length


def _put_list(made: bytearray, leaf: Box, described: bytes) -> None:
    """Write the boxes of a list in place, with padding behind them."""
    start = leaf.start + _VERSION_BYTES
    left = leaf.end - start - len(described)
    if left < 0 or 0 < left < _HEAD_BYTES:
        raise ValueError("its list of items does not fit where it lies")
    made[start : leaf.end] = described + (
        box_of(b"free", bytes(left - _HEAD_BYTES)) if left else b""
    )


def _clear_times(made: bytearray, found: list[Box]) -> None:
    """Set the times at which tracks were made and changed to zero, which says nothing."""
    for leaf in found:
        if leaf.kind in _TIMES:
            size = 16 if made[leaf.start] else 8
            start = leaf.start + _VERSION_BYTES
            made[start : start + size] = bytes(size)


def _clear_boxes(made: bytearray) -> None:
    """Make padding of the boxes of the file that hold no image."""
    for each in boxes(Reader(BytesIO(bytes(made)))):
        if each.kind not in _STAYING:
            at = each.start - (_HEAD_BYTES + 4 if each.size_field == 1 else 4)
            made[at : at + 4] = b"free"
            end = min(each.end, len(made))
            made[each.start : end] = bytes(end - each.start)
