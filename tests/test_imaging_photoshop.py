"""Photoshop's resources and PNG's text chunks: what may tell a position goes, the rest stays."""

from __future__ import annotations

import textwrap
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sharpend.imaging.metadata import photoshop, pngtext
from sharpend.imaging.metadata.exifblock import PREFIX as EXIF_PREFIX

IPTC = b"\x1c\x02\x50\0\2me"
SILENT_XMP = b'<a xmlns:e="e" e:b="1"/>'
TELLING_XMP = b'<a xmlns:e="e" e:b="1" e:GPSLatitude="52,30N"/>'


def exif(*, gps: bool) -> bytes:
    """EXIF as Photoshop keeps it, without JPEG's prefix."""
    data = Image.Exif()
    data[271] = "Canon"
    if gps:
        data[0x8825] = {1: "N"}
    return data.tobytes().removeprefix(EXIF_PREFIX)


def resource(number: int, content: bytes, name: bytes = b"") -> bytes:
    """One resource."""
    named = bytes([len(name)]) + name
    head = b"8BIM" + number.to_bytes(2) + named + bytes(len(named) % 2)
    return head + len(content).to_bytes(4) + content + bytes(len(content) % 2)


OTHERS = resource(0x0404, IPTC) + resource(0x03ED, b"dpi", b"name") + resource(0x0425, b"")


@pytest.mark.parametrize("prefix", [b"", photoshop.PREFIX])
@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (0x0424, TELLING_XMP, SILENT_XMP),
        (0x0424, b"not XML", None),
        (0x0422, b"not EXIF", None),
        (0x0423, exif(gps=True)[:-30], None),
        (0x0424, SILENT_XMP, SILENT_XMP),
        (0x0422, exif(gps=False), exif(gps=False)),
        (0x040F, b"GPSLatitude", b"GPSLatitude"),
    ],
)
def test_copies_of_a_position_go(
    prefix: bytes, number: int, before: bytes, after: bytes | None
) -> None:
    """XMP is cleaned, what is not understood goes whole, and all other resources stay equal."""
    kept = b"" if after is None else resource(number, after)
    block = prefix + OTHERS + resource(number, before) + OTHERS
    assert photoshop.without_gps(block) == prefix + OTHERS + kept + OTHERS


@pytest.mark.parametrize("number", [0x0422, 0x0423])
def test_exif_is_cleaned(number: int) -> None:
    """A copy of EXIF loses its position and keeps its size and the rest."""
    after = photoshop.without_gps(resource(number, exif(gps=True)))
    read = Image.Exif()
    read.load(after[-len(exif(gps=True)) :])
    assert dict(read) == {271: "Canon"}


def test_what_a_plug_in_alone_understands_goes() -> None:
    """No specification says what its resource holds."""
    block = photoshop.PREFIX + OTHERS + resource(4000, b"52.5 N") + OTHERS
    assert photoshop.unknown(block) == [4000]
    assert photoshop.without_gps(block) == photoshop.PREFIX + OTHERS + OTHERS
    assert photoshop.unknown(b"junk") == []


@pytest.mark.parametrize("tail", [b"", b"\0", bytes(7)])
def test_loose_ends_stay(tail: bytes) -> None:
    """Zeros behind the last resource, or a padding byte that is missing, are as they were."""
    block = photoshop.PREFIX + OTHERS + resource(0x0404, b"odd").removesuffix(b"\0") + tail
    assert photoshop.without_gps(block) == block


@pytest.mark.parametrize(
    "block", [b"junk", OTHERS + b"junk", b"8BIM", OTHERS[:-1], resource(0x0424, b"long")[:-2]]
)
def test_what_is_no_block_is_not_passed_on(block: bytes) -> None:
    """Nobody can say what it holds: an error, so that it is dropped."""
    with pytest.raises(ValueError, match="Photoshop"):
        photoshop.without_gps(block)


def test_a_resource_is_found_by_its_number() -> None:
    """IPTC is asked for this way."""
    assert photoshop.has(photoshop.PREFIX + OTHERS, photoshop.IPTC)
    assert not photoshop.has(OTHERS, 0x0424)
    assert not photoshop.has(b"junk", photoshop.IPTC)


@given(st.binary(max_size=60), st.integers(0, len(OTHERS)))
def test_any_bytes_are_survived(data: bytes, at: int) -> None:
    """Whatever the bytes, the only error is the documented one."""
    for each in (data, OTHERS[:at] + data + OTHERS[at:]):
        with suppress(ValueError):
            photoshop.without_gps(each)


def itxt(packet: bytes, *, compressed: bool = False) -> bytes:
    """The content of XMP's chunk, with a language for good measure."""
    text = zlib.compress(packet) if compressed else packet
    return b"XML:com.adobe.xmp\0" + bytes([compressed, 0]) + b"en\0title\0" + text


def raw(kind: bytes, name: bytes, profile: bytes) -> tuple[bytes, bytes]:
    """A chunk with a raw profile as ImageMagick and exiftool write it: kind and content."""
    digits = "\n".join(textwrap.wrap(profile.hex(), 72)).encode()
    title = b"IPTC profile" if name == b"iptc" else name  # exiftool's
    text = b"\n%s\n%8d\n%s\n" % (title, len(profile), digits)
    between = {b"tEXt": b"\0", b"zTXt": b"\0\0", b"iTXt": b"\0\0\0\0\0"}[kind]
    return kind, b"Raw profile type " + name + between + (
        zlib.compress(text) if kind == b"zTXt" else text
    )


TELLING_EXIF, SILENT_EXIF = EXIF_PREFIX + exif(gps=True), EXIF_PREFIX + exif(gps=False)
XMP_START = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize(
    ("name", "profile", "tells"),
    [
        (b"exif", TELLING_EXIF, True),
        (b"exif", SILENT_EXIF, False),
        (b"exif", b"not EXIF", True),
        (b"APP1", TELLING_EXIF, True),
        (b"APP1", SILENT_EXIF, False),
        (b"APP1", XMP_START + TELLING_XMP, True),
        (b"APP1", XMP_START + SILENT_XMP, False),
        (b"xmp", TELLING_XMP, True),
        (b"xmp", SILENT_XMP, False),
        (b"8bim", OTHERS, False),
        (b"8bim", OTHERS + resource(0x0424, TELLING_XMP), True),
        (b"iptc", OTHERS + resource(0x0424, TELLING_XMP), True),
        (b"iptc", IPTC, False),
        (b"icc", b"GPSLatitude", False),
    ],
)
def test_raw_profiles_in_png_text(kind: bytes, name: bytes, profile: bytes, *, tells: bool) -> None:
    """They are looked into, whatever chunk they lie in."""
    chunk = raw(kind, name, profile)
    assert pngtext.profile_name(*chunk) == name.decode().lower()
    assert pngtext.profile_of(*chunk) == profile
    assert pngtext.holds_gps(*chunk) is tells


@pytest.mark.parametrize(
    ("kind", "body", "tells"),
    [
        (b"tEXt", b"Raw profile type exif\0no digits", True),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 3\nabc", True),
        (b"zTXt", b"Raw profile type xmp\0\0no zlib", True),
        (b"iTXt", b"Raw profile type xmp\0", True),
        (b"tEXt", b"exif:GPSLatitude\x0052/1", True),
        (b"tEXt", b"GPSInfo\x00100", True),
        (b"tEXt", b"XML:com.adobe.xmp\0<a/>", True),
        (b"tEXt", b"Comment\0GPS is great", False),
        (b"iTXt", itxt(TELLING_XMP), False),
        (b"tIME", b"GPS\0", False),
    ],
)
def test_png_text_that_tells_a_position(kind: bytes, body: bytes, *, tells: bool) -> None:
    """A damaged profile counts as one; XMP's own chunk is cleaned instead."""
    assert pngtext.holds_gps(kind, body) is tells


@pytest.mark.parametrize("compressed", [False, True])
def test_png_xmp_is_read_and_replaced(*, compressed: bool) -> None:
    """The packet changes, the chunk's other fields and its compression stay."""
    body = itxt(TELLING_XMP, compressed=compressed)
    assert pngtext.is_xmp(b"iTXt", body)
    assert pngtext.xmp_of(body) == TELLING_XMP
    assert pngtext.with_xmp(body, SILENT_XMP) == itxt(SILENT_XMP, compressed=compressed)


def test_a_new_xmp_chunk_is_made() -> None:
    """Where there was none."""
    body = pngtext.with_xmp(b"", SILENT_XMP)
    assert pngtext.is_xmp(b"iTXt", body)
    assert pngtext.xmp_of(body) == SILENT_XMP


@pytest.mark.parametrize(
    "body",
    [
        b"XML:com.adobe.xmp\0",
        b"XML:com.adobe.xmp\0\2\0\0\0<a/>",
        itxt(b"")[:-10],
        itxt(SILENT_XMP, compressed=True)[:-1],
        itxt(bytes((16 << 20) + 1), compressed=True),
        b"XML:com.adobe.xmp\0\1\0\0\0no zlib",
    ],
    ids=["short", "flag", "fields", "cut", "bomb", "junk"],
)
def test_damaged_xmp_chunks(body: bytes) -> None:
    """A chunk that ends early, or inflates beyond all measure, is an error."""
    with pytest.raises(ValueError, match="text chunk"):
        pngtext.xmp_of(body)
