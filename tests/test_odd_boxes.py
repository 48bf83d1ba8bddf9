"""AVIF, HEIC and JPEG XL whose metadata or end is odd: the pixels decide whether they are whole."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import extras
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Kind
from sharpend.policies import Frames, Policies
from tests.cases import decoded, written
from tests.isofiles import Made, box, coded, heif

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXELS = np.add.outer(np.arange(64), np.arange(96))[..., None].repeat(3, 2).astype(np.uint8)
EXIF = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"
BRANDS = {"AVIF": b"avif", "HEIF": b"heic"}


@cache
def still(target: str) -> Made:
    """A coded image."""
    extras.load(Format.HEIC)
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, target, quality=90)
    return coded(file.getvalue())


def made(target: str, *others: Made, properties: tuple[bytes, ...] = ()) -> bytes:
    """A file of one image with these properties more, and other items."""
    main = still(target)
    main = replace(main, properties=(*main.properties, *properties))
    return heif([main, *others], brand=BRANDS[target])


@pytest.mark.parametrize("target", BRANDS)
@pytest.mark.parametrize(
    ("item", "is_read"),
    [
        (bytes(4) + EXIF, True),
        (struct.pack(">I", 6) + b"Exif\0\0" + EXIF, True),
        (bytes(4) + b"Exif\0\0" + EXIF, True),
        (EXIF, True),
        (struct.pack(">I", 9999) + EXIF, True),
        (bytes(4) + b"nothing of EXIF", False),
        (b"\1\2", False),
    ],
    ids=["plain", "prefix", "wrong prefix", "no offset", "beyond", "garbage", "short"],
)
def test_exif_never_decides_whether_an_image_is_whole(
    target: str, item: bytes, *, is_read: bool
) -> None:
    """It is carried where it can be found, and named where not."""
    data = made(target, Made(b"Exif", item, (), ((b"cdsc", (1,)),)))
    picture = decoded(data)
    assert (EXIF in picture.carried.data(Kind.EXIF)) == is_read
    assert [note for note in picture.notes if "its EXIF block cannot be read" in note] == [
        "its EXIF block cannot be read and was not kept"
    ] * (not is_read)
    assert decoded(written(picture)).carried.data(Kind.EXIF) == picture.carried.data(Kind.EXIF)


@pytest.mark.parametrize("behind", [b"left", b"SEFH of some vendor SEFT", b"\xff\xd8\xff\xe0" * 99])
@pytest.mark.parametrize("target", [*BRANDS, "JXL"])
def test_data_that_is_no_box_is_a_loss(target: str, behind: bytes) -> None:
    """The image in front of it is whole."""
    if target == "JXL":
        stream = bytes(imagecodecs.jpegxl_encode(PIXELS, usecontainer=False))
        start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
        data = start + box(b"jxlc", stream)
    else:
        data = made(target)
    picture = decoded(data + behind)
    assert np.array_equal(picture.pixels, decoded(data).pixels)
    assert picture.losses == (
        f"{len(behind)} bytes of unknown data behind its end are not in the output",
    )


@pytest.mark.parametrize("turn", [b"\0", b"\1"])
def test_a_turn_that_is_not_marked_essential_is_followed(turn: bytes) -> None:
    """Such a file is refused by libavif itself."""
    data = made("AVIF", properties=(box(b"imir", turn),))
    output = written(decoded(data))
    with Image.open(BytesIO(output)) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))[..., 0].astype(int)
    mirrored = PIXELS[::-1] if turn == b"\0" else PIXELS[:, ::-1]
    assert np.abs(shown - mirrored[..., 0]).mean() < 3


@pytest.mark.parametrize("kind", [b"iovl", b"iden"])
def test_images_that_are_made_of_others_are_refused_by_name(kind: bytes) -> None:
    """Libavif reads grids alone."""
    size = box(b"ispe", bytes(4), struct.pack(">II", 96, 64))
    whole = Made(kind, bytes(18), (size,), ((b"dimg", (2,)),))
    with pytest.raises(ImageRefusedError) as caught:
        decoded(heif([whole, replace(still("AVIF"), hidden=True)], brand=b"avif"))
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize("channels", [3, 4])
def test_a_deep_sequence_gives_its_first_frame(channels: int) -> None:
    """Decoding one frame of several by imagecodecs would end the process."""
    alpha = np.broadcast_to(np.arange(96, dtype=np.uint16) * 10, (64, 96))
    deep = np.dstack([PIXELS.astype(np.uint16) * 4, alpha])[..., :channels]
    data = bytes(imagecodecs.avif_encode(np.stack([deep, deep[::-1]]), bitspersample=10, level=95))
    picture = decoded(data, Policies(frames=Frames.FIRST))
    difference = picture.pixels.astype(int) // 64 - deep[..., :3]
    assert np.abs(difference).mean() < 4
    assert (picture.alpha is None) == (channels == 3)
    assert picture.losses == ("of its 2 frames only the first is in the output",)
    assert decoded(written(picture)).pixels.shape == picture.pixels.shape


def test_deep_alpha_that_hides_nothing_is_noted() -> None:
    """The encoder leaves it out."""

    def item(values: NDArray[np.uint16]) -> Made:
        return coded(bytes(imagecodecs.avif_encode(values, bitspersample=10, level=95)))

    main = item(PIXELS.astype(np.uint16) * 4)
    alpha = item(np.full((64, 96), 1023, np.uint16))
    use = box(b"auxC", bytes(4), b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    alpha = replace(alpha, properties=(*alpha.properties, use), references=((b"auxl", (1,)),))
    picture = decoded(heif([main, alpha], brand=b"avif"))
    assert picture.notes == ("its alpha channel, which hides nothing, was not kept",)
    assert decoded(written(picture)).alpha is None


ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"


def thumbnail(target: str) -> Made:
    """A thumbnail of the first item."""
    return replace(still(target), references=((b"thmb", (1,)),))


def auxiliary(target: str, use: bytes, owner: int, image: Made | None = None) -> Made:
    """An auxiliary image of an item, hidden."""
    image = image or still(target)
    told = box(b"auxC", bytes(4), use + b"\0")
    properties, references = (*image.properties, told), ((b"auxl", (owner,)),)
    return replace(image, properties=properties, references=references, hidden=True)


@pytest.mark.parametrize("target", BRANDS)
@pytest.mark.parametrize(
    ("item", "lost"),
    [
        (Made(b"Exif", bytes(4) + EXIF, (), ((b"cdsc", (2,)),)), "further EXIF block"),
        (Made(b"mime", b"a caption", (), ((b"cdsc", (2,)),), content=b"text/plain"), "text/plain"),
        (b"urn:a:maker", "auxiliary image (urn:a:maker)"),
        (ALPHA, ""),
    ],
    ids=["exif", "text", "auxiliary", "alpha"],
)
def test_a_thumbnail_is_form_and_what_it_alone_has_is_content(
    target: str, item: Made | bytes, lost: str
) -> None:
    """Only its alpha channel goes without a word."""
    own = auxiliary(target, item, 2) if isinstance(item, bytes) else item
    picture = decoded(made(target, thumbnail(target), own))
    assert picture.notes == ("its thumbnail was not kept",)
    assert len(picture.losses) == bool(lost)
    assert all(lost in loss for loss in picture.losses)


@pytest.mark.parametrize("target", BRANDS)
def test_properties_of_unknown_meaning_are_content(target: str) -> None:
    """So is what describes a thumbnail; the light of a display is form."""
    described = replace(
        thumbnail(target),
        properties=(*still(target).properties, box(b"udes", bytes(4), b"en\0a\0b\0c\0")),
    )
    own = box(b"altt", bytes(4), b"a dog\0en\0"), box(b"XyZw", b"?"), box(b"mdcv", bytes(24))
    picture = decoded(made(target, described, properties=own))
    assert picture.losses == (
        "its alternative text (altt) was not kept",
        "its property XyZw was not kept",
        "its description (udes) was not kept",
    )
    assert picture.notes == ("its thumbnail was not kept", "its property mdcv was not kept")


@pytest.mark.parametrize("target", BRANDS)
def test_padding_and_lists_of_items_are_searched_for_content(target: str) -> None:
    """Decoders skip padding within the list of items, and libavif all further lists."""
    data = made(target)
    listed = box(b"meta", bytes(4), box(b"hdlr", bytes(25)))
    if target == "AVIF":
        assert decoded(data + listed).losses == ("its further list of items (meta) was not kept",)
    inner = box(b"skip", b"hidden")
    at = data.index(b"meta") - 4
    size = int.from_bytes(data[at : at + 4])
    start = data.index(b"mdat") + 4
    moved = (start + len(inner)).to_bytes(4)
    head = data[at + 4 : at + size].replace(start.to_bytes(4), moved)
    padded = data[:at] + (size + len(inner)).to_bytes(4) + head + inner + data[at + size :]
    assert decoded(padded).notes == ("its padding (skip) was not kept",)


@pytest.mark.parametrize("target", BRANDS)
def test_a_hidden_primary_image_is_shown(target: str) -> None:
    """The standard forbids it, and libheif refuses it; there is no other image to show."""
    main = replace(still(target), hidden=True)
    picture = decoded(heif([main, still(target)], brand=BRANDS[target]))
    assert np.array_equal(picture.pixels, decoded(made(target)).pixels)
    assert picture.losses == ("its further image was not kept",)


@pytest.mark.parametrize("layer", [b"\0\0", b"\xff\xff"])
def test_a_layer_that_is_not_marked_essential_is_followed(layer: bytes) -> None:
    """Such a file is refused by libavif itself."""
    picture = decoded(made("AVIF", properties=(box(b"lsel", layer),)))
    assert np.array_equal(picture.pixels, decoded(made("AVIF")).pixels)


def essential(data: bytes, index: int) -> bytes:
    """The same file with a property of its first item marked as essential."""
    at = data.index(b"ipma") + 12 + 3 + index
    return data[: at - 1] + bytes((data[at - 1] | 0x80,)) + data[at:]


@pytest.mark.parametrize("target", BRANDS)
def test_true_reasons_of_images_that_no_decoder_shows(target: str) -> None:
    """Nothing is wrong with these files, and copying them again would not help."""
    unknown = made(target, properties=(box(b"XyZw", b"?"),))
    size = box(b"ispe", bytes(4), struct.pack(">II", 96, 64))
    toned = Made(b"tmap", bytes(60), (size,), ((b"dimg", (2, 3)),))
    layered = replace(still(target), kind=b"lhv1")
    cases = {
        "needs the property XyZw": essential(unknown, len(still(target).properties) + 1),
        "a base image and its gain map (tmap)": heif(
            [toned, still(target), still(target)], brand=BRANDS[target]
        ),
        "coded as lhv1": heif([layered], brand=BRANDS[target]),
    }
    for reason, data in cases.items():
        with pytest.raises(ImageRefusedError, match=re.escape(reason)) as caught:
            decoded(data)
        assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


def square(target: str, value: int) -> Made:
    """A coded image of one colour, 128 x 128: a tile, or an alpha channel of 4:2:0."""
    extras.load(Format.HEIC)
    file = BytesIO()
    Image.new("RGB", (128, 128), (value,) * 3).save(file, target, quality=90)
    return coded(file.getvalue())


def test_alpha_of_another_size_is_named_in_avif_and_scaled_in_heic() -> None:
    """As their decoders do."""
    for target in BRANDS:
        alpha = auxiliary(target, ALPHA, 1, square(target, 90))
        data = made(target, alpha)
        if target == "HEIF":
            assert decoded(data).alpha is not None
            continue
        with pytest.raises(ImageRefusedError, match="alpha channel has another size"):
            decoded(data)


@pytest.mark.parametrize("target", BRANDS)
def test_tiles_may_have_an_alpha_channel_each(target: str) -> None:
    """Where all have one it is the image's; where one has none, the others' are no alpha."""
    size = box(b"ispe", bytes(4), struct.pack(">II", 256, 128))
    data = bytes((0, 0, 0, 1)) + struct.pack(">HH", 256, 128)
    grid = Made(b"grid", data, (size,), ((b"dimg", (2, 3)),))
    tiles = [replace(square(target, 99), hidden=True)] * 2
    alphas = [auxiliary(target, ALPHA, 2 + at, square(target, 70 + at)) for at in (0, 1)]
    picture = decoded(heif([grid, *tiles, *alphas], brand=BRANDS[target]))
    assert picture.losses == ()
    assert picture.alpha is not None
    assert abs(int(picture.alpha[9, 9]) - 70) < 3
    picture = decoded(heif([grid, *tiles, alphas[0]], brand=BRANDS[target]))
    assert picture.alpha is None
    assert "its auxiliary image" in picture.losses[0]


@pytest.mark.parametrize("target", BRANDS)
@pytest.mark.parametrize("told", [(), (box(b"auxC", bytes(4)),)], ids=["no auxC", "empty auxC"])
def test_an_auxiliary_image_that_tells_no_use_is_a_loss(
    target: str, told: tuple[bytes, ...]
) -> None:
    """Decoders refuse the whole file for it; the image is sound."""
    other = square(target, 90)
    other = replace(other, properties=other.properties + told, references=((b"auxl", (1,)),))
    picture = decoded(made(target, other))
    assert picture.losses == ("its further image was not kept",)
    assert decoded(written(picture)).losses == ()


def test_an_alpha_channel_that_a_decoder_does_not_find_is_never_dropped() -> None:
    """One of two images at once, which libavif shows as opaque."""
    alpha = replace(auxiliary("AVIF", ALPHA, 1, still("AVIF")), references=((b"auxl", (1, 2)),))
    data = made("AVIF", still("AVIF"), alpha)
    with pytest.raises(ImageRefusedError, match="does not find its alpha channel") as caught:
        decoded(data)
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("places", "canvas", "is_loss"),
    [
        ([(0, 0)], (128, 128), False),
        ([(10, 20)], (200, 200), False),
        ([(0, 0), (128, 0)], (256, 128), False),
        ([(0, 0), (127, 0)], (256, 128), True),
        ([(-1, 0)], (128, 128), True),
        ([(0, 1)], (128, 128), True),
    ],
)
def test_what_an_overlay_hides_is_a_loss(
    places: list[tuple[int, int]], canvas: tuple[int, int], *, is_loss: bool
) -> None:
    """It is written as one image, without what lies below upper layers or outside."""
    size = box(b"ispe", bytes(4), struct.pack(">II", *canvas))
    data = bytes(10) + struct.pack(">HH", *canvas)
    data += b"".join(struct.pack(">hh", *place) for place in places)
    layers = tuple(range(2, 2 + len(places)))
    whole = Made(b"iovl", data, (size,), ((b"dimg", layers),))
    picture = decoded(heif([whole, *[square("HEIF", 99)] * len(places)], brand=b"heic"))
    assert picture.size == canvas[::-1]
    assert picture.losses == (
        "parts of the layers of its image that lie below others, or outside, were not kept",
    ) * bool(is_loss)
