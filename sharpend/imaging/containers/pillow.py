"""Pillow reader and writer for every format but TIFF, Netpbm and 16-bit PNG.

Converts Pillow's modes to pixels and alpha and back, frames of animations among them.
Refuses modes that could not be written as they were read. Differences between formats are declared
in each one's `Reading`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sharpend.errors import Reason
from sharpend.imaging import color, extras
from sharpend.imaging.formats import TABLE
from sharpend.imaging.metadata import exif, icc, xmp
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.source import bit_depth, color_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.source import Header, Source

    CarriedAndNotes = tuple[Carried, list[str]]
    """Metadata of a file, and notes on what of it cannot be kept."""
    Options = dict[str, Any]
    """Pillow's save options, and what else a format's writer has to know of the source."""

NAMES: Mapping[Kind, str] = {Kind.EXIF: "exif", Kind.ICC: "icc_profile", Kind.XMP: "xmp"}
"""Pillow's names of metadata, in its info and as save options."""
_MODES = frozenset({"L", "LA", "RGB", "RGBA", "P", "PA"})
STRAIGHT = "its premultiplied colours were written with straight alpha"
"""Name for notes, whatever the container."""
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_BLACK_WHITE = [0, 0, 0, 255, 255, 255]
_WITH_ALPHA = (2, 4)
"""Numbers of channels of which one is alpha."""
_ALPHA = frozenset({"LA", "RGBA"})


def read_metadata(_source: Source, image: Image.Image) -> CarriedAndNotes:
    """Read EXIF, ICC profile and XMP as Pillow gives them."""
    found = {kind: image.info.get(name) or b"" for kind, name in NAMES.items()}
    return Carried(tuple(Block(kind, data) for kind, data in found.items() if data)), []


def unannounced(carried: Carried) -> CarriedAndNotes:
    """Remove from XMP the announcements of parts of the file that no output holds."""
    block = carried.block(Kind.XMP)
    try:
        packet = xmp.without_announcements(block.data) if block else b""
    except ValueError:  # carried as it is, like all that cannot be understood
        return carried, []
    if block is None or packet == block.data:
        return carried, []
    blocks = [replace(each, data=packet) if each is block else each for each in carried.blocks]
    return replace(carried, blocks=tuple(blocks)), [xmp.ANNOUNCEMENTS_REMOVED]


def upright(carried: Carried) -> Carried:
    """Set the orientation in EXIF and XMP to upright, for pixels that a decoder has turned.

    What cannot be understood stays, because viewers of these formats do not follow it.
    """
    edits = {Kind.EXIF: exif.upright, Kind.XMP: xmp.without_orientation}
    blocks = []
    for block in carried.blocks:
        with suppress(ValueError):
            block = replace(block, data=edits.get(block.kind, bytes)(block.data))  # noqa: PLW2901
        blocks.append(block)
    return replace(carried, blocks=tuple(blocks))


def _no_options(_source: Source, _image: Image.Image, _count: int) -> Options:
    return {}


def frame_count(image: Image.Image, _header: Header) -> int:
    """Count the frames of a file."""
    return int(getattr(image, "n_frames", 1))


def one_frame(_image: Image.Image, _header: Header) -> int:
    """Return 1, for formats whose other images are no frames: second views, gain maps, depth."""
    return 1


def dropped(held: int, count: int, what: str = "frames") -> list[str]:
    """List the loss of frames or pages, where only the first of those that a file holds is read."""
    return [f"of its {held} {what} only the first is in the output"] * (held > count)


def check_range(source: Source, carried: Carried) -> None:
    """Refuse high dynamic range.

    Raises:
        ImageRefusedError: `hdr`.
    """
    color.check_not_hdr(source.header.transfer, icc.profile_of(carried))


def _as_read(picture: Picture, _data: bytes) -> Picture:
    return picture


def _not_ready() -> None:
    """Leave decoding to Pillow."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Format-specific hooks for what Pillow does not report, or reports wrongly."""

    carried: Callable[[Source, Image.Image], CarriedAndNotes] = read_metadata
    options: Callable[[Source, Image.Image, int], Options] = _no_options
    """The save options for so many frames of an image that is open but not loaded."""
    count: Callable[[Image.Image, Header], int] = frame_count
    check: Callable[[Source, Carried], None] = check_range
    """Refuses colours whose numbers are not what the models have learned."""
    converted: Callable[[Source, Image.Image, CarriedAndNotes], Picture] | None = None
    """An image in CMYK as sRGB, where a format has such."""
    timed: Callable[[Picture, bytes], Picture] = _as_read
    """The times as the file has them, where Pillow rounds them or leaves some out."""
    keeps_palette: bool = False
    deep: Callable[[Source, list[str]], NDArray[np.uint16]] | None = None
    """The samples of a still of more than 8 bits, which Pillow would reduce to 8; adds notes."""
    ready: Callable[[], NDArray[Sample] | None] = _not_ready
    """The samples of a still by a faster decoder, alpha among the channels, called after all checks
    of the header; None where Pillow must decode."""

    def __call__(self, source: Source) -> Picture:
        """Read the wanted frames, with the first one's metadata.

        Raises:
            ImageRefusedError: `bit_depth`, `animated`, `color_mode`, `hdr`, ...
        """
        header = source.header
        if header.bits > 8 and header.bits not in TABLE[header.format].bits:  # noqa: PLR2004 - bits
            raise bit_depth(f"of {header.bits} bits")
        extras.load(header.format)
        with Image.open(BytesIO(source.data), formats=[header.format]) as image:
            source.check_pixels(image.height, image.width)
            if _is_bilevel(image):
                return source.bilevel()
            held = self.count(image, header)
            count = source.wanted(held, Reason.ANIMATED)
            source.check_pixels(image.height, image.width, frames=count)
            carried, notes = self.carried(source, image)
            self.check(source, carried)
            if image.mode == "CMYK" and self.converted:
                return self.converted(source, image, (carried, notes))
            if count > 1 and header.bits > 8:  # noqa: PLR2004 - bits
                raise bit_depth(f"of {header.bits} bits in an animation")
            options = self.options(source, image, count)
            frames = []
            for shown in _frames(image, count):
                pixels, alpha = self._samples(shown, source, notes)
                # Loading has told how long this frame is shown.
                duration_ms = image.info.get("duration", 0) if count > 1 else 0
                frames.append(Frame(pixels, alpha, Carried(), options, duration_ms))
            loop = int(image.info.get("loop", 0)) if count > 1 else None
        frames[0] = replace(frames[0], carried=carried)
        picture = Picture(tuple(frames), header.format, loop=loop).with_notes(
            (notes, dropped(held, count))
        )
        return self.timed(picture, source.data)

    def _samples(
        self, image: Image.Image, source: Source, notes: list[str]
    ) -> tuple[NDArray[Sample], NDArray[Sample] | None]:
        """Pixels and alpha, by a decoder of more than 8 bits, a faster one, or Pillow."""
        is_deep = self.deep is not None and source.header.bits > 8  # noqa: PLR2004 - bits
        values = self.deep(source, notes) if self.deep and is_deep else self.ready()
        if values is None:
            return self._pixels(image, source.header, notes)
        values = values.reshape(*values.shape[:2], -1)
        if values.shape[2] in _WITH_ALPHA:
            return values[..., :-1].copy(), values[..., -1].copy()
        return values, None

    def _pixels(
        self, image: Image.Image, header: Header, notes: list[str]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Pixels and alpha; palettes become colours, a transparent colour an alpha channel."""
        if image.mode in _PREMULTIPLIED:
            image = image.convert(_PREMULTIPLIED[image.mode])
            notes.append(STRAIGHT)
        if image.mode not in _MODES:
            raise color_mode(image.mode)
        image.load()
        mode = self._target_mode(image, header, notes)
        if image.mode == "L" and mode == "LA" and header.bits < 8:  # noqa: PLR2004 - bits
            # Pillow widens 2 and 4 bit gray to 8, but not the gray value that is transparent.
            image.info["transparency"] *= 255 // (2**header.bits - 1)
        plain: Image.Image = image if mode == image.mode else image.convert(mode)
        values = np.asarray(plain).reshape(plain.height, plain.width, -1)
        if mode not in _ALPHA:
            return np.array(values), None
        return np.array(values[..., :-1]), np.array(values[..., -1])

    def _target_mode(self, image: Image.Image, header: Header, notes: list[str]) -> str:
        if header.gray:
            return "LA" if image.mode == "RGBA" else "L"
        if image.mode in {"P", "PA"}:
            mode = "RGBA" if image.has_transparency_data else "RGB"
            if not self.keeps_palette:
                notes.append(f"its palette was written as {mode}")
            return mode
        if image.mode in {"L", "RGB"} and image.has_transparency_data:
            notes.append("its transparent colour was written as an alpha channel")
            return {"L": "LA", "RGB": "RGBA"}[image.mode]
        return image.mode


def _is_bilevel(image: Image.Image) -> bool:
    """Return whether the image has only black and white, as a mode or as a palette of two."""
    if image.mode == "P" and not image.has_transparency_data:
        return image.getpalette("RGB") in (_BLACK_WHITE, _BLACK_WHITE[::-1])
    return image.mode == "1"


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


def write(picture: Picture) -> bytes:
    """Write the whole file, metadata through save options.

    Raises:
        Exception: whatever Pillow's encoders raise.
    """
    extras.load(picture.format)
    first = picture.frames[0]
    options: Options = {NAMES[block.kind]: block.data for block in first.carried.blocks}
    images = [image_of(frame) for frame in picture.frames]
    if len(images) > 1:
        options |= {
            "save_all": True,
            "append_images": images[1:],
            "duration": [frame.duration_ms for frame in picture.frames],
        }
    return saved(images[0], picture.format, {**first.encoding, **options})


def saved(image: Image.Image, target: str, options: Mapping[str, Any]) -> bytes:
    """Encode one image as a file in memory."""
    buffer = BytesIO()
    image.save(buffer, target, **options)
    return buffer.getvalue()


def stills(picture: Picture) -> list[bytes]:
    """Encode each frame as a file of its own, without metadata."""
    return [saved(image_of(each), picture.format, each.encoding) for each in picture.frames]


def image_of(frame: Frame) -> Image.Image:
    """Convert a frame's pixels and alpha to a Pillow image."""
    pixels = frame.pixels
    if frame.alpha is not None:
        pixels = np.dstack([pixels, frame.alpha])
    elif pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(pixels))
