"""Tracks of image sequences in AVIF and HEIC: where their samples lie, and what no output holds.

libavif shows the first track of AV1 images and its alpha channel. Others, as sound, are lost.

Source: ISO/IEC 14496-12, 8.3 (tracks), 8.4.3 (hdlr), 8.5 (stsd), 8.6.6 (elst) and 8.7 (stsz, stsc,
stco, co64); 23008-12, 9.6.1 (repeated edits).
"""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers.isobmff import Fields, boxes, inside, leaves
from sharpend.imaging.containers.items import items_in
from sharpend.imaging.reading import Reader, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.imaging.containers.isobmff import Box
    from sharpend.imaging.containers.items import Items

    Range = tuple[int, int]
    """Offsets of the first byte and behind the last one."""

_MOVIE = frozenset(b"mvhd trak free skip".split())
_TRACK = frozenset(b"tkhd tref edts mdia meta free skip".split())
_DESCRIPTION = frozenset(b"hdlr pitm iloc iinf iref idat dinf free skip".split())
"""Boxes of a track's own list of items."""
_VERSION_BYTES = 4
_HANDLER_AT, _CODING_AT = 8, 12
"""In hdlr, and in stsd behind its head and the length of its first entry."""
_DURATIONS = {b"mvhd": (16, 24), b"tkhd": (20, 28), b"elst": (8, 8)}
"""Offset of the duration in boxes of times of 32 and 64 bits; in elst that of the first edit."""
_REPEATED, _ENDLESS = 1, 1 << 63
"""Flag of elst, and a duration for all bits set."""
_MOST = 65_536
"""Boxes and samples of a file: more than any animation needs."""


class Track(NamedTuple):
    """One stream of a sequence."""

    number: int
    owner: int
    """Number of the track that it belongs to, as alpha does; 0 for none."""
    handler: bytes
    """pict, auxv (alpha), vide, soun, ..."""
    coding: bytes
    samples: tuple[Range, ...]
    items: Items
    """Metadata of the track alone, mostly that of the whole file."""
    others: tuple[bytes, ...]
    """Types of its boxes beside those that describe it."""


class Tracks(NamedTuple):
    """All tracks of a file."""

    tracks: tuple[Track, ...] = ()
    others: tuple[bytes, ...] = ()
    """Types of further boxes beside them."""
    is_complete: bool = True
    """False where they cannot be read."""

    @property
    def samples(self) -> set[Range]:
        """Places of all samples."""
        return {each for track in self.tracks for each in track.samples}

    def shown(self) -> list[Track]:
        """List the track that decoders show, and its alpha channel."""
        images = [each for each in self.tracks if each.coding == b"av01" and each.samples]
        colours = [each for each in images if not each.owner][:1]
        return (
            colours + [each for each in images if colours and each.owner == colours[0].number][:1]
        )

    def lost(self) -> Iterator[tuple[str, str]]:
        """Name the other tracks and boxes, with their type in the file."""
        shown = self.shown()
        for track in self.tracks:
            if track not in shown:
                yield "further track", _text(track.handler)
        for kind in (*self.others, *(kind for track in shown for kind in track.others)):
            yield "data of its sequence", _text(kind)


def tracks_of(data: bytes) -> Tracks:
    """Parse the tracks of a whole file."""
    found: list[Track] = []
    others: list[bytes] = []
    try:
        for box in islice(boxes(Reader(BytesIO(data))), _MOST):
            for kind, body in inside(data[box.start : box.end]) if box.kind == b"moov" else ():
                if kind == b"trak":
                    found.append(_track(body))
                elif kind not in _MOVIE:
                    others.append(kind)
    except ImageRefusedError:
        return Tracks(is_complete=False)
    return Tracks(tuple(found), tuple(others))


def is_sequence(data: bytes) -> bool:
    """Return whether decoders show the image sequence of a file, and not its primary image."""
    found = list(islice(boxes(Reader(BytesIO(data))), _MOST))
    is_main = any(box.kind == b"ftyp" and data.startswith(b"avis", box.start) for box in found)
    return is_main and any(box.kind == b"moov" for box in found)


def _track(trak: bytes) -> Track:
    parts = dict(inside(trak))
    described = list(inside(parts.get(b"meta", b"")[_VERSION_BYTES:]))
    media = dict(inside(parts.get(b"mdia", b"")))
    table = dict(inside(dict(inside(media.get(b"minf", b""))).get(b"stbl", b"")))
    head = Fields(parts.get(b"tkhd", b""))
    head.octets(16 if head.number(_VERSION_BYTES) >> 24 else 8)
    owners = dict(inside(parts.get(b"tref", b""))).get(b"auxl", b"")
    return Track(
        head.number(4),
        int.from_bytes(owners[:4]),
        media.get(b"hdlr", b"")[_HANDLER_AT : _HANDLER_AT + 4],
        table.get(b"stsd", b"")[_CODING_AT : _CODING_AT + 4],
        tuple(_samples(table)),
        items_in(described, 0),
        (
            *(kind for kind in parts if kind not in _TRACK),
            *(kind for kind, _ in described if kind not in _DESCRIPTION),
        ),
    )


def _samples(table: dict[bytes, bytes]) -> Iterator[Range]:
    """Place of each sample: chunks have samples one behind the other."""
    sizes = _sizes(Fields(table.get(b"stsz", b"")[_VERSION_BYTES:]))
    offset_bytes = 8 if b"co64" in table else 4
    places = Fields(table.get(b"co64", table.get(b"stco", b""))[_VERSION_BYTES:])
    runs = _runs(Fields(table.get(b"stsc", b"")[_VERSION_BYTES:]))
    held = 0
    for number in range(1, places.number(4) + 1):
        held = runs.get(number, held)
        at = places.number(offset_bytes)
        for size in islice(sizes, held):
            yield at, at + size
            at += size


def _sizes(fields: Fields) -> Iterator[int]:
    size, count = fields.number(4), fields.number(4)
    if count > _MOST:
        raise damaged("it has more samples than any animation needs")
    for _ in range(count):
        yield size or fields.number(4)


def _runs(fields: Fields) -> dict[int, int]:
    """Samples of a chunk, by the number of the first chunk that has so many."""
    triples = [[fields.number(4) for _ in range(3)] for _ in range(fields.number(4))]
    return {first: held for first, held, _ in triples}


def plays(data: bytes) -> int:
    """Return how often a sequence is shown; 0 for ever, or where its file does not tell."""
    heads = [leaf for leaf in leaves(data) if leaf.kind == b"tkhd"]
    edits = [leaf for leaf in leaves(data) if leaf.kind == b"elst"]
    if not heads or not edits:
        return 0
    if not data[edits[0].start + 3] & _REPEATED:
        return 1
    whole, edit = _duration(data, heads[0]), _duration(data, edits[0])
    return -(-whole // edit) if edit and whole < _ENDLESS else 0


def with_plays(data: bytes, count: int) -> bytes:
    """Let a sequence that is shown for ever be shown so often.

    Args:
        data: as libavif writes it.
        count: at least 1.
    """
    made, found = bytearray(data), list(leaves(data))
    length = max(_duration(data, leaf) for leaf in found if leaf.kind == b"elst")
    for leaf in found:
        if leaf.kind in {b"mvhd", b"tkhd"}:
            at, size = _duration_at(data, leaf)
            made[at : at + size] = min(count * length, _ENDLESS - 1).to_bytes(size)
    return bytes(made)


def _duration(data: bytes, leaf: Box) -> int:
    """Duration of the whole sequence, of a track or of its first edit."""
    at, size = _duration_at(data, leaf)
    value = int.from_bytes(data[at : at + size])
    return _ENDLESS if value == (1 << 8 * size) - 1 else value


def _duration_at(data: bytes, leaf: Box) -> tuple[int, int]:
    """Offset and size of a duration."""
    is_wide = bool(data[leaf.start])
    return leaf.start + _DURATIONS[leaf.kind][is_wide], 8 if is_wide else 4


def _text(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


def lost_still(tracks: Tracks, extents: Sequence[Range]) -> list[str]:
    """List the loss of a primary image that is none of the frames.

    Args:
        tracks: of a sequence that is shown in its place.
        extents: place of the primary image; none where it is made of parts.
    """
    is_frame = bool(extents) and tracks.samples.issuperset(extents)
    return ["its still image, which is no frame of its animation, was not kept"] * (not is_frame)
