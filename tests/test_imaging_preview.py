"""Drawing of previews: they show what the image looks like, and hold nothing else."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from sharpend.files.preview_layout import WHOLE_PX
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.preview import CROP_PX, Drawn, draw
from sharpend.imaging.transparency import fill
from tests.conftest import photograph
from tests.selected import fast_where

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOSE = 6.0
"""Mean difference, levels of 8 bit, of lossy WebP in photographs with noise."""


def drawn(frame: Frame) -> Drawn:
    """The preview of an image that its model leaves as it is."""
    return draw(Picture((frame,), Format.PNG), frame, fill(frame).pixels)


def shown(image: bytes) -> NDArray[np.uint8]:
    """An image as a browser shows it."""
    with Image.open(BytesIO(image)) as opened:
        assert opened.format == "WEBP"
        assert opened.mode == "RGB"
        assert not {"exif", "icc_profile", "xmp"} & set(opened.info)
        return np.asarray(opened)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean difference in levels."""
    return float(np.abs(one.astype(float) - other).mean())


def with_blocks(pixels: NDArray[np.uint8], *blocks: Block) -> Frame:
    """A frame with metadata."""
    return Frame(pixels, carried=Carried(blocks))


def exif_of(orientation: int) -> Block:
    """An EXIF block with a position and an orientation."""
    exif = Image.Exif()
    exif[274] = orientation
    exif.get_ifd(0x8825)[1] = "N"
    return Block(Kind.EXIF, exif.tobytes())


def test_crop_and_whole_show_their_image() -> None:
    """Before and after, the crop in its own size, the whole made smaller."""
    pixels = np.full((900, 1500, 3), 90, np.uint8)
    pixels[300:812, 700:1212] = photograph(512, 512)
    frame = Frame(pixels)
    darker = frame.with_pixels(pixels // 2)
    found = draw(Picture((frame,)), darker, pixels)
    left, top, width, height = found.crop
    assert (width, height) == (CROP_PX, CROP_PX)
    assert (found.width, found.height) == (1500, 900)
    crop = pixels[top : top + height, left : left + width]
    assert crop.std() > 20
    before, after, whole_before, whole_after = map(shown, found.images)
    assert difference(before, crop) < CLOSE
    assert difference(after, crop // 2) < CLOSE
    assert whole_before.shape == whole_after.shape == (614, WHOLE_PX, 3)
    small = np.asarray(Image.fromarray(pixels).resize((WHOLE_PX, 614), Image.Resampling.HAMMING))
    assert difference(whole_before, small) < CLOSE
    assert difference(whole_after, small // 2) < CLOSE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright(orientation: int) -> None:
    """The tag is applied and left out, and the crop's place is that in the upright image."""
    pixels = np.full((700, 1300, 3), 60, np.uint8)
    pixels[40:420, 100:480] = photograph(380, 380)
    found = drawn(with_blocks(pixels, exif_of(orientation)))
    tagged = Image.fromarray(pixels)
    tagged.getexif()[274] = orientation
    upright = np.asarray(ImageOps.exif_transpose(tagged))
    assert (found.height, found.width) == upright.shape[:2]
    left, top, width, height = found.crop
    crop = upright[top : top + height, left : left + width]
    assert difference(shown(found.images[0]), crop) < CLOSE
    whole = shown(found.images[2])
    assert (whole.shape[0] < whole.shape[1]) == (found.height < found.width)


def profile(name: str) -> bytes:
    """An ICC profile that Little CMS makes."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def test_colours_are_made_srgb() -> None:
    """By the image's own profile: the numbers of another colour space would be shown wrongly."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    pixels = np.full((40, 40, 3), (120, 160, 90), np.uint8)
    srgb = drawn(with_blocks(pixels, Block(Kind.ICC, profile("sRGB"))))
    assert difference(shown(srgb.images[0]), pixels) < 2
    unusable = drawn(with_blocks(pixels, Block(Kind.ICC, lab.tobytes())))
    swapped = profile("sRGB").replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ")
    other = drawn(with_blocks(pixels, Block(Kind.ICC, swapped.replace(b"....", b"gXYZ"))))
    assert difference(shown(other.images[0]), pixels[..., [1, 0, 2]]) < 3
    assert difference(shown(other.images[3]), pixels[..., [1, 0, 2]]) < 3
    broken = drawn(with_blocks(pixels, Block(Kind.ICC, b"no profile")))
    assert shown(broken.images[0]).tobytes() == shown(drawn(Frame(pixels)).images[0]).tobytes()
    assert shown(unusable.images[0]).shape == (40, 40, 3)


WHITE = {"u1": 255, "u2": 65535, "f4": 1}


def is_one_of_each_pair(channels: int, dtype: str, transparent: bool) -> bool:  # noqa: FBT001 - a case
    """Whether the fast tests have it: every two of its values are together in one of theirs."""
    return (channels == 3) == (transparent != (dtype == "u2"))


@pytest.mark.parametrize(
    ("channels", "dtype", "transparent"),
    fast_where(is_one_of_each_pair, product((1, 3), WHITE, (False, True))),
)
def test_any_depth_is_shown(channels: int, dtype: str, *, transparent: bool) -> None:
    """Gray and colour, 8 and 16 bits and floating point, with and without alpha."""
    white = WHITE[dtype]
    eight = photograph(300, 2100)[..., :channels]
    pixels: NDArray[Any] = (eight / 255 * white).round(6).astype(dtype)
    alpha: NDArray[Any] | None = np.full((300, 2100), white, dtype) if transparent else None
    found = drawn(Frame(pixels, alpha))
    left, top, width, height = found.crop
    crop = np.broadcast_to(eight[top : top + height, left : left + width], (height, width, 3))
    assert difference(shown(found.images[0]), crop) < CLOSE
    assert shown(found.images[2]).shape == (146, WHOLE_PX, 3)


def test_large_images_are_reduced_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of any height leave no seam."""
    pixels = photograph(4100, 205)
    whole = shown(drawn(Frame(pixels)).images[2])
    monkeypatch.setattr("sharpend.imaging.preview._STRIP_PX", 1 << 15)
    assert np.array_equal(shown(drawn(Frame(pixels)).images[2]), whole)


def test_what_is_transparent_shows_a_chequered_ground() -> None:
    """Stored colours of hidden pixels are not shown, also where colours are multiplied by alpha."""
    pixels, alpha = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64), 255, np.uint8)
    alpha[:, 32:] = 0
    plain = Frame(pixels, alpha)
    multiplied = replace(plain, pixels=pixels * (alpha > 0)[..., None], premultiplied=True)
    for frame in (plain, multiplied):
        image = shown(drawn(frame).images[0])
        assert difference(image[:, :28], pixels[:, :28]) < 3
        grays = image[4::8, 36::8].mean(axis=2)
        assert {round(float(gray) / 51) * 51 for gray in grays.ravel()} == {204, 255}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (2500, 2)])
def test_any_size_is_shown(size: tuple[int, int]) -> None:
    """One pixel, one row, one column."""
    found = drawn(Frame(photograph(*size)))
    assert (found.height, found.width) == size
    assert all(min(shown(image).shape) >= 1 for image in found.images)
