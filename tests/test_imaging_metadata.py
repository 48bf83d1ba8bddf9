"""What an image carries beside its pixels is still there afterwards."""

from __future__ import annotations

import zlib
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from sharpend.imaging import extras
from sharpend.imaging.codec import decode, encode
from sharpend.imaging.containers import jpeglayout, jpegmetadata
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Block, Kind
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.policies import Frames, Policies
from tests.cameras import Camera

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EXIF, GPS = 0x8769, 0x8825
ORIENTATION = 274
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa4</a></x:xmpmeta>'
WITH_EXIF = [Format.JPEG, Format.PNG, Format.WEBP, Format.TIFF, Format.AVIF]
OUR_OWN = {"version", "background", "extension", "compression"}
"""What Pillow tells of a GIF or TIFF that is no metadata."""
TURNING = b"\x01\x12\0\x03\0\0\0\x01\0\x06"
"""The entry of a directory that says orientation 6."""
MAKER_NOTE = b"Maker\0\1\2\xff" * 9


def pixels() -> NDArray[np.uint8]:
    """An image whose four corners differ, so that every turn shows."""
    values = np.zeros((24, 40, 3), np.uint8)
    values[:12, :20], values[:12, 20:], values[12:, :20] = 250, (200, 30, 30), (30, 30, 200)
    return values


def exif(**changes: object) -> bytes:
    """EXIF as a camera writes it: main tags, EXIF and GPS directories, a maker note."""
    data = Image.Exif()
    data[271], data[305], data[ORIENTATION] = "Canon", "firmware", changes.get("orientation", 1)
    data[EXIF] = {36867: "2024:05:01 10:00:00", 33434: IFDRational(1, 250), 37500: MAKER_NOTE}
    data[GPS] = {1: "N", 2: (IFDRational(52), IFDRational(30), IFDRational(0))}
    return data.tobytes()


def rewritten(file: BytesIO) -> Image.Image:
    """The file's image after decode and encode, opened by Pillow."""
    output = BytesIO()
    encode(decode(file, max_pixels=10_000, max_bytes=1_000_000), output)
    return Image.open(output)


def saved(target: str, **options: object) -> BytesIO:
    """The test image as a file."""
    extras.load(Format.HEIC)
    file = BytesIO()
    Image.fromarray(pixels()).save(file, target, **options)
    return file


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_icc_and_xmp_are_carried(target: str) -> None:
    """EXIF with its directories and maker note, ICC and XMP come through bit for bit."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    file = saved(target, exif=exif(), icc_profile=ICC, xmp=XMP, pnginfo=info)
    with Image.open(file) as before, rewritten(file) as after:
        assert after.info["exif"] == before.info["exif"]
        assert after.info["icc_profile"] == ICC
        assert after.info["xmp"] == XMP
        assert after.getexif().get_ifd(EXIF)[37500] == MAKER_NOTE
        assert after.getexif().get_ifd(GPS)[1] == "N"


@pytest.mark.parametrize("prefix", [b"", PREFIX])
@pytest.mark.parametrize("frames", [1, 2])
def test_exif_of_avif_is_carried_whatever_it_says(prefix: bytes, frames: int) -> None:
    """A block that tells an orientation stays byte for byte, and turns no more than before.

    Pillow, which would make such a block anew, gets one that does not tell any to write.
    """
    block = Camera(">", prefix).block()
    assert block.count(TURNING) == 1
    untold = block.replace(TURNING, b"\x01\x13" + TURNING[2:])
    shown = [Image.fromarray(pixels()[::step]) for step in (1, -1)]
    file = BytesIO()
    shown[0].save(file, "AVIF", exif=untold, save_all=True, append_images=shown[1:frames])
    told = BytesIO(file.getvalue().replace(untold.removeprefix(prefix), block.removeprefix(prefix)))
    policies = Policies(frames=Frames.ALL)
    picture = decode(told, max_pixels=10_000, max_bytes=1_000_000, policies=policies)
    assert picture.carried.data(Kind.EXIF) == block
    output = BytesIO()
    encode(picture, output)
    assert output.getvalue().count(block) == 1
    again = decode(output, max_pixels=10_000, max_bytes=1_000_000, policies=policies)
    assert again.carried.data(Kind.EXIF) == block
    with Image.open(told) as before, Image.open(output) as after:
        assert after.getexif()[ORIENTATION] == before.getexif()[ORIENTATION] == 1
        assert after.n_frames == before.n_frames == frames  # type: ignore[attr-defined]


COMPRESSIONS = {"raw": 1, "tiff_lzw": 5, "tiff_adobe_deflate": 8, "jpeg": 7}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff_tags_are_carried(compression: str) -> None:
    """A TIFF keeps its tags, EXIF and GPS, compressed or not."""
    tags = ImageFileDirectory_v2()
    for tag, kind, value in (
        (271, 2, b"Caf\xe9"),
        (306, 2, b"2024:05:01 10:00:00"),
        (700, 1, XMP),
        (33723, 7, b"\x1c\x02\x50\0\2me"),
        (282, 5, IFDRational(1181, 10)),
        (283, 5, IFDRational(1181, 10)),
        (296, 3, 3),
    ):
        tags.tagtype[tag] = kind
        tags[tag] = value
    tags[EXIF] = {36867: "2024:05:01 10:00:00", 37500: MAKER_NOTE, 40965: {1: "R98"}}
    tags[GPS] = {1: "N", 2: (IFDRational(52), IFDRational(30), IFDRational(1, 3))}
    file = saved("TIFF", tiffinfo=tags, icc_profile=ICC)  # Pillow cannot compress these
    picture = decode(file, max_pixels=10_000, max_bytes=1_000_000)
    frame = picture.frames[0]
    encoding = {**frame.encoding, "compression": COMPRESSIONS[compression]}
    output = BytesIO()
    encode(picture.with_frames([replace(frame, encoding=encoding)]), output)
    with Image.open(file) as before, Image.open(output) as after:
        assert after.info["compression"] == compression
        for tag in (271, 306, 700, 33723, 282, 283, 296):
            assert after.tag_v2[tag] == before.tag_v2[tag]  # type: ignore[attr-defined]
        for directory in (EXIF, GPS, 40965):
            old, new = (image.getexif().get_ifd(directory) for image in (before, after))
            assert {**new, 40965: 0} == {**old, 40965: 0}
        assert after.info["icc_profile"] == ICC
        after.load()


def test_big_endian_tiff_is_carried() -> None:
    """Tags are read in the file's byte order, and keep their value in ours."""
    tags = ImageFileDirectory_v2(prefix=b"MM")
    tags[271], tags[282], tags[296] = "Leica", IFDRational(300), 2
    rows = pixels()[..., 0].tobytes()
    for tag, value in {256: 40, 257: 24, 258: 8, 259: 1, 262: 1, 277: 1, 278: 24}.items():
        tags[tag] = value
    tags.tagtype[273] = 4
    # Pillow counts strip offsets from the directory's end, where the pixels lie here.
    tags[273], tags[279] = 0, len(rows)
    with rewritten(BytesIO(b"MM\0*\0\0\0\x08" + tags.tobytes(8) + rows)) as after:
        assert after.tag_v2[271] == "Leica"  # type: ignore[attr-defined]
        assert after.tag_v2[282] == 300  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(after), pixels()[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("target", WITH_EXIF)
def test_viewers_see_the_same_way_up(target: Format, orientation: int) -> None:
    """Pixels stay as stored and the orientation tag stays, so what is seen stays."""
    options: dict[str, object] = {"exif": exif(orientation=orientation)}
    if target in {Format.WEBP, Format.JPEG, Format.AVIF}:
        options["quality"] = 95
    file = saved(target, **options)
    picture = decode(file, max_pixels=10_000, max_bytes=1_000_000)
    assert picture.pixels.shape == (24, 40, 3)
    with Image.open(file) as before, rewritten(file) as after:
        tag = after.getexif().get(ORIENTATION, 1)
        seen, shown = ImageOps.exif_transpose(before), ImageOps.exif_transpose(after)
        assert tag == orientation
        assert seen.size == shown.size == ((40, 24) if orientation < 5 else (24, 40))
        difference = np.asarray(seen.convert("RGB")).astype(int) - np.asarray(shown.convert("RGB"))
        assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF"])
def test_resolution_is_carried(target: str) -> None:
    """Pixels per inch stay."""
    with rewritten(saved(target, dpi=(240, 300))) as after:
        assert [round(float(value)) for value in after.info["dpi"]] == [240, 300]


@pytest.mark.parametrize("target", list(Format))
def test_nothing_is_made_up(target: Format) -> None:
    """An image without metadata gets none."""
    file = saved(target)
    with Image.open(file) as before, rewritten(file) as after:
        assert after.info.keys() - OUR_OWN == before.info.keys() - OUR_OWN


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one chunk more behind its header."""
    chunk = len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
    return png[:33] + chunk + png[33:]


def interlaced(bits: int) -> bytes:
    """The one PNG that interlacing leaves as it is: of a single pixel."""
    one = np.zeros((1, 1, 3), np.uint16 if bits == 16 else np.uint8)
    plain = bytes(imagecodecs.png_encode(one))
    head = plain[12:28] + b"\1"
    return plain[:12] + head + zlib.crc32(head).to_bytes(4) + plain[33:]


def credentials(bits: int) -> bytes:
    """A PNG that vouches for its pixels."""
    values = pixels().astype(np.uint16 if bits == 16 else np.uint8)
    return with_chunk(bytes(imagecodecs.png_encode(values)), b"caBX", b"\0\0\0\x08jumb")


def premultiplied(_: int) -> bytes:
    """An AVIF whose colours are stored multiplied by alpha."""
    rgba = np.dstack([pixels(), np.full((24, 40), 128, np.uint8)])
    file = BytesIO()
    Image.fromarray(rgba).save(file, "AVIF", alpha_premultiplied=True)
    return file.getvalue()


def layered(bits: int) -> bytes:
    """A TIFF that Photoshop keeps layers in."""
    values = pixels().astype(np.uint16 if bits == 16 else np.uint8)
    layers = b"Adobe Photoshop Document Data Block\0"
    tags = [(37724, 7, len(layers), layers, True)]
    file = BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", metadata=None, extratags=tags)
    return file.getvalue()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (interlaced, "interlacing"),
        (credentials, "credentials"),
        (premultiplied, "multiplied"),
        (layered, "layers"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_what_has_to_change_is_told(made: Callable[[int], bytes], told: str, bits: int) -> None:
    """A small thing that cannot be given back as it was stands in a note, and no longer after."""
    picture = decode(BytesIO(made(bits)), max_pixels=10_000, max_bytes=1_000_000)
    output = BytesIO()
    encode(picture, output)
    assert [told in sentence for sentence in (*picture.notes, *picture.losses)] == [True]
    again = decode(output, max_pixels=10_000, max_bytes=1_000_000)
    assert (again.notes, again.losses) == ((), ())


def test_arithmetic_coding_is_told() -> None:
    """No encoder at hand writes it; the frame's marker alone says it is there."""
    plain = saved("JPEG").getvalue()
    assert jpegmetadata.blocks(jpeglayout.parts(plain, most_scans=1))[1] == []
    arithmetic = plain.replace(b"\xff\xc0\0\x11", b"\xff\xc9\0\x11")
    (note,) = jpegmetadata.blocks(jpeglayout.parts(arithmetic, most_scans=1))[1]
    assert "arithmetic" in note


def test_jpeg_comment_iptc_and_extended_xmp_are_carried() -> None:
    """A JPEG's comment, its Photoshop block with IPTC and XMP's second part stay."""
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x06\x1c\x02\x50\0\1a"
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<rest/>"
    extra = b"".join(
        bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload
        for marker, payload in ((0xED, iptc), (0xE1, more))
    )
    file = saved("JPEG", comment=b"hello", extra=extra)
    with Image.open(file) as before, rewritten(file) as after:
        assert after.info["comment"] == b"hello"
        assert after.info["photoshop"] == before.info["photoshop"]
        assert ("APP1", more) in after.applist  # type: ignore[attr-defined]


def test_large_icc_profile_is_carried() -> None:
    """A profile that needs several JPEG segments comes through whole."""
    profile = bytes(range(256)) * 600
    with rewritten(saved("JPEG", icc_profile=profile)) as after:
        assert after.info["icc_profile"] == profile


def test_exif_in_two_segments_is_carried_as_it_is() -> None:
    """EXIF that no one JPEG segment can hold comes out in the segments that it came in."""
    half = b"\xff\xe1" + (2 + 6 + 40_000).to_bytes(2) + b"Exif\0\0" + bytes(40_000)
    file = BytesIO(b"\xff\xd8" + half + half + saved("JPEG").getvalue()[2:])
    picture = decode(file, max_pixels=10_000, max_bytes=1_000_000)
    output = BytesIO()
    encode(picture, output)
    assert output.getvalue()[2:].startswith(half + half)


def test_png_text_and_colour_chunks_are_carried() -> None:
    """Text, gamma, chromaticities and time are copied bit for bit."""
    info = PngInfo()
    info.add_text("Title", "Tür", zip=False)
    info.add_text("Long", "x" * 3000, zip=True)
    info.add(b"gAMA", (45455).to_bytes(4))
    info.add(b"tIME", b"\x07\xe8\5\1\n\0\0")
    file = saved("PNG", pnginfo=info)
    picture = decode(file, max_pixels=10_000, max_bytes=1_000_000)
    assert Block(Kind.TEXT, b"\x07\xe8\5\1\n\0\0", b"tIME") in picture.carried.blocks
    with rewritten(file) as after:
        after.load()
        assert after.info["Title"] == "Tür"
        assert after.info["Long"] == "x" * 3000
        assert after.info["gamma"] == 0.45455
