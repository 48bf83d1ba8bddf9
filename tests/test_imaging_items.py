"""EXIF is found wherever an AVIF may keep it; boxes made by hand, as other writers lay them out."""

from __future__ import annotations

from io import BytesIO

import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers.itemdata import exif_of
from sharpend.imaging.containers.items import items_of
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.reading import Reader

BLOCK = b"MM\0*" + bytes(range(200))
SPLIT = 70
"""Where an item of two parts is divided."""


def exif_in(data: bytes) -> bytes:
    """The EXIF of a file."""
    return exif_of(items_of(Reader(BytesIO(data))), data)


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box."""
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4) + kind + body


def iinf(*, wide: bool) -> bytes:
    """The list of an image and its EXIF, item 2, in either width of numbers."""
    entries = [
        box(b"infe", bytes((3 if wide else 2, 0, 0, 0)), number.to_bytes(4 if wide else 2),
            bytes(2), kind, b"\0")
        for number, kind in ((1, b"av01"), (2, b"Exif"))
    ]  # fmt: skip
    return box(b"iinf", bytes((wide, 0, 0, 0)), (2).to_bytes(4 if wide else 2), *entries)


def iloc(version: int, method: int, base: int, extents: list[tuple[int, int]]) -> bytes:
    """Where item 2 lies, in 4-byte offsets to a base and 2-byte lengths."""
    counts = 4 if version == 2 else 2
    parts = [
        bytes((version, 0, 0, 0, 0x42, 0x40 | (version > 0))),
        (1).to_bytes(counts),
        (2).to_bytes(counts),
        method.to_bytes(2) if version else b"",
        bytes(2),
        base.to_bytes(4),
        len(extents).to_bytes(2),
    ]
    for offset, length in extents:
        parts += [b"\1" * (version > 0), offset.to_bytes(4), length.to_bytes(2)]
    return box(b"iloc", *parts)


def avif(version: int, method: int, item: bytes, *, wide: bool = False) -> bytes:
    """A file whose item 2 lies in two parts, in the media data or beside its description."""
    extents = [(0, SPLIT), (SPLIT, len(item) - SPLIT)]
    inside = box(b"idat", item) if method == 1 else b""
    head = box(b"ftyp", b"avif", bytes(4), b"avif")

    def meta(base: int) -> bytes:
        primary = box(b"pitm", bytes(4), (1).to_bytes(2))
        return box(
            b"meta",
            bytes(4),
            primary,
            iinf(wide=wide),
            iloc(version, method, base, extents),
            inside,
        )

    base = 0 if method == 1 else len(head) + len(meta(0)) + 8
    return head + meta(base) + (b"" if method == 1 else box(b"mdat", item))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("version", "method"), [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize(
    ("before", "block"),
    [(b"", BLOCK), (PREFIX, PREFIX + BLOCK), (b"junk", BLOCK)],
    ids=["plain", "prefix", "junk"],
)
def test_it_is_found_in_every_layout(
    before: bytes, block: bytes, version: int, method: int, *, wide: bool
) -> None:
    """All widths of numbers, both places, in parts; what lies before the block is not its own."""
    item = len(before).to_bytes(4) + before + BLOCK
    assert exif_in(avif(version, method, item, wide=wide)) == block


def test_a_place_that_cannot_be_is_damage() -> None:
    """An EXIF that would be made from other items is none."""
    with pytest.raises(ImageRefusedError) as caught:
        exif_in(avif(1, 2, bytes(4) + BLOCK))
    assert caught.value.reason is Reason.DAMAGED


def test_without_the_item_there_is_none() -> None:
    """Neither list is needed where there is nothing to tell."""
    assert exif_in(box(b"ftyp", b"avif") + box(b"meta", bytes(4), box(b"pitm", bytes(6)))) == b""
