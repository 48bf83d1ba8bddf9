"""GIF: read frames and what is carried; assemble frames into a file.

Owns what is written. Pillow reads the frames as they are shown and writes each as a GIF of its
own; here they become one, with a palette each, so that count, boxes, times and disposal stay exact.

Source: GIF89a specification; the NETSCAPE2.0 loop; XMP specification part 3, 1.1.2.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sharpend.imaging.containers import pillow, surplus, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.gifblocks import (
    APPLICATION,
    CONTROL,
    DESCRIPTOR_BYTES,
    EXTENSION,
    MS_PER_TICK,
    RESTORED,
    SCREEN_BYTES,
    TABLE,
    XMP,
    XMP_END,
    blocks_end,
    first_block,
    first_frame,
    held,
    image_end,
    layout,
)
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import CREDENTIALS, Block, Carried, Kind
from sharpend.imaging.reading import damaged
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_ASPECT_AT = 12
_CLEARED = 2
"""Disposal; like `RESTORED`, one after which a frame does not stay."""
_MOST_COLORS = 256
_OPAQUE = 128
"""It knows no half-transparent colours."""


def _probe(reader: Reader) -> Header:
    """Read the size of the logical screen, or of the first frame where that is zero."""
    screen = reader.at(0, SCREEN_BYTES)
    width, height = struct.unpack_from("<HH", screen, 6)
    if not width or not height:
        width, height = first_frame(reader, screen[10])
    return Header(Format.GIF, height, width)


def _check_whole(data: bytes) -> None:
    """Refuse a file that ends before its trailer."""
    layout(data)


def _assembled(stills: Sequence[bytes], picture: Picture) -> bytes:
    """Join frames that Pillow wrote as single GIFs, each of the size of its box, into one file."""
    height, width, _ = picture.pixels.shape
    # 8 bits of colour, and no table for all frames.
    aspect = picture.frames[0].encoding.get("aspect", 0)
    parts = [b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, aspect)]
    if picture.loop is not None:
        parts.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + picture.loop.to_bytes(2, "little") + b"\0")
    parts += [b"!" + block.where + _content(block) for block in picture.carried.blocks]
    parts += [_frame(*pair) for pair in zip(stills, picture.frames, strict=True)]
    return b"".join([*parts, b";"])


def _covering(first: Frame) -> Frame:
    """Let the first frame paint the whole screen, where it shows nothing around its box.

    The transparency may be used nowhere else, and without it programs show a background there.
    """
    if first.alpha is None or first.box is None:
        return first
    left, top, right, bottom = first.box
    around = first.alpha.copy()
    around[top:bottom, left:right] = 0
    return first if around.any() else replace(first, box=None)


def _content(block: Block) -> bytes:
    if block.kind is Kind.XMP:
        return bytes((len(XMP),)) + XMP + block.data + XMP_END
    return block.data


def _frame(still: bytes, frame: Frame) -> bytes:
    """Graphic control, descriptor, colour table and data of one frame."""
    at, transparent = first_block(still), b"\0\0"
    table = still[SCREEN_BYTES:at]
    while still[at] == EXTENSION:
        if still[at + 1] == CONTROL:
            transparent = bytes((still[at + 3] & 1, still[at + 6]))
        at = blocks_end(still, at + 2)
    ticks = min(round(frame.duration_ms / MS_PER_TICK), 0xFFFF)
    control = bytes((frame.disposal << 2 | transparent[0],)) + ticks.to_bytes(2, "little")
    flags = TABLE | (still[10] & 7) if table else still[at + 9]
    left, top = (frame.box or (0, 0))[:2]
    descriptor = b"," + struct.pack("<HH", left, top) + still[at + 5 : at + 9] + bytes((flags,))
    pixels = still[at + DESCRIPTOR_BYTES : image_end(still, at)]
    painted = descriptor + table + pixels
    if not any(control):  # nothing to say
        return painted
    return b"!\xf9\x04" + control + transparent[1:] + b"\0" + painted


def _carried(source: Source, _image: Image.Image) -> CarriedAndNotes:
    gif = layout(source.data)
    notes = {
        "its colours were reduced to a palette of 256": True,
        "its trailer was missing": not gif.has_trailer,
        CREDENTIALS: gif.has_credentials,
        "its interlacing was not kept": any(frame.is_interlaced for frame in gif.frames),
        "its frames no longer wait for user input": any(frame.waits for frame in gif.frames),
    }
    return Carried(gif.blocks), [note for note, holds in notes.items() if holds]


def _options(source: Source, _image: Image.Image, _count: int) -> Options:
    return {"aspect": source.data[_ASPECT_AT]}


def _read(source: Source) -> Picture:
    """Read the wanted frames.

    Raises:
        ImageRefusedError: `damaged` without an image; as `pillow.Reading`.
    """
    data, gif = source.data, layout(source.data)
    if not gif.frames:
        raise damaged("it has no image", may_settle=False)
    screen = struct.pack("<HH", source.header.width, source.header.height)
    notes = ["its screen had no size and got that of its first frame"]
    picture = _READING(replace(source, data=data[:6] + screen + data[10:]))
    if not picture.frames:  # passed on, as the whole file
        return source.bilevel()
    losses = trailers.unknown(data[gif.end :])
    stray = [f"{gif.stray_bytes} stray bytes between its blocks are not in the output"]
    losses += stray * bool(gif.stray_bytes)
    texts = ["its texts, which a viewer draws itself, are not in the output"]
    return picture.with_notes(
        (notes * (data[6:10] != screen), losses + texts * bool(gif.texts)),
        surplus.named(held(data, frame) for frame in gif.frames[: len(picture.frames)]),
    )


def _timed(picture: Picture, data: bytes) -> Picture:
    gif = layout(data)
    frames = [
        replace(frame, duration_ms=how.duration_ms, disposal=how.disposal, box=how.box)
        for frame, how in zip(picture.frames, gif.frames, strict=False)
    ]
    return replace(picture, frames=tuple(frames), loop=gif.loop)


def _write(picture: Picture) -> bytes:
    """Write each frame as its changed rectangle, with unchanged pixels transparent."""
    height, width = picture.size
    canvas = np.zeros((height, width, 4), np.uint8)
    picture = picture.with_frames([_covering(picture.frames[0]), *picture.frames[1:]])
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
        stills.append(pillow.saved(image, Format.GIF, options))
        canvas[box] = 0 if frame.disposal == _CLEARED else wanted
        canvas = before if frame.disposal == RESTORED else canvas
    return _assembled(stills, picture)


def _visible_only(frame: Frame) -> NDArray[np.uint8]:
    """RGBA pixels, H x W x 4, each opaque or fully transparent."""
    colors = np.broadcast_to(frame.pixels, (*frame.pixels.shape[:2], 3))
    alpha = np.full(colors.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
    opaque = np.where(alpha >= _OPAQUE, 255, 0)
    return np.where(opaque[..., np.newaxis], np.dstack([colors, opaque]), 0).astype(np.uint8)


def _paletted(
    colors: NDArray[np.uint8], visible: NDArray[np.bool_]
) -> tuple[Image.Image, int | None]:
    """Reduce colours to at most 256, without loss if there are no more, and a transparent index."""
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


_READING = pillow.Reading(_carried, _options, timed=_timed, keeps_palette=True)
CONTAINER = Container(_probe, _read, _write, _check_whole, xmp_at=bytes((APPLICATION,)))
