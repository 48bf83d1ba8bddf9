"""AVIF, HEIC and JPEG XL as phones, cameras and editors write them, with all beside the image.

`cases` has the inputs and what is right for them.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import codec, extras
from sharpend.imaging.contents import contents_of
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Kind
from sharpend.policies import Frames, Policies
from tests import cases, outside, sources
from tests.cases import bytes_of, decoded, written
from tests.conftest import photograph, psnr
from tests.inventory import lost
from tests.isofiles import Made, box, coded, heif
from tests.recipe import installed

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.imaging.picture import Picture

RIGHT = cases.table("iso")
TAKEN = cases.taken("iso")
FLOOR_DB = 33.0
CARRIED = ("IFD", "ExifIFD", "GPS", "Canon", "XMP", "ICC")
"""Groups of fields that are the author's, not the encoder's."""
PACKET = sources.xmp().encode()


def refusal(data: bytes) -> ImageRefusedError:
    """Why a file is refused."""
    with pytest.raises(ImageRefusedError) as caught:
        decoded(data)
    return caught.value


@pytest.mark.parametrize("name", TAKEN)
def test_the_header_tells_size_depth_and_colours(name: str) -> None:
    """Of the primary image, whatever else the file holds."""
    header, right = codec.probe(BytesIO(bytes_of(name))), RIGHT[name]
    assert (list(decoded(bytes_of(name)).size), header.bits) == (right["size"], right["bits"])
    assert [header.primaries, header.transfer] == right["colours"]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_written_is_the_same_image(name: str) -> None:
    """Size, depth, colours, alpha, orientation, EXIF, XMP and profile; it loses nothing more."""
    picture = decoded(bytes_of(name))
    output = written(picture)
    again, header = decoded(output), codec.probe(BytesIO(output))
    assert (again.pixels.shape, again.pixels.dtype) == (picture.pixels.shape, picture.pixels.dtype)
    most = white(picture.pixels.dtype)
    assert psnr(again.pixels, picture.pixels, data_range=most) > FLOOR_DB
    assert (again.alpha is None) == (picture.alpha is None)
    if again.alpha is not None and picture.alpha is not None:
        assert np.array_equal(again.alpha, picture.alpha)
    for kind in (Kind.EXIF, Kind.XMP, Kind.ICC):
        assert again.carried.data(kind) == picture.carried.data(kind)
    assert contents_of(again).orientation == contents_of(picture).orientation
    assert (again.losses, header.bits) == ((), RIGHT[name]["bits"])
    told = RIGHT[name]["colours"]
    if told[0] is not None:
        assert [header.primaries, header.transfer] == told


@pytest.mark.parametrize("name", TAKEN)
def test_every_box_is_found_again_or_named(name: str) -> None:
    """Boxes, items, references and properties: nothing goes silently."""
    picture = decoded(bytes_of(name))
    check_parts(bytes_of(name), picture)


@pytest.mark.slow
@pytest.mark.skipif(not installed("exiftool"), reason="exiftool is not installed")
def test_another_reader_finds_all_metadata_again(tmp_path: Path) -> None:
    """Every field of EXIF, maker notes, XMP and profile, but what a note says."""
    for name in TAKEN:
        (tmp_path / name).write_bytes(written(decoded(bytes_of(name))))
    before = outside.fields([cases.FOLDER / name for name in TAKEN])
    after = outside.fields([tmp_path / name for name in TAKEN])
    for name in TAKEN:
        told = " ".join(RIGHT[name]["notes"])
        for field, value in before[name].items():
            if field.startswith(CARRIED) and after[name].get(field) != value:
                turned = field.endswith("Orientation") and "upright" in told
                assert turned or (field.startswith("XMP") and "its XMP" in told), (name, field)


def check_parts(data: bytes, picture: Picture) -> None:
    """Find each part of a file in what is written of it, or in a note or loss."""
    told = " ".join((*picture.notes, *picture.losses))
    assert lost(data, written(picture), told) == []


def still(target: str = "HEIF") -> Made:
    """A coded photograph."""
    extras.load(Format.HEIC)
    file = BytesIO()
    options = {"quality": 80, "exif": b""} if target == "AVIF" else {"quality": 80}
    Image.fromarray(photograph(64, 96)).save(file, target, **options)
    return coded(file.getvalue())


IMAGE = still()
OTHER = replace(IMAGE, properties=(*IMAGE.properties, box(b"colr", b"nclx\0\x0c\0\x10\0\x09\x80")))


def auxiliary(use: str) -> Made:
    """An auxiliary image of the first item, whose colours are of high dynamic range."""
    told = box(b"auxC", bytes(4), use.encode(), b"\0")
    return replace(OTHER, properties=(*OTHER.properties, told), references=((b"auxl", (1,)),))


MATTE = "urn:com:apple:photo:2018:aux:portraiteffectsmatte"
BESIDE: dict[str, tuple[list[Made], tuple[str, ...], tuple[str, ...]]] = {
    "gain map": (
        [auxiliary("urn:com:apple:photo:2020:aux:hdrgainmap")],
        (),
        ("its HDR gain map was not kept",),
    ),
    "tone map": (
        [replace(OTHER, hidden=True), Made(b"tmap", b"\0", (), ((b"dimg", (1, 2)),))],
        (),
        ("its HDR gain map was not kept",),
    ),
    "depth and mattes": (
        [auxiliary("urn:mpeg:hevc:2015:auxid:2"), auxiliary(MATTE), auxiliary(MATTE)],
        (),
        ("its depth map was not kept", f"its 2 auxiliary images ({MATTE}) were not kept"),
    ),
    "all of three": (
        [OTHER, replace(OTHER, references=((b"thmb", (1,)),)), replace(OTHER, hidden=True)],
        ("its thumbnail was not kept",),
        ("its further image was not kept", "its hidden image was not kept"),
    ),
    "data": (
        [Made(b"mime", b"{}", content=b"application/json"), Made(b"uri ", b"x")],
        (),
        ("its data block (application/json) was not kept", "its data block (uri ) was not kept"),
    ),
    "metadata of another image": (
        [
            OTHER,
            Made(b"Exif", bytes(4) + sources.camera_exif(), (), ((b"cdsc", (2,)),)),
            Made(b"mime", PACKET, (), ((b"cdsc", (2,)),), content=b"application/rdf+xml"),
        ],
        (),
        ("its further image was not kept",),
    ),
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("target", ["AVIF", "HEIF"])
def test_images_beside_the_primary_one_are_named_and_decide_nothing(name: str, target: str) -> None:
    """Their colours are of high dynamic range, which would be refused; all are named, not one."""
    others, notes, losses = BESIDE[name]
    main = still(target)
    coding = {b"hvc1": main.kind}
    others = [
        replace(each, kind=coding.get(each.kind, each.kind), data=main.data,
                properties=(*main.properties, *each.properties[2:]))
        if each.kind == b"hvc1" else each
        for each in others
    ]  # fmt: skip
    data = heif([main, *others], brand=b"avif" if target == "AVIF" else b"heic")
    picture = decoded(data)
    assert (picture.notes, picture.losses) == (notes, losses)
    assert picture.carried.blocks == ()
    check_parts(data, picture)
    assert decoded(written(picture)).losses == ()


@pytest.mark.parametrize(
    ("behind", "notes", "losses"),
    [
        (box(b"mpvd", b"a video"), (), ("its motion video was not kept",)),
        (box(b"moov", box(b"trak")), (), ("its image sequence or video was not kept",)),
        (box(b"uuid", b"0123456789abcdef", b"x"), (), ("its data of an unknown kind (uuid ",)),
        (box(b"sefd", b"x"), (), ("its data of an unknown kind (sefd) was not kept",)),
        (box(b"free", bytes(9)), (), ()),
        (box(b"free", b"text"), ("what its padding (free) held was not kept",), ()),
        (box(b"moof", box(b"mfhd", bytes(8))), (), ("its video was not kept",)),
        (box(b"free", bytes(99))[:50], ("the padding at its end is cut short",), ()),
        (box(b"skip", bytes(9))[:8], ("the padding at its end is cut short",), ()),
    ],
)
@pytest.mark.parametrize("target", ["AVIF", "HEIF"])
def test_boxes_behind_the_image(
    behind: bytes, notes: tuple[str, ...], losses: tuple[str, ...], target: str
) -> None:
    """Videos and unknown data are losses; padding is none, and may be cut short."""
    brand = b"avif" if target == "AVIF" else b"heic"
    picture = decoded(heif([still(target)], brand=brand, behind=behind))
    for told, right in ((picture.notes, notes), (picture.losses, losses)):
        assert len(told) == len(right)
        assert all(one.startswith(start) for one, start in zip(told, right, strict=True))


@pytest.mark.parametrize("kind", [b"mdat", b"mpvd", b"uuid", b"meta"])
def test_any_other_box_that_is_cut_is_no_whole_file(kind: bytes) -> None:
    """Only padding may be short."""
    data = heif([IMAGE], brand=b"heic", behind=box(kind, bytes(99))[:50])
    assert refusal(data).reason is Reason.TRUNCATED


def test_properties_that_are_not_carried_are_named() -> None:
    """Light levels are form, a description is content."""
    told = (box(b"clli", bytes(4)), box(b"udes", bytes(4), b"en\0a name\0words\0tags\0"))
    main = replace(IMAGE, properties=(*IMAGE.properties, *told))
    picture = decoded(heif([main], brand=b"heic"))
    assert picture.notes == ("its property clli was not kept",)
    assert picture.losses == ("its description (udes) was not kept",)


def test_the_primary_item_may_stand_anywhere() -> None:
    """Its colours count, not those of the first one."""
    data = heif([OTHER, IMAGE], brand=b"heic", primary=2)
    assert decoded(data).losses == ("its further image was not kept",)
    assert refusal(heif([OTHER, IMAGE], brand=b"heic")).reason is Reason.HDR


@pytest.mark.parametrize("target", ["AVIF", "HEIF"])
def test_xmp_loses_what_it_announces_and_no_other_byte(target: str) -> None:
    """The packet speaks of a gain map that no output has."""
    told = b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    packet = PACKET.replace(b" rdf:about", told + b" rdf:about")
    metadata = [Made(b"mime", packet, (), ((b"cdsc", (1,)),), content=b"application/rdf+xml")]
    brand = b"avif" if target == "AVIF" else b"heic"
    picture = decoded(heif([still(target), *metadata], brand=brand))
    assert picture.carried.data(Kind.XMP) == packet.replace(b' hdrgm:Version="1.0"', b"")
    assert len(picture.notes) == 1
    assert decoded(written(picture)).notes == ()


def test_other_codings_in_heif_are_not_called_damaged() -> None:
    """The reason names the coding."""
    error = refusal(
        heif([replace(IMAGE, kind=b"j2k1", properties=IMAGE.properties[1:])], brand=b"heic")
    )
    assert error.reason is Reason.FORMAT_NOT_ALLOWED
    assert "j2k1" in str(error)
    stretched = replace(IMAGE, properties=(*IMAGE.properties, box(b"pasp", b"\0\0\0\2\0\0\0\1")))
    assert "not square" in str(refusal(heif([stretched], brand=b"heic")))
    film = (
        box(b"ftyp", b"hevc", bytes(4), b"msf1") + box(b"moov", box(b"trak")) + box(b"mdat", b"x")
    )
    assert refusal(film).reason is Reason.FORMAT_NOT_ALLOWED


def jxl(*between: bytes, **options: Any) -> bytes:  # noqa: ANN401 - libjxl's
    """A JPEG XL in a container with these boxes."""
    pixels = options.pop("pixels", photograph(64, 96))
    stream = bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=False, **options))
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return start + b"".join(between) + box(b"jxlc", stream)


def packed(kind: bytes, body: bytes) -> bytes:
    """A compressed box."""
    return box(b"brob", kind, bytes(imagecodecs.brotli_encode(body)))


@pytest.mark.parametrize("way", [box, packed])
def test_metadata_of_jpeg_xl_is_carried_packed_or_not(way: Any) -> None:  # noqa: ANN401 - either
    """EXIF and XMP, byte for byte."""
    exif = sources.camera_exif()
    picture = decoded(jxl(way(b"Exif", bytes(4) + exif), way(b"xml ", PACKET)))
    assert (picture.notes, picture.losses) == ((), ())
    output = written(picture)
    assert exif in output
    assert PACKET in output


@pytest.mark.parametrize(
    ("extra", "notes", "losses"),
    [
        (box(b"jhgm", b"x"), (), ("its HDR gain map was not kept",)),
        (packed(b"jumb", b"..c2pa.."), ("its content credentials",), ()),
        (box(b"abcd", b"x"), (), ("its data of an unknown kind (abcd)",)),
        (box(b"xml ", PACKET) * 2, (), ("its further box xml ",)),
        (box(b"brob", b"xml no brotli"), ("its damaged box xml ",), ()),
        (packed(b"xml ", bytes(20_000_000)), ("its damaged box xml ",), ()),
    ],
)
def test_every_other_box_of_jpeg_xl_is_named(
    extra: bytes, notes: tuple[str, ...], losses: tuple[str, ...]
) -> None:
    """Gain maps, credentials, unknown, further, broken and absurdly large ones."""
    picture = decoded(jxl(extra))
    for told, right in ((picture.notes, notes), (picture.losses, losses)):
        assert len(told) == len(right)
        assert all(one.startswith(start) for one, start in zip(told, right, strict=True))


def test_an_animated_jpeg_xl_gives_its_first_frame_where_that_is_wanted() -> None:
    """Else the reason names the setting."""
    frames = np.stack([photograph(32, 48), photograph(32, 48)[::-1]])
    data = bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    error = refusal(data)
    assert (error.reason, error.setting) == (Reason.ANIMATED, "pictures.frames")
    picture = decoded(data, Policies(frames=Frames.FIRST))
    assert np.array_equal(picture.pixels, frames[0])
    assert picture.losses == ("its frames but the first were not kept",)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_and_heic_lose_one_writing(channels: int, bits: int) -> None:
    """Gray, which stays gray, and colour, with and without alpha, which stays exact."""
    rng = np.random.default_rng(bits)
    most = (1 << bits) - 1
    smooth = np.add.outer(np.linspace(0.1, 0.6, 64), np.linspace(0, 0.3, 96))[..., None]
    values = smooth + rng.normal(0, 0.01, (64, 96, channels))
    samples = (np.clip(values, 0, 1) * most).round().astype(np.uint16)
    plugin: Any = extras.load(Format.HEIC)
    plugin.options.SAVE_HDR_TO_12_BIT = bits == 12
    heic = BytesIO()
    mode = ("L;16", "LA;16", "RGB;16", "RGBA;16")[channels - 1]
    plugin.encode(mode, (96, 64), (samples << 16 - bits).tobytes(), heic, quality=90)
    avif = bytes(imagecodecs.avif_encode(samples.squeeze(), level=90, speed=10, bitspersample=bits))
    for data in (heic.getvalue(), avif):
        picture = decoded(data)
        again = decoded(written(picture))
        assert picture.pixels.dtype == again.pixels.dtype == np.uint16
        assert psnr(again.pixels, picture.pixels, data_range=65_535) > 38
        first, second = (codec.probe(BytesIO(each)) for each in (data, written(picture)))
        assert second.bits == bits
        assert first.gray == second.gray == (channels < 3)
        if picture.alpha is not None and again.alpha is not None:
            assert np.array_equal(picture.alpha, again.alpha)


@pytest.mark.parametrize("target", ["AVIF", "HEIF"])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_stays_gray(target: str, mode: str) -> None:
    """An image without colour is written without, with and without alpha."""
    extras.load(Format.HEIC)
    gray = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    pixels = gray if mode == "L" else np.dstack([gray, gray.clip(100)])
    file = BytesIO()
    options = {"subsampling": "4:0:0"} if target == "AVIF" else {}
    Image.fromarray(pixels).save(file, target, **options)
    picture = decoded(file.getvalue())
    assert picture.pixels.shape[2] == 1
    assert codec.probe(BytesIO(written(picture))).gray


@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_heic_is_written_straight(bits: int) -> None:
    """Colours are divided by alpha where there is any, which a note says."""
    alpha = np.broadcast_to(np.linspace(0, 1, 96), (64, 96))
    colours = np.repeat((0.8 * alpha)[..., None], 3, axis=2)
    most = (1 << bits) - 1
    values = (np.dstack([colours, alpha]) * most).astype(np.uint8 if bits == 8 else np.uint16)
    plugin: Any = extras.load(Format.HEIC)
    file = BytesIO()
    mode = "RGBa" if bits == 8 else "RGBa;16"
    plugin.encode(mode, (96, 64), values.tobytes(), file, quality=-1, chroma="444")
    picture = decoded(file.getvalue())
    assert picture.notes == ("its premultiplied colours were written with straight alpha",)
    assert np.abs(picture.pixels[:, 48:] / most - 0.8).max() < 0.01
    assert decoded(written(picture)).notes == ()


@pytest.mark.parametrize("essential", [True, False])
def test_avif_is_cropped_to_what_is_shown(*, essential: bool) -> None:
    """The pixels within the crop, and a loss, because a person has cut off the others."""
    main = still("AVIF")
    clap = struct.pack(">IIIIiIiI", 40, 1, 20, 1, 10, 1, -3, 1)
    whole = decoded(heif([main], brand=b"avif")).pixels
    shown = replace(main, properties=(*main.properties, box(b"clap", clap)))
    data = heif([shown], brand=b"avif")
    at = data.index(b"ipma") + 17  # its third association
    marked = data[:at] + bytes((data[at] | 0x80 * essential,)) + data[at + 1 :]
    picture = decoded(marked)
    assert np.array_equal(picture.pixels, whole[19:39, 38:78])
    assert picture.losses == ("it was cropped to 40 x 20 of 96 x 64, as it is shown",)
    outside_of_it = marked.replace(clap, struct.pack(">IIIIiIiI", 97, 1, 20, 1, 0, 1, 0, 1))
    assert refusal(outside_of_it).reason is Reason.DAMAGED
