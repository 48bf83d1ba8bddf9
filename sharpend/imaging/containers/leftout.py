"""Parts of an AVIF or HEIF that the output will not hold: boxes, items and properties, by name.

Owns the distinction between lost content (a second image, a video, a maker's data: a loss) and lost
form (a thumbnail, padding: a note). Whatever is unknown is reported by its name.

Source: ISO/IEC 14496-12, 8.11 (items), 8.18 (groups); 23008-12, 6.5 (properties), 6.6.2 (tmap);
23002-3 (depth); C2PA 2.1, 11.3 (uuid); Motion photo format 1.0 (mpvd).
"""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sharpend.imaging.containers import codedunits, isobmff, isotracks, overlays, surplus
from sharpend.imaging.containers.itemdata import XMP_TYPE
from sharpend.imaging.containers.itemsupport import CODED, FORM
from sharpend.imaging.metadata.blocks import CREDENTIALS
from sharpend.imaging.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharpend.imaging.containers.isotracks import Tracks
    from sharpend.imaging.containers.items import Item, Items

_LAYOUT = frozenset(b"ftyp styp meta mdat free skip wide pdin".split())
_PADDING = frozenset(b"free skip".split())
"""Boxes whose content has no meaning by the standard (8.1.2)."""
_DESCRIPTION = frozenset(b"hdlr pitm iloc iinf iref iprp idat dinf".split())
_TOLD = {b"udes": "description (udes)", b"altt": "alternative text (altt)"}
"""Names of properties."""
_IMAGES = frozenset(b"hvc1 hev1 lhv1 av01 avc1 vvc1 jpeg j2k1 unci grid iovl iden".split())
_AUXILIARY = {
    "HDR gain map": (b"hdrgainmap", b":21496:"),
    "depth map": (b"depth", b"disparity", b"hevc:2015:auxid:2"),
}
"""Names, and what the types (URN) of such images contain."""
_DATA = {b"tmap": "HDR gain map", b"Exif": "further EXIF block", XMP_TYPE: "further XMP packet"}
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_UUID_BYTES = 16
_VIDEOS = {b"mpvd": "motion video", b"moov": "image sequence or video", b"moof": "video"}
_UNREADABLE = "the data of its animation could not be accounted for: some may be lost"
_MOST_BOXES = 10_000
_LONGEST = 60
"""Characters of a name that the file gives."""


class LeftOut(NamedTuple):
    """Sentences on what the output will not hold."""

    notes: tuple[str, ...]
    """Form only."""
    losses: tuple[str, ...]
    """Content."""


def left_out(data: bytes, items: Items, *, is_sequence: bool) -> LeftOut:
    """Name everything in a whole file that is neither carried nor layout.

    Args:
        data: the file.
        items: its items.
        is_sequence: its image sequence is carried as an animation, or noted as lost.
    """
    notes, losses = _boxes(data, is_sequence=is_sequence)
    tracks = isotracks.tracks_of(data)
    losses += [_UNREADABLE] * (is_sequence and not tracks.is_complete)
    things = [*_items(items), *_groups(data)]
    if is_sequence:
        things += [(name, True) for name in (*tracks.lost(), *_of_tracks(tracks, items))]
    notes += _counted(name for name, is_content in things if not is_content)
    losses += _counted(name for name, is_content in things if is_content)
    shown = (place for track in tracks.shown() for place in track.samples) if is_sequence else ()
    claimed = _extents(items, len(data), is_in_file=True)
    frames = [place for place in shown if place not in claimed]
    losses += surplus.named(codedunits.held(items, data, frames))[1]
    unclaimed = _unclaimed(data, items, tracks)
    losses += [f"{unclaimed} bytes of its media data belong to no item: they were not kept"] * bool(
        unclaimed
    )
    losses += overlays.lost(items, data)
    notes += of_properties(items, are_form=True)
    losses += of_properties(items, are_form=False)
    return LeftOut(tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(losses)))


def _boxes(data: bytes, *, is_sequence: bool) -> tuple[list[str], list[str]]:
    """Name the boxes beside description and media data; notes and losses."""
    notes, losses = [], []
    found = list(islice(isobmff.boxes(Reader(BytesIO(data))), _MOST_BOXES))
    several = [box.kind for box in found].count(b"meta") > 1
    losses += ["its further list of items (meta) was not kept"] * several
    for box in found:
        if box.kind == b"uuid" and data.startswith(_CREDENTIALS, box.start):
            notes.append(CREDENTIALS)
        elif box.kind == b"uuid":
            number = data[box.start : box.start + _UUID_BYTES].hex()
            losses.append(f"its data of an unknown kind (uuid {number}) was not kept")
        elif box.kind in _VIDEOS:
            # Decoders show the samples that moov tells of, and no fragment.
            is_shown = is_sequence and box.kind == b"moov"
            losses += [f"its {_VIDEOS[box.kind]} was not kept"] * (not is_shown)
        elif box.kind in _PADDING:
            has_content = bool(surplus.count(data[box.start : min(box.end, len(data))]))
            notes += [f"what its padding ({_text(box.kind)}) held was not kept"] * has_content
        elif box.kind not in _LAYOUT:
            losses.append(f"its data of an unknown kind ({_text(box.kind)}) was not kept")
    if isobmff.without_cut_padding(data) != data:
        notes.append(isobmff.PADDING_CUT)
    return notes, losses


def _unclaimed(data: bytes, items: Items, tracks: Tracks) -> int:
    """Count the bytes of media data that no item and no sample of a track has."""
    found = list(islice(isobmff.boxes(Reader(BytesIO(data))), _MOST_BOXES))
    if not tracks.is_complete or any(box.kind == b"moof" for box in found):
        return 0  # a loss already
    in_meta = _extents(items, len(items.inner), is_in_file=False)
    count = surplus.unclaimed(items.inner, in_meta, 0, len(items.inner))
    claimed = {*_extents(items, len(data), is_in_file=True), *tracks.samples}
    for box in found:
        if box.kind == b"mdat":
            count += surplus.unclaimed(data, claimed, box.start, min(box.end, len(data)))
    return count


def _extents(items: Items, size: int, *, is_in_file: bool) -> list[tuple[int, int]]:
    """List the places of all items that lie in the file, or in its description."""
    return [
        (offset, offset + length if length else size)
        for place in items.places.values()
        if place.method == (0 if is_in_file else 1)
        for offset, length in place.extents
    ]


def of_properties(items: Items, *, are_form: bool) -> list[str]:
    """Name the properties that no output has, of the images that it has and of thumbnails."""
    shown = {*carried_by(items), *items.related(b"thmb")} & items.properties.keys()
    kinds = dict.fromkeys(kind for number in sorted(shown) for kind, _ in items.properties[number])
    return [
        f"its {_TOLD.get(kind, f'property {_text(kind)}')} was not kept"
        for kind in kinds
        if kind not in CODED and (kind in FORM) == are_form
    ]


def _groups(data: bytes) -> Iterator[tuple[tuple[str, str], bool]]:
    """Name the boxes beside the list of items: groups are form, the rest is content."""
    for kind, body in isobmff.meta_of(Reader(BytesIO(data))):
        if kind == b"grpl":
            for group, _ in isobmff.inside(body):
                yield ("group of images", _text(group)), False
        elif kind in _PADDING:
            held = surplus.count(body)
            yield from [(("padding", _text(kind)), False)] * bool(held)
        elif kind not in _DESCRIPTION:
            yield ("description of an unknown kind", _text(kind)), True


def _items(items: Items) -> Iterator[tuple[tuple[str, str], bool]]:
    """Name each item that is not carried, and whether it is content.

    What belongs to such an item (its tiles, its alpha, its metadata) goes without saying; but of a
    thumbnail, which is form, no more than tiles and alpha.
    """
    carried = carried_by(items)
    others = [number for number in items.items if number not in carried]
    gone, thumbnails = set(others), items.related(b"thmb").keys() - carried
    owned = {
        part
        for source, targets in items.related(b"dimg").items()
        if source in gone
        for part in targets
    }
    for kind in (b"cdsc", b"auxl", b"thmb"):
        for source, targets in items.related(kind).items():
            is_form = kind == b"thmb" or items.is_alpha(source)
            if gone.issuperset(targets) and (is_form or not thumbnails.issuperset(targets)):
                owned.add(source)
    for number in others:
        if number not in owned or gone <= owned:
            is_small = number in items.related(b"thmb")
            yield (("thumbnail", ""), False) if is_small else (_named(items, number), True)


def _of_tracks(tracks: Tracks, items: Items) -> Iterator[tuple[str, str]]:
    """Name the items of the tracks that are shown, but for those that describe the image, too."""
    carried = {(items.kind_of(each), items.places.get(each)) for each in carried_by(items)}
    for track in tracks.shown():
        for number, item in track.items.items.items():
            if (item.kind, track.items.places.get(number)) not in carried:
                yield _named(track.items, number)


def carried_by(items: Items) -> set[int]:
    """Return the numbers of the items whose content the output has."""
    images = items.primary, *items.alphas()
    metadata = items.metadata(b"Exif"), items.metadata(b"mime", XMP_TYPE)
    return {
        *(part for number in images for part in items.parts(number)),
        *(number for number in metadata if number is not None),
    }


def _named(items: Items, number: int) -> tuple[str, str]:
    """Name an item, with its description in the file."""
    item: Item = items.items[number]
    use = items.auxiliary_type(number)
    if use:
        names = [name for name, parts in _AUXILIARY.items() if any(part in use for part in parts)]
        return (names[0], "") if names else ("auxiliary image", _text(use))
    if item.kind in _IMAGES:
        return ("hidden image" if item.is_hidden else "further image"), ""
    named = _DATA.get(item.content or item.kind)
    return (named, "") if named else ("data block", _text(item.content or item.kind))


def _counted(names: Iterable[tuple[str, str]]) -> list[str]:
    """Make one sentence of each name, however often it comes."""
    return [
        f"its {f'{count} ' if count > 1 else ''}{name}{'s' * (count > 1)}"
        f"{f' ({types})' if types else ''} {'were' if count > 1 else 'was'} not kept"
        for (name, types), count in Counter(names).items()
    ]


def _text(name: bytes) -> str:
    return name[:_LONGEST].decode("ascii", "backslashreplace")
