"""AVIF, HEIC and JPEG XL whose metadata or end is odd: the pixels decide whether they are whole."""

from __future__ import annotations

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
