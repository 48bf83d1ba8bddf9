"""Pictures written through Pillow, with their metadata put in as it was.

Owns the way from pixels and alpha back to a file of every format but TIFF, Netpbm and PNG of 16
bits. JPEG, PNG, GIF and animated WebP get their blocks spliced in; the others by save options.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from sharpend.imaging import apng, bmp, extras, gif, isobmff, items, jpeg, png, webp
from sharpend.imaging.encodings import OPTIONS
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import Block, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sharpend.imaging.picture import Frame, Picture

_RIFF: Mapping[Kind, bytes] = {Kind.ICC: b"ICCP", Kind.EXIF: b"EXIF", Kind.XMP: b"XMP "}
_MOST_COLORS = 256
_OPAQUE = 128
"""GIF knows no half-transparent colours."""
_AVIF_QUALITIES = (85, 95, 100)
_ORIENTATION, _SOFTWARE = 0x0112, 0x0131
_BYTES_PER_PIXEL = 6
"""Room for libjpeg: noise needs more than Pillow's guess of 2 (4.2 measured at quality 100)."""


def write(picture: Picture) -> bytes:
    """The whole file.

    Raises:
        Exception: whatever Pillow's encoders raise.
    """
    extras.load(picture.format)
    return _WRITERS.get(picture.format, _plain)(picture)


def _jpeg(picture: Picture) -> bytes:
    frame = picture.frames[0]
    height, width, _ = frame.pixels.shape
    before = ImageFile.MAXBLOCK
    # Progressive files are written in one piece.
    ImageFile.MAXBLOCK = max(before, _BYTES_PER_PIXEL * height * width)
    try:
        encoded = _saved(_image(frame), picture.format, frame.encoding)
    finally:
        ImageFile.MAXBLOCK = before
    return jpeg.spliced(encoded, frame.carried.blocks)


def _png(picture: Picture) -> bytes:
    frames = picture.frames
    if frames[0].pixels.dtype == np.uint16:
        encoded = png.write_deep(frames[0].pixels, frames[0].alpha)
    else:
        stills = [_saved(_image(frame), Format.PNG, frame.encoding) for frame in frames]
        encoded = stills[0]
        if len(frames) > 1:
            encoded = apng.assembled(stills, frames, plays=picture.loop or 0)
    return png.spliced(encoded, frames[0].carried.blocks)


def _gif(picture: Picture) -> bytes:
    """Each frame paints its box; what it would leave as it is, is transparent."""
    height, width, _ = picture.pixels.shape
    canvas = np.zeros((height, width, 4), np.uint8)
    stills = []
    for frame in picture.frames:
        before = canvas.copy()
        left, top, right, bottom = frame.box or (0, 0, width, height)
        box = np.s_[top:bottom, left:right]
        wanted = _visible_only(frame)[box]
        painted = (wanted != canvas[box]).any(axis=2)
        image, transparent = _paletted(wanted[..., :3], painted)
        options = {} if transparent is None else {"transparency": transparent}
        options |= {"optimize": False, "interlace": False}
        stills.append(_saved(image, Format.GIF, options))
        canvas[box] = 0 if frame.disposal == gif.CLEARED else wanted
        canvas = before if frame.disposal == gif.RESTORED else canvas
    return gif.assembled(stills, picture)


def _visible_only(frame: Frame) -> NDArray[np.uint8]:
    """H x W x 4, opaque or nothing."""
    colors = np.broadcast_to(frame.pixels, (*frame.pixels.shape[:2], 3))
    alpha = np.full(colors.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
    seen = np.where(alpha >= _OPAQUE, 255, 0)
    return np.where(seen[..., np.newaxis], np.dstack([colors, seen]), 0).astype(np.uint8)


def _webp(picture: Picture) -> bytes:
    frames = picture.frames
    if len(frames) == 1:
        return _plain(picture)
    stills = [_saved(_image(frame), Format.WEBP, frame.encoding) for frame in frames]
    carried = [(_RIFF[block.kind], block.data) for block in frames[0].carried.blocks]
    return webp.with_metadata(webp.assembled(stills, frames, picture.loop or 0), carried)


def _bmp(picture: Picture) -> bytes:
    frame = picture.frames[0]
    if frame.alpha is None:
        return _plain(picture)
    return bmp.with_alpha(frame.pixels, frame.alpha, frame.encoding.get("dpi"))


def _avif(picture: Picture) -> bytes:
    """At the least quality that comes out no smaller than the file was, which tells no quality."""
    frames = list(picture.frames)
    told = dict(frames[0].encoding)
    colour, least_bytes = told.pop("colour", None), told.pop("bytes", 0)
    carried, exif = frames[0].carried.without(Kind.EXIF), frames[0].carried.data(Kind.EXIF)
    turning = _turning(told.pop("orientation", 1), has_more=bool(exif))
    frames[0] = replace(
        frames[0],
        carried=replace(carried, blocks=(*carried.blocks, Block(Kind.EXIF, turning))),
    )
    encoded = b""
    for quality in (told.get("quality", _AVIF_QUALITIES[0]), *_AVIF_QUALITIES[1:]):
        frames[0] = replace(frames[0], encoding={**told, "quality": quality})
        encoded = _plain(picture.with_frames(frames))
        encoded = items.with_exif(encoded, exif) if exif else encoded
        if len(encoded) >= least_bytes:
            break
    return isobmff.with_colour(encoded, *colour) if colour else encoded


def _turning(orientation: int, *, has_more: bool) -> bytes:
    """EXIF by which Pillow turns an AVIF, and with more, so that there is a place for a block."""
    told = Image.Exif()
    told[_ORIENTATION] = orientation
    if has_more:
        told[_SOFTWARE] = "-"
    return told.tobytes()


def _heic(picture: Picture) -> bytes:
    frame = picture.frames[0]
    told = dict(frame.encoding)
    colour = told.pop("colour", None)
    encoded = _plain(picture.with_frames([replace(frame, encoding=told)]))
    return isobmff.with_colour(encoded, *colour) if colour else encoded


def _plain(picture: Picture) -> bytes:
    first = picture.frames[0]
    options: dict[str, object] = {OPTIONS[block.kind]: block.data for block in first.carried.blocks}
    images = [_image(frame) for frame in picture.frames]
    if len(images) > 1:
        options |= {
            "save_all": True,
            "append_images": images[1:],
            "duration": [frame.duration_ms for frame in picture.frames],
        }
    return _saved(images[0], picture.format, {**first.encoding, **options})


_WRITERS: Mapping[Format, Callable[[Picture], bytes]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.BMP: _bmp,
    Format.AVIF: _avif,
    Format.HEIC: _heic,
}


def _saved(image: Image.Image, target: str, options: Mapping[str, object]) -> bytes:
    buffer = BytesIO()
    image.save(buffer, target, **options)
    return buffer.getvalue()


def _image(frame: Frame) -> Image.Image:
    pixels = frame.pixels
    if frame.alpha is not None:
        pixels = np.dstack([pixels, frame.alpha])
    elif pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _paletted(
    colors: NDArray[np.uint8], visible: NDArray[np.bool_]
) -> tuple[Image.Image, int | None]:
    """Colours as at most 256, exactly where there are no more, and the transparent index."""
    most = _MOST_COLORS - (not visible.all())
    indices, table = _indexed(colors, visible, most)
    transparent = None
    if not visible.all():
        transparent = len(table)
        indices = np.where(visible, indices, transparent)
        table = np.vstack([table, np.zeros((1, 3), np.uint8)])
    height, width = indices.shape
    image = Image.frombytes("P", (width, height), indices.astype(np.uint8).tobytes())
    image.putpalette(table.tobytes())
    return image, transparent


def _indexed(
    colors: NDArray[np.uint8], visible: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.integer], NDArray[np.uint8]]:
    """Palette indices and a table of at most `most` colours, chosen by the visible ones."""
    packed = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    unique = np.unique(packed[visible])
    if len(unique) == 0:
        return np.zeros(packed.shape, np.intp), np.empty((0, 3), np.uint8)
    packed = np.where(visible, packed, unique[0])
    if len(unique) <= most:
        table = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=1)
        return np.searchsorted(unique, packed), table.astype(np.uint8)
    filled = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=2).astype(np.uint8)
    reduced = Image.fromarray(filled).quantize(most, dither=Image.Dither.NONE)
    table = np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3)[:most]
    return np.asarray(reduced), table
