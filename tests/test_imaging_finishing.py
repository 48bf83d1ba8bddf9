"""What of an image's metadata reaches its output under each policy, in every format."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from sharpend.imaging import codec, extras
from sharpend.imaging.contents import Contents, contents_of
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import exif, xmp
from sharpend.imaging.metadata.blocks import Kind
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.imaging.metadata_policy import finished
from sharpend.policies import Metadata, Policies, Thumbnail
from tests.cameras import THUMBNAIL, Camera
from tests.conftest import photograph

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:e="e" e:GPSLatitude="52,1N" e:Title="bridge"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
RECORD = Provenance("lite-x4", "1" * 64, "2" * 64, "3" * 64, "1.2.0")
WITH_XMP = [Format.JPEG, Format.PNG, Format.WEBP, Format.TIFF, Format.AVIF, Format.JXL]
KEEP = Policies()


def source(found: Format) -> Picture:
    """A photograph with all that its format carries: EXIF, position, XMP, ICC, orientation."""
    extras.load(found)
    file = BytesIO()
    image = Image.fromarray(photograph(48, 64))
    options: dict[str, object] = {"icc_profile": ICC}
    if found is Format.TIFF:
        tags = ImageFileDirectory_v2()
        tags.tagtype[700] = 1
        tags[274], tags[700], tags[282], tags[283] = 6, PACKET, IFDRational(300), IFDRational(300)
        tags[0x9286], tags[315] = b"private", "Ana"
        tags[0x8825], tags[0x8769] = {1: "N"}, {36867: "2024:05:01 10:00:00"}
        options["tiffinfo"] = tags
    elif found is Format.PNG:
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", PACKET.decode())
        info.add_text("Author", "Ana")
        options |= {"exif": Camera().block(), "pnginfo": info, "dpi": (300, 300)}
    else:
        options |= {"exif": Camera().block(), "xmp": PACKET}
    image.save(file, found, **options)
    return decoded(file)


def decoded(file: BytesIO) -> Picture:
    """The file's image."""
    return codec.decode(file, max_pixels=10**6, max_bytes=10**7)


def after(
    found: Format, policies: Policies, record: Provenance | None = None
) -> tuple[Contents, Picture]:
    """What an outputs's file holds, read again, and the image that was written."""
    made = finished(source(found), policies, record)
    file = BytesIO()
    codec.encode(made, file)
    return contents_of(decoded(file)), made


@pytest.mark.parametrize("found", WITH_XMP)
def test_keep_changes_nothing(found: Format) -> None:
    """By default the blocks are the very ones that came in."""
    before = source(found)
    assert finished(before, KEEP, None) == before


@pytest.mark.parametrize("found", WITH_XMP)
def test_strip_leaves_profile_orientation_and_resolution(found: Format) -> None:
    """What a viewer needs stays, what tells of the photographer goes."""
    told, made = after(found, Policies(metadata=Metadata.STRIP))
    assert told.orientation == 6
    assert told.icc_bytes == (0 if found is Format.JXL else len(ICC))  # told by numbers
    assert (told.xmp_bytes, told.iptc, told.gps, told.thumbnail_bytes) == (0, False, False, 0)
    if found in {Format.TIFF, Format.PNG}:
        assert told.dpi == pytest.approx((300, 300), abs=0.1)
    file = BytesIO()
    codec.encode(made, file)
    for private in (b"Canon", b"Ana", b"2024:05:01", b"bridge"):
        assert private not in file.getvalue()


@pytest.mark.parametrize("found", WITH_XMP)
def test_strip_gps_takes_the_place_alone(found: Format) -> None:
    """No position is left in any block; title, camera, thumbnail and turn stay."""
    before = contents_of(source(found))
    told, made = after(found, Policies(metadata=Metadata.STRIP_GPS))
    assert (before.gps, told.gps) == (True, False)
    assert b"bridge" in made.carried.data(Kind.XMP)
    assert told.orientation == before.orientation
    assert told.thumbnail_bytes == before.thumbnail_bytes
    assert told.icc_bytes == before.icc_bytes


def test_a_block_that_is_not_understood_goes_with_a_note() -> None:
    """Better no XMP than a position in it."""
    file = BytesIO()
    options = {"xmp": b"<broken e:GPSLatitude='1'", "quality": 90}
    Image.fromarray(photograph(16, 16)).save(file, "JPEG", **options)
    made = finished(decoded(file), Policies(metadata=Metadata.STRIP_GPS), None)
    assert made.carried.block(Kind.XMP) is None
    assert "XMP" in made.notes[0]


def test_resources_in_several_segments_are_cleaned_as_one() -> None:
    """Photoshop's block that JPEG cut in two is put together, cleaned, and cut again."""
    gps = Camera(prefix=b"").block()
    filler = b"8BIM\x03\xf3\0\0" + (70_000).to_bytes(4) + bytes(70_000)
    block = filler + b"8BIM\x04\x22\0\0" + len(gps).to_bytes(4) + gps + b"\0" * (len(gps) & 1)
    parts = (block[:65_000], block[65_000:])
    extra = b"".join(
        b"\xff\xed" + (len(part) + 16).to_bytes(2) + b"Photoshop 3.0\0" + part for part in parts
    )
    file = BytesIO()
    Image.fromarray(photograph(16, 16)).save(file, "JPEG", extra=extra)
    picture = decoded(file)
    assert contents_of(picture).gps
    made = finished(picture, Policies(metadata=Metadata.STRIP_GPS), None)
    assert len([block for block in made.carried.blocks if block.kind is Kind.PHOTOSHOP]) == 2
    written = BytesIO()
    codec.encode(made, written)
    assert not contents_of(decoded(written)).gps


@pytest.mark.parametrize("found", [Format.JPEG, Format.PNG, Format.WEBP])
@pytest.mark.parametrize("policy", Thumbnail)
def test_the_thumbnail_goes_by_policy(found: Format, policy: Thumbnail) -> None:
    """Kept bit for bit, made anew of the sharpened image at its size, or dropped."""
    _, made = after(found, Policies(thumbnail=policy))
    small = exif.thumbnail_of(made.carried.data(Kind.EXIF))
    if policy is Thumbnail.REFRESH:
        with Image.open(BytesIO(small)) as image:
            assert image.size == (16, 12)  # 64 x 48 within 16 x 16
            shown = np.asarray(image.resize((1, 1))).astype(int)
        assert np.abs(shown - photograph(48, 64).mean(axis=(0, 1))).max() < 12
    else:
        assert small == {Thumbnail.KEEP: THUMBNAIL, Thumbnail.DROP: b""}[policy]


@pytest.mark.parametrize("found", WITH_XMP)
@pytest.mark.parametrize("metadata", Metadata)
def test_the_record_is_read_again(found: Format, metadata: Metadata) -> None:
    """Whatever else is kept, our record comes through its format, beside what was there."""
    told, made = after(found, Policies(metadata=metadata, provenance=True), RECORD)
    assert told.provenance == RECORD
    title = b"bridge" in made.carried.data(Kind.XMP)
    assert title == (metadata is not Metadata.STRIP)


def test_a_second_record_takes_the_firsts_place() -> None:
    """An output that is sharpened again tells of its last making."""
    first = finished(source(Format.JPEG), KEEP, RECORD)
    later = Provenance("base-x4", "4" * 64, "5" * 64, "6" * 64, "2.0.0")
    packet = finished(first, KEEP, later).carried.data(Kind.XMP)
    assert Provenance.of(xmp.record_of(packet)) == later
    assert packet.count(b"ModelDigest") == 1


@pytest.mark.parametrize("found", [Format.BMP, Format.PNM])
def test_a_format_that_cannot_hold_a_record_says_so(found: Format) -> None:
    """The image is written, and a note tells."""
    file = BytesIO()
    Image.fromarray(photograph(16, 16)).save(file, found)
    made = finished(decoded(file), Policies(provenance=True), RECORD)
    assert "cannot hold" in made.notes[0]
    codec.encode(made, BytesIO())


def test_a_record_that_does_not_fit_is_left_out() -> None:
    """A JPEG's packet that fills its segment stays as it is."""
    full = PACKET.replace(b"bridge", b"x" * (65_502 - len(PACKET)))
    file = BytesIO()
    Image.fromarray(photograph(16, 16)).save(file, "JPEG", xmp=full)
    made = finished(decoded(file), Policies(provenance=True), RECORD)
    assert made.carried.data(Kind.XMP) == full
    assert "no provenance record" in made.notes[0]


STRIP_GPS = Policies(metadata=Metadata.STRIP_GPS)


def jpeg_with(*segments: bytes) -> BytesIO:
    """A JPEG with these segments, marker and payload each, before all others."""
    file = BytesIO()
    Image.fromarray(photograph(16, 16)).save(file, "JPEG")
    made = b"".join(
        b"\xff" + each[:1] + (len(each) + 1).to_bytes(2) + each[1:] for each in segments
    )
    return BytesIO(b"\xff\xd8" + made + file.getvalue()[2:])


def test_exif_behind_another_signature_is_cleaned_too() -> None:
    """Some cameras write 0xff in place of the second 0: readers take it, and so do we."""
    block = Camera(prefix=b"").block()
    picture = decoded(jpeg_with(b"\xe1Exif\0\xff" + block))
    assert contents_of(picture).gps
    written = BytesIO()
    codec.encode(finished(picture, STRIP_GPS, None), written)
    assert b"Exif\0\xff" in written.getvalue()
    assert not contents_of(decoded(written)).gps


def test_what_only_its_maker_understands_goes_with_the_place() -> None:
    """An action camera's segment may hold its whole track."""
    picture = decoded(jpeg_with(b"\xe6GoPro\0GPS5 and more"))
    assert finished(picture, KEEP, None) == picture
    made = finished(picture, STRIP_GPS, None)
    assert made.carried.block(Kind.OTHER) is None
    assert "unknown metadata block" in made.notes[0]


def test_a_map_tells_its_place_no_more() -> None:
    """GeoTIFF's tie points are coordinates as well."""
    file = BytesIO()
    tags = ImageFileDirectory_v2()
    tags.tagtype[33922] = 12
    tags[33922] = (0.0, 0.0, 0.0, 11.5, 48.1, 0.0)
    Image.fromarray(photograph(16, 16)).save(file, "TIFF", tiffinfo=tags)
    written = BytesIO()
    codec.encode(finished(decoded(file), STRIP_GPS, None), written)
    with Image.open(file) as before, Image.open(written) as after:
        assert 33922 in before.tag_v2  # type: ignore[attr-defined]
        assert 33922 not in after.tag_v2  # type: ignore[attr-defined]


def test_exif_made_to_be_slow_is_left_out() -> None:
    """A thousand entries that lead to one XMP packet are not looked through one by one."""
    camera = Camera(prefix=b"")
    many = [(0x02BC, 7, b"<x/>" * 1000)] * 1000
    picture = decoded(jpeg_with(b"\xe1Exif\0\0" + camera.block(*many[:12])))
    made = finished(picture, STRIP_GPS, None)
    assert made.carried.block(Kind.EXIF) is None
    assert [note.startswith("its EXIF data was not kept") for note in made.notes] == [False, True]
