"""EXIF blocks lose a position or a thumbnail, and nothing else: no byte moves."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sharpend.imaging.metadata import exif
from sharpend.imaging.metadata.exifblock import PREFIX
from tests.cameras import (
    ASCII,
    EXIF,
    GPS,
    LONG,
    MAKER_NOTE,
    NOTE,
    PHOTOSHOP,
    POSITION,
    RATIONAL,
    SHORT,
    THUMBNAIL,
    UNDEFINED,
    XMP,
    Camera,
    jpeg,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = [(order, prefix) for order in "<>" for prefix in (b"", PREFIX)]


def differing(before: bytes, after: bytes) -> set[int]:
    """The offsets of bytes that are not equal; the blocks are equally long."""
    assert len(before) == len(after)
    return {at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]}


def within(block: bytes, *parts: bytes) -> set[int]:
    """The offsets of all bytes of some parts of a block."""
    places = [(block.index(part), len(part)) for part in parts]
    return {at for start, length in places for at in range(start, start + length)}


def tags(block: bytes) -> dict[int, object]:
    """What Pillow reads: main tags, EXIF's and GPS's."""
    read = Image.Exif()
    read.load(block)
    return {
        **{tag: value for tag, value in read.items() if tag not in {EXIF, GPS}},
        **read.get_ifd(EXIF),
        GPS: dict(read.get_ifd(GPS)),
    }


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_a_position_goes_and_nothing_moves(order: str, prefix: bytes) -> None:
    """The GPS directory and its values are zeros; only its pointer's own directory changed too."""
    before = Camera(order, prefix).block(note=False)
    after = exif.without_gps(before)
    assert POSITION not in after
    assert tags(after) == {**tags(before), GPS: {}}
    assert exif.thumbnail_of(after) == THUMBNAIL
    gps_entry = before.index(struct.pack(order + "HH", GPS, LONG))
    changed = differing(before, after)
    main = gps_entry - 3 * 12 - 2
    gps_directory = struct.unpack_from(order + "I", before, gps_entry + 8)[0] + len(prefix)
    assert changed <= {
        *within(before, POSITION),
        *range(gps_directory, gps_directory + 2 + 2 * 12),
        *range(main, main + 2),
        *range(gps_entry, gps_entry + 16),
    }


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_without_a_position_the_bytes_are_equal(order: str, prefix: bytes) -> None:
    """A block that tells no position, or an empty one, comes back as it is."""
    block = Camera(order, prefix).block(gps=False, note=False)
    assert exif.without_gps(block) == block
    assert exif.without_gps(b"") == b""
    assert not exif.holds_gps(block)


@pytest.mark.parametrize(("order", "prefix"), KINDS)
@pytest.mark.parametrize(
    ("tag", "kind"),
    [(MAKER_NOTE, UNDEFINED), (50740, UNDEFINED), (65_000, ASCII), (0x1234, 13), (0x1234, 99)],
)
def test_what_nobody_else_understands_goes(order: str, prefix: bytes, tag: int, kind: int) -> None:
    """A maker's note, private tags, pointers and types that do not exist; nothing else moves."""
    value = b"52.5 N\0\0" * 4
    camera = Camera(order, prefix)
    before = camera.block((tag, UNDEFINED, value), gps=False, note=False)
    entry = struct.pack(order + "HHI", tag, UNDEFINED, len(value))
    counts = {13: len(value) // 4, 99: len(value)}
    changed = struct.pack(order + "HHI", tag, kind, counts.get(kind, len(value)))
    before = before.replace(entry, changed)
    after = exif.without_gps(before)
    assert value in before
    assert value not in after
    assert exif.unknown_tags(before) == {tag}
    assert exif.unknown_tags(after) == set()
    assert not exif.holds_gps(before)
    assert tags(after) == {name: told for name, told in tags(before).items() if name != tag}
    assert exif.thumbnail_of(after) == THUMBNAIL
    assert len(after) == len(before)


def test_what_a_note_has_outside_of_itself_goes_too() -> None:
    """Bytes that no entry has are a maker's, or what an editor left behind."""
    before = Camera().block() + b"a preview of its maker"
    after = exif.without_gps(before)
    assert NOTE not in after
    assert b"preview" not in after
    assert exif.thumbnail_of(after) == THUMBNAIL


def test_a_thumbnail_inside_a_note_stays() -> None:
    """It is no part of what only the maker understands."""
    camera = Camera()
    before = camera.block((MAKER_NOTE, UNDEFINED, b"before" + THUMBNAIL + b"behind"), note=False)
    inside = before.index(THUMBNAIL) - len(PREFIX)
    own = struct.pack("<I", len(camera.data) - len(THUMBNAIL))
    after = exif.without_gps(before.replace(own, struct.pack("<I", inside)))
    assert exif.thumbnail_of(after) == THUMBNAIL
    assert b"before" not in after
    assert b"behind" not in after


def test_a_block_of_nothing_but_a_position_becomes_empty() -> None:
    """Where the position was all, no hollow block is left."""
    camera = Camera()
    main = camera.directory((GPS, LONG, camera.directory((1, ASCII, b"N\0"))))
    struct.pack_into("<I", camera.data, 4, main)
    assert exif.without_gps(PREFIX + bytes(camera.data)) == b""


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (XMP, b'<a xmlns:e="e" e:GPSLatitude="52,30N"/>'),
        (XMP, b"a packet that is no XML, GPSLatitude 52,30N"),
        (PHOTOSHOP, b"8BIM\4\x22\0\0\0\0\0\x0852,30N.."),
    ],
)
def test_copies_of_the_position_go(tag: int, value: bytes) -> None:
    """XMP and Photoshop resources within the block go where they may repeat it."""
    after = exif.without_gps(Camera().block((tag, UNDEFINED, value), gps=False))
    assert b"52,30N" not in after
    assert tag not in tags(after)
    assert tags(after)[0x010F] == "Canon"


@pytest.mark.parametrize(
    ("tag", "value"),
    [(XMP, b'<a xmlns:e="e" e:b="52,30N"/>'), (PHOTOSHOP, b"8BIM\4\4\0\0\0\0\0\0")],
)
def test_other_packets_stay(tag: int, value: bytes) -> None:
    """XMP and Photoshop resources without a position are nobody's business."""
    block = Camera().block((tag, UNDEFINED, value), gps=False, note=False)
    assert exif.without_gps(block) == block


def test_a_thumbnail_that_tells_the_position_goes() -> None:
    """A thumbnail with metadata of its own is not kept beside a stripped block."""
    telling = jpeg(16, exif=Camera().block(thumbnail=b""))
    after = exif.without_gps(Camera().block(thumbnail=telling))
    assert exif.thumbnail_of(after) == b""
    assert POSITION not in after


@pytest.mark.parametrize(
    ("segment", "stays"),
    [(b"\xe1FLIR\0", False), (b"\xe6GoPro\0", False), (b"\xe2MPF\0", False), (b"\xeeAdobe", True)],
)
def test_a_thumbnail_may_have_a_makers_segment(segment: bytes, *, stays: bool) -> None:
    """Then it goes; how its colours are coded is no metadata."""
    told = b"\xff" + segment[:1] + (len(segment) + 9).to_bytes(2) + segment[1:] + bytes(8)
    small = THUMBNAIL[:2] + told + THUMBNAIL[2:]
    after = exif.without_gps(Camera().block(thumbnail=small))
    assert exif.thumbnail_of(after) == (small if stays else b"")


def head(tag: int, kind: int, count: int) -> bytes:
    """How a little-endian entry begins."""
    return struct.pack("<HHI", tag, kind, count)


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        (head(2, RATIONAL, 3), head(2, RATIONAL, 1 << 30)),
        (head(2, RATIONAL, 3), head(2, 99, 3)),
        (head(GPS, LONG, 1), head(GPS, ASCII, 1)),
        (head(EXIF, LONG, 1), head(EXIF, LONG, 0)),
        (b"II*", b"II+"),
        (b"II*", b"IM*"),
    ],
)
def test_what_contradicts_itself_is_not_passed_on(part: bytes, broken: bytes) -> None:
    """A position that cannot be found for certain is an error, so that the block is dropped."""
    with pytest.raises(ValueError, match="EXIF"):
        exif.without_gps(Camera().block().replace(part, broken))


@pytest.mark.parametrize("length", [1, 6, 13, 14, 100, 150])
def test_what_is_cut_short_is_not_passed_on(length: int) -> None:
    """A block of which a part is missing is an error."""
    with pytest.raises(ValueError, match="EXIF"):
        exif.without_gps(Camera().block()[:length])


def test_a_position_in_place_of_a_directory_is_not_passed_on() -> None:
    """What is both the GPS and the main directory cannot be told apart."""
    block = Camera().block()
    at = block.index(head(GPS, LONG, 1)) + 8
    main = block[len(PREFIX) + 4 : len(PREFIX) + 8]
    with pytest.raises(ValueError, match="overlaps"):
        exif.without_gps(block[:at] + main + block[at + 4 :])


def test_directories_in_a_ring_end() -> None:
    """A directory that follows itself is read once."""
    block = bytearray(Camera().block(thumbnail=b""))
    block[-4:] = block[len(PREFIX) + 4 : len(PREFIX) + 8]
    assert POSITION not in exif.without_gps(bytes(block))


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_only_orientation_and_resolution_are_left(order: str, prefix: bytes) -> None:
    """A stripped block says which way is up and how large, in the same manner, and nothing else."""
    before = Camera(order, prefix).block()
    least = exif.only_needed(before)
    kept = {0x0112, 0x011A, 0x011B, 0x0128, GPS}
    assert tags(least) == {**{t: v for t, v in tags(before).items() if t in kept}, GPS: {}}
    assert least[: len(prefix) + 4] == before[: len(prefix) + 4]


def test_nothing_needed_needs_no_block() -> None:
    """Neither orientation nor resolution, or no EXIF at all: there is nothing to say."""
    camera = Camera()
    struct.pack_into("<I", camera.data, 4, camera.directory((0x0110, SHORT, b"\1\0")))
    assert exif.only_needed(bytes(camera.data)) == b""
    assert exif.only_needed(b"II*\0") == b""


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_a_smaller_thumbnail_takes_the_old_ones_place(order: str, prefix: bytes) -> None:
    """It lies where the old one lay, zeros behind it, and only its length is new."""
    before, smaller = Camera(order, prefix).block(), jpeg(8, quality=5, optimize=True)
    after = exif.with_thumbnail(before, smaller)
    assert len(smaller) < len(THUMBNAIL)
    assert exif.thumbnail_of(after) == smaller
    start = before.index(THUMBNAIL)
    assert after[start:] == smaller.ljust(len(THUMBNAIL), b"\0")
    assert differing(before[:start], after[:start]) <= set(range(start - 8, start - 4))


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_a_larger_thumbnail_comes_last(order: str, prefix: bytes) -> None:
    """Nothing before it moves, and of the old one nothing is left."""
    camera = Camera(order, prefix)
    before, larger = camera.block() + b"data of a maker", jpeg(64, quality=100)
    after = exif.with_thumbnail(before, larger)
    start = before.index(THUMBNAIL)
    assert exif.thumbnail_of(after) == larger
    assert THUMBNAIL not in after
    assert after[start + len(THUMBNAIL) :].startswith(b"data of a maker")
    assert after.endswith(larger)
    assert differing(before[:start], after[:start]) <= set(range(start - 30, start))


@pytest.mark.parametrize(("order", "prefix"), KINDS)
def test_a_dropped_thumbnail_is_cut_off(order: str, prefix: bytes) -> None:
    """Nothing is left of it: the block is the one that a camera without thumbnails writes."""
    bare = Camera(order, prefix).block(thumbnail=b"")
    assert exif.without_thumbnail(Camera(order, prefix).block()) == bare
    assert exif.without_thumbnail(bare) == bare


def test_a_thumbnail_within_a_maker_note_leaves_the_note_whole() -> None:
    """Bytes that belong to another value stay, whatever the thumbnail's directory says."""
    camera = Camera()
    before = camera.block((0x9286, UNDEFINED, THUMBNAIL + b"more"))
    inside = before.index(THUMBNAIL) - len(PREFIX)
    own = struct.pack("<I", len(camera.data) - len(THUMBNAIL))
    before = before.replace(own, struct.pack("<I", inside))
    assert THUMBNAIL + b"more" in exif.without_thumbnail(before)
    after = exif.with_thumbnail(before, jpeg(8, quality=5))
    assert THUMBNAIL + b"more" in after
    assert exif.thumbnail_of(after) == jpeg(8, quality=5)


def test_an_uncompressed_thumbnail_is_dropped_too() -> None:
    """Its strips are zeroed; to be replaced by a JPEG it is of the wrong kind."""
    block = Camera().block(thumbnail=b"rows of a picture")
    block = block.replace(struct.pack("<H", 0x201), struct.pack("<H", 0x111))
    block = block.replace(struct.pack("<H", 0x202), struct.pack("<H", 0x117))
    assert b"rows" not in exif.without_thumbnail(block)
    assert exif.with_thumbnail(block, THUMBNAIL) == block


EVERY: list[Callable[[bytes], bytes]] = [
    exif.without_gps,
    exif.only_needed,
    exif.thumbnail_of,
    exif.without_thumbnail,
    lambda block: exif.with_thumbnail(block, THUMBNAIL),
]


def survives(block: bytes) -> None:
    """Run everything on a block; no error but the documented one may escape."""
    for function in EVERY:
        with suppress(ValueError):
            function(block)


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_bytes_are_survived(data: bytes, start: bytes) -> None:
    """Whatever the bytes, the only error is the documented one."""
    survives(start + data)


@given(st.sampled_from("<>"), st.dictionaries(st.integers(0, 270), st.integers(0, 255), max_size=6))
def test_damaged_blocks_keep_no_position(order: str, changes: dict[int, int]) -> None:
    """A damaged block raises the documented error, or comes back without a GPS directory."""
    block = bytearray(Camera(order).block())
    for at, value in changes.items():
        block[at] = value
    survives(bytes(block))
    found: object = {}
    with suppress(ValueError):
        rest = exif.without_gps(bytes(block))
        read = Image.Exif()
        with suppress(Exception):  # Pillow raises any class on damaged data
            read.load(rest)
            found = read.get_ifd(GPS)
    assert not found
