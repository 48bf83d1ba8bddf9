"""Pictures through Pillow: everything but TIFF, Netpbm and PNG of 16 bits.

Owns the way from Pillow's modes to pixels and alpha and back, frames of animations among them.
Refuses modes that could not be given back as they were.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import apng, color, encodings, extras, gif, items, jpeg, jxl, png
from sharpend.imaging.formats import TABLE, Format
from sharpend.imaging.metadata import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.source import bit_depth, color_mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sharpend.imaging.header import Header
    from sharpend.imaging.source import Source

_MODES = frozenset({"L", "LA", "RGB", "RGBA", "P", "PA"})
_BYTE_BITS = 8
_BLACK_WHITE = [0, 0, 0, 255, 255, 255]
_ALPHA = frozenset({"LA", "RGBA"})


def read(source: Source) -> Picture:
    """The frames that are wanted, with the first one's metadata.

    Raises:
        ImageRefusedError: `bit_depth`, `animated`, `color_mode`, `hdr`, ...
    """
    header = source.header
    if header.bits > max(TABLE[header.format].bits):
        raise bit_depth(f"of {header.bits} bits")
    extras.load(header.format)
    with Image.open(BytesIO(source.data), formats=[header.format]) as image:
        source.check_pixels(image.height, image.width)
        if _is_bilevel(image):
            return source.bilevel()
        count = source.wanted(_frame_count(image, header), Reason.ANIMATED)
        source.check_pixels(image.height, image.width, frames=count)
        carried, notes = _carried(source, image)
        color.check_not_hdr(_transfer(source), color.profile_of(carried))
        if header.format is Format.JXL:
            color.check_srgb(color.profile_of(carried))
        if image.mode == "CMYK":
            return _converted(source, image, carried, notes)
        encoding = encodings.encoding_of(image, header)
        notes += _reworded(source, image)
        if header.format is Format.AVIF and _frame_count(image, header) == 1:
            encoding = {**encoding, "bytes": len(source.data)}
        if "background" in image.info and count > 1:
            encoding = {**encoding, "background": image.info["background"]}
        frames = []
        for shown in _frames(image, count):
            pixels, alpha = _pixels(shown, header, notes)
            # Loading has told how long this frame is shown.
            duration_ms = image.info.get("duration", 0) if count > 1 else 0
            frames.append(Frame(pixels, alpha, Carried(), encoding, duration_ms))
        loop = int(image.info.get("loop", 0)) if count > 1 else None
    frames[0] = replace(frames[0], carried=carried)
    picture = Picture(tuple(frames), header.format, tuple(dict.fromkeys(notes)), loop)
    return _timed(picture, source.data)


def _is_bilevel(image: Image.Image) -> bool:
    """Whether there is only black and white, as a mode or as a palette of two."""
    if image.mode == "P" and not image.has_transparency_data:
        return image.getpalette("RGB") in (_BLACK_WHITE, _BLACK_WHITE[::-1])
    return image.mode == "1"


def _frame_count(image: Image.Image, header: Header) -> int:
    # A phone's JPEG with a second view or a gain map opens as MPO: its first picture is a still.
    # So is a HEIC's, whose others are further shots or depth.
    if header.format in {Format.JPEG, Format.HEIC}:
        return 1
    if header.animated:
        raise ImageRefusedError(
            Reason.ANIMATED, "an animated JPEG XL; only stills of this format are sharpened"
        )
    return int(getattr(image, "n_frames", 1))


def _frames(image: Image.Image, count: int) -> Iterator[Image.Image]:
    if count == 1:
        yield image
        return
    # One mode for all, so that they fit together again.
    plain = image.mode in {"RGB", "RGBA"} and "transparency" not in image.info
    mode = image.mode if plain else "RGBA"
    for index in range(count):
        image.seek(index)
        yield image.convert(mode)


def _transfer(source: Source) -> int | None:
    if source.header.format is Format.PNG:
        return png.transfer(source.data)
    return source.header.transfer


def _carried(source: Source, image: Image.Image) -> tuple[Carried, list[str]]:
    """The file's metadata, and notes on what cannot be kept."""
    match source.header.format:
        case Format.JPEG:
            blocks, notes = jpeg.blocks(source.data)
            return Carried(blocks), list(notes)
        case Format.PNG:
            return Carried(png.blocks(source.data)), png.left_out(source.data)
        case Format.GIF:
            note = "its colours were put into a palette of 256 again"
            return Carried(gif.layout(source.data).blocks), [note]
        case Format.BMP:
            return Carried(), []
    told = {kind: image.info.get(name) or b"" for kind, name in encodings.OPTIONS.items()}
    if source.header.format is Format.AVIF:
        told[Kind.EXIF] = items.exif_of(source.data)
    further = jxl.blocks(source.data) if source.header.format is Format.JXL else ()
    named = (Block(kind, data) for kind, data in told.items() if data)
    return Carried((*named, *further)), _left_out(image)


def _reworded(source: Source, image: Image.Image) -> list[str]:
    """What the encoder cannot say as the file did."""
    found = source.header.format
    if found is Format.JPEG and image.mode != "L" and not encodings.keeps_sampling(image):
        return ["its chroma subsampling was replaced by full colour"]
    if found is Format.PNG and image.mode == "L" and source.header.bits < _BYTE_BITS:
        return [f"its gray of {source.header.bits} bits was written with 8"]
    notes = []
    if found is Format.AVIF and source.header.lossless:
        notes.append("it was lossless; AVIF is written at its highest quality, within three levels")
    if found is Format.AVIF and items.is_premultiplied(source.data):
        notes.append("its colours were multiplied by alpha and are written as they are seen")
    return notes


def _left_out(image: Image.Image) -> list[str]:
    """What a HEIC or JPEG XL held besides."""
    if image.format == "HEIF" and getattr(image, "n_frames", 1) > 1:
        return ["its further pictures were not kept"]
    if image.info.get("original_orientation") not in {None, 1}:
        return ["it was turned upright, as HEIC's reader gives it"]
    if image.info.get("depth_images") or image.info.get("aux"):
        return ["its depth map or other auxiliary pictures were not kept"]
    return []


def _converted(source: Source, image: Image.Image, carried: Carried, notes: list[str]) -> Picture:
    """A CMYK JPEG as sRGB."""
    source.check_cmyk()
    if "adobe" not in image.info:
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "its colours are CMYK without Adobe's marker, so whether 0 is no ink is unknown",
        )
    pixels, profile = color.to_srgb(image, color.profile_of(carried))
    blocks = (*carried.without(Kind.ICC, Kind.COLOR).blocks, *jpeg.icc_blocks(profile))
    frame = Frame(pixels, None, Carried(blocks), encodings.encoding_of(image, source.header))
    return Picture((frame,), Format.JPEG, (*notes, "its CMYK colours were converted to sRGB"))


def _pixels(
    image: Image.Image, header: Header, notes: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Pixels and alpha; a palette becomes colours, a transparent colour an alpha channel."""
    if image.mode not in _MODES:
        raise color_mode(image.mode)
    image.load()
    mode = _target_mode(image, header, notes)
    if header.format is Format.PNG and image.mode == "L" and "transparency" in image.info:
        # Pillow widens 2 and 4 bit gray to 8, but not the gray value that is transparent.
        image.info["transparency"] *= 255 // (2**header.bits - 1)
    plain: Image.Image = image if mode == image.mode else image.convert(mode)
    values = np.asarray(plain).reshape(plain.height, plain.width, -1)
    if mode not in _ALPHA:
        return np.array(values), None
    return np.array(values[..., :-1]), np.array(values[..., -1])


def _target_mode(image: Image.Image, header: Header, notes: list[str]) -> str:
    if header.gray:
        return "LA" if image.mode == "RGBA" else "L"
    if image.mode in {"P", "PA"}:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        if header.format is not Format.GIF:
            notes.append(f"its palette was written as {mode}")
        return mode
    if image.mode in {"L", "RGB"} and image.has_transparency_data:
        notes.append("its transparent colour was written as an alpha channel")
        return {"L": "LA", "RGB": "RGBA"}[image.mode]
    return image.mode


def _timed(picture: Picture, data: bytes) -> Picture:
    """The times as the file tells them, where Pillow rounds them or leaves some out."""
    if picture.format is Format.GIF:
        layout = gif.layout(data)
        frames = [
            replace(frame, duration_ms=how.duration_ms, disposal=how.disposal, box=how.box)
            for frame, how in zip(picture.frames, layout.frames, strict=False)
        ]
        return replace(picture, frames=tuple(frames), loop=layout.loop)
    if picture.format is Format.PNG and len(picture.frames) > 1:
        animation = apng.animation(data)
        assert animation is not None  # noqa: S101 - tells the type checker
        timings = [(0.0, 0)] * animation.has_default + list(animation.timings)
        frames = [
            replace(frame, duration_ms=duration_ms, disposal=disposal)
            for frame, (duration_ms, disposal) in zip(picture.frames, timings, strict=True)
        ]
        frames[0] = replace(frames[0], is_shown=not animation.has_default)
        return replace(picture, frames=tuple(frames), loop=animation.plays)
    return picture
