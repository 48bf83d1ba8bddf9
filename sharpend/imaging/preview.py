"""Preview of a sharpened image: a crop and the whole image, before and after, for a browser.

Owns the choice of the crop, the reduction, and the conversion to what every browser shows alike:
upright, 8 bit, sRGB, without metadata. The first frame or page is shown; what alpha lets through is
a chequered ground. Large images are reduced in strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms
from PIL.Image import Resampling

from sharpend.files.preview_layout import WHOLE_PX
from sharpend.imaging.containers.geometry import turned
from sharpend.imaging.contents import orientation_of
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.depth import eight_bits
from sharpend.imaging.metadata.icc import profile_of
from sharpend.imaging.transparency import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.picture import Frame, Picture

CROP_PX = 512
_CROP_QUALITY, _WHOLE_QUALITY = 90, 80
"""WebP's: the crop is looked at for its details."""
_METHOD = 0
"""WebP's effort, 0 to 6: 4, its default, takes four times as long for a tenth less."""
_STRIP_PX = 1 << 21
_SQUARE_PX = 8
_GROUND = (204, 255)
"""Side and grays of the squares of the chequered ground."""
_TURNED, _FROM_RIGHT, _FROM_BOTTOM = {5, 6, 7, 8}, {2, 3, 7, 8}, {3, 4, 6, 7}
"""Orientations that swap the sides, and that count columns from the right, rows from the bottom:
CIPA DC-008-2023, table 8."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Preview as four WebP files."""

    crop: tuple[int, int, int, int]
    """Left, top, width and height of the crop, in pixels of the upright image."""
    width: int
    """Of the upright image, in pixels."""
    height: int
    images: tuple[bytes, ...]
    """The crop before and after, the whole image before and after."""


@dataclass(frozen=True, slots=True)
class _Colours:
    """Straight colours, H x W x C, and alpha, H x W, of a frame."""

    pixels: NDArray[Sample]
    alpha: NDArray[Sample] | None

    def part(self, rows: slice, columns: slice) -> Image.Image:
        """Convert a part to an image of 8 bits: L, LA, RGB or RGBA."""
        part = eight_bits(self.pixels[rows, columns])
        if self.alpha is not None:
            part = np.dstack([part, eight_bits(self.alpha[rows, columns])])
        return Image.fromarray(part[:, :, 0] if part.shape[2] == 1 else part)

    def reduced(self) -> Image.Image:
        """Reduce the whole to at most WHOLE_PX on its longer side; a smaller one stays."""
        height, width = self.pixels.shape[:2]
        longer = max(height, width)
        step = max(1, longer // (2 * WHOLE_PX))
        image = self._averaged(step) if step > 1 else self.part(slice(height), slice(width))
        if longer <= WHOLE_PX:
            return image
        size = [max(1, round(side * WHOLE_PX / longer)) for side in (width, height)]
        return image.resize((size[0], size[1]), Resampling.HAMMING)

    def _averaged(self, step: int) -> Image.Image:
        """Average squares of `step` pixels, some rows at a time, which bounds the memory."""
        height, width = self.pixels.shape[:2]
        rows = step * max(1, _STRIP_PX // (width * step))
        strips = [
            (top, self.part(slice(top, top + rows), slice(width)).reduce(step))
            for top in range(0, height, rows)
        ]
        whole = Image.new(strips[0][1].mode, (-(-width // step), -(-height // step)))
        for top, strip in strips:
            whole.paste(strip, (0, top // step))
        return whole


def draw(before: Picture, after: Frame, shown: NDArray[Sample]) -> Drawn:
    """Draw the preview of a sharpened image.

    Args:
        before: the input, as decoded.
        after: its first frame, sharpened.
        shown: straight colours of the input's first frame, hidden ones filled: `transparency.fill`.

    Returns:
        The preview; images with an unusable ICC profile are taken for sRGB.
    """
    frame, turn = before.frames[0], orientation_of(before)
    height, width = shown.shape[:2]
    rows, columns = most_detailed(shown, height=min(CROP_PX, height), width=min(CROP_PX, width))
    pair = [_Colours(frame.pixels, frame.alpha), _Colours(after.pixels, frame.alpha)]
    if frame.premultiplied:
        pair = [_Colours(shown, frame.alpha), _Colours(fill(after).pixels, frame.alpha)]
    crops = [one.part(rows, columns) for one in pair]
    wholes = [one.reduced() for one in pair]
    convert = _conversion(profile_of(before.carried), gray=shown.shape[2] == 1)
    images = [_encoded(convert, one, turn, quality=_CROP_QUALITY) for one in crops]
    images += [_encoded(convert, one, turn, quality=_WHOLE_QUALITY) for one in wholes]
    upright = (height, width) if turn in _TURNED else (width, height)
    crop = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    return Drawn(_turned(crop, (width, height), turn), *upright, tuple(images))


def _turned(
    crop: tuple[int, int, int, int], size: tuple[int, int], turn: int
) -> tuple[int, int, int, int]:
    """Turn a crop as its image of this size, width and height, is turned."""
    left, top, width, height = crop
    if turn in _FROM_RIGHT:
        left = size[0] - left - width
    if turn in _FROM_BOTTOM:
        top = size[1] - top - height
    return (top, left, height, width) if turn in _TURNED else (left, top, width, height)


def _conversion(profile: bytes, *, gray: bool) -> Callable[[Image.Image], Image.Image]:
    """Make the conversion of an image without alpha to sRGB, by its ICC profile if it has one."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb, mode = ImageCms.createProfile("sRGB"), "L" if gray else "RGB"
            transform = ImageCms.buildTransform(own, srgb, mode, "RGB")
        except (ImageCms.PyCMSError, OSError):  # one that decoders pass over, too
            pass
        else:
            return transform.apply
    return lambda image: image.convert("RGB")


def _encoded(
    convert: Callable[[Image.Image], Image.Image], image: Image.Image, turn: int, *, quality: int
) -> bytes:
    """Encode an image as WebP: sRGB, upright, opaque, without metadata."""
    colours = convert(image.convert(image.mode.rstrip("A")))
    if image.mode.endswith("A"):
        colours = Image.composite(colours, _chequered(image.size), image.getchannel("A"))
    colours = Image.fromarray(turned(np.asarray(colours), turn))
    with BytesIO() as file:
        colours.save(file, "WEBP", quality=quality, method=_METHOD, exif=b"", xmp=b"")
        return file.getvalue()


def _chequered(size: tuple[int, int]) -> Image.Image:
    """Draw the ground that shows what is transparent."""
    rows, columns = np.ogrid[: size[1], : size[0]]
    is_light = (rows // _SQUARE_PX + columns // _SQUARE_PX) % 2
    return Image.fromarray(np.array(_GROUND, np.uint8)[is_light]).convert("RGB")
