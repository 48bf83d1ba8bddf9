"""AVIF: read the header, estimate the quality, write again.

Parses the header. Pixels are read and written by Pillow, and all metadata but EXIF (`items`).

Source: ISO/IEC 23008-12; AV1-ISOBMFF 2.3.3 (av1C).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sharpend.imaging.containers import (
    avifdeep,
    isobmff,
    isotracks,
    itemedit,
    itemsupport,
    pillow,
    trailers,
)
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.geometry import (
    check_square,
    crop_notes,
    crop_of,
    size_of,
    turned,
)
from sharpend.imaging.containers.itemdata import metadata_of, notes_of, with_exif, without_exif
from sharpend.imaging.containers.itemflags import with_essential, without_useless
from sharpend.imaging.containers.items import color_of, items_of
from sharpend.imaging.containers.leftout import left_out
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.ifd import ORIENTATION
from sharpend.imaging.reading import Reader, damaged, unsupported
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from sharpend.imaging.containers.geometry import Crop
    from sharpend.imaging.containers.items import Boxes, Items
    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.source import Source

_SUBSAMPLING = {0: "4:4:4", 2: "4:2:2", 3: "4:2:0", 1: "4:4:4"}
"""By av1C's bits for horizontal and vertical subsampling."""
_NO_COLOUR = "4:0:0"
_AV1C_BYTES = 4
"""Of its fixed part."""
_SPEED = 8
"""Takes half of 6's time for 5 % more bytes."""
_QUALITIES = (85, 95, 100)
"""A file written at quality 75 comes out 1.2 times as large at 85, 43.5 dB from what was read."""
_EXACT_ALPHA: Options = {"codec": "aom", "advanced": {"alpha:lossless": "1"}}
_SOFTWARE = 0x0131
_STILL = "its animation was written as a still image"
_TURNED = "its frames were rotated upright: an animation cannot be written turned"
_NO_ALPHA = "its alpha channel, which hides nothing, was not kept"


def _probe(reader: Reader) -> Header:
    """Read size, depth and colour of the primary image, and the depth of its alpha channel."""
    items = items_of(reader)
    image = items.image(items.primary)
    itemsupport.check(items, b"av01", {b"grid"})
    codecs = _codecs(image)
    if not codecs:
        raise damaged("its AVIF declares no image")
    check_square(image, "AVIF")
    height, width = size_of(image)
    alphas = [items.image(number) for number in items.alphas()]
    if any(size_of(alpha) != (height, width) for alpha in alphas[:1] if len(alphas) == 1):
        raise unsupported("its alpha channel has another size than its image")
    deep = [*codecs, *(flags for alpha in alphas for flags in _codecs(alpha))]
    return Header(
        Format.AVIF,
        height,
        width,
        bits=max(12 if flags & 0x20 else 10 if flags & 0x40 else 8 for flags in deep),
        gray=all(flags & 0x10 for flags in codecs),
        subsampling=_SUBSAMPLING[min(codecs) >> 2 & 3],
        primaries=color_of(image, 4),
        transfer=color_of(image, 6),
        lossy=color_of(image, 8) != 0,  # only RGB as it is has no matrix
    )


def _codecs(image: Boxes) -> list[int]:
    """Flags of depth and subsampling of an image or of its tiles."""
    return [body[2] for kind, body in image if kind == b"av1C" and len(body) >= _AV1C_BYTES]


def _carried(items: Items, data: bytes, source: Source, image: Image.Image) -> CarriedAndNotes:
    carried = metadata_of(items, data, pillow.read_metadata(source, image)[0])
    carried, notes = pillow.unannounced(carried)
    notes = [*notes, *notes_of(items, data)]
    if not source.header.lossy:
        notes.append("it was lossless; AVIF is written at its highest quality, within three levels")
    if items.is_premultiplied():
        notes.append(pillow.STRAIGHT)
    return carried, notes


def _options(source: Source, image: Image.Image, _count: int) -> Options:
    header = source.header
    # Of the file's own properties; Pillow has written it into its copy of the EXIF.
    orientation = image.getexif().get(ORIENTATION, 1)
    quality = _QUALITIES[0] if header.lossy else 100
    options: Options = {"quality": quality, "speed": _SPEED, "orientation": orientation}
    if header.bits > 8:  # noqa: PLR2004 - bits
        options["bits"] = header.bits
    if header.primaries is not None:
        options["colour"] = (header.primaries, header.transfer)
    options["subsampling"] = _NO_COLOUR if header.gray else header.subsampling
    if "A" in image.mode:
        options |= _EXACT_ALPHA
    if pillow.frame_count(image, header) == 1:
        options["bytes"] = len(source.data)
    return options


def _write(picture: Picture) -> bytes:
    """Encode at the lowest quality whose file is no smaller than the source: AVIF stores none."""
    first, *others = picture.frames
    encoding = dict(first.encoding)
    colour, least_bytes = encoding.pop("colour", None), encoding.pop("bytes", 0)
    exif = first.carried.data(Kind.EXIF)
    turning = Block(
        Kind.EXIF, _orientation_exif(encoding.pop("orientation", 1), has_more=bool(exif))
    )
    carried = Carried((*first.carried.without(Kind.EXIF).blocks, turning))
    bits = encoding.pop("bits", 0)
    encoded = b""
    for quality in (encoding.get("quality", _QUALITIES[0]), *_QUALITIES[1:]):
        frame = replace(first, carried=carried, encoding={**encoding, "quality": quality})
        shown = _black(frame) if bits else frame
        encoded = pillow.write(picture.with_frames([shown, *others]))
        if bits:
            encoded = avifdeep.grafted(encoded, avifdeep.encoded(frame, bits, frame.encoding))
        encoded = with_exif(encoded, exif) if exif else encoded
        if len(encoded) >= least_bytes:
            break
    if others and picture.loop:
        encoded = isotracks.with_plays(encoded, picture.loop)
    return isobmff.with_colour(encoded, *colour) if colour else encoded


def _is_lossy(_frame: Frame) -> bool:
    return True


def _black(frame: Frame) -> Frame:
    """Replace the samples by black ones of 8 bits."""
    alpha = None if frame.alpha is None else np.zeros_like(frame.alpha, np.uint8)
    return replace(frame, pixels=np.zeros_like(frame.pixels, np.uint8), alpha=alpha)


def _orientation_exif(orientation: int, *, has_more: bool) -> bytes:
    """EXIF by which Pillow sets the rotation; `has_more` adds a tag, so that an item is written."""
    block = Image.Exif()
    block[ORIENTATION] = orientation
    if has_more:
        block[_SOFTWARE] = "-"
    return block.tobytes()


def _read(source: Source) -> Picture:
    """Read the primary image or the animation as it is shown, and name what is left out."""
    data, behind = isobmff.divided(source.data)
    items = items_of(Reader(BytesIO(data)))
    image = items.image(items.primary)
    crop = crop_of(image)
    reading = replace(_READING, carried=partial(_carried, items, data))
    shown = without_useless(with_essential(isobmff.without_cut_padding(data)), items)
    picture = reading(replace(source, data=without_exif(shown)))
    is_deep = source.header.bits > 8  # noqa: PLR2004 - bits; of these the primary image is read
    is_sequence = isotracks.is_sequence(data) and (not is_deep or bool(picture.losses))
    lost = [((), trailers.unknown(behind)), left_out(data, items, is_sequence=is_sequence)]
    if is_sequence and not is_deep:
        lost.append(_of_sequence(data, items, len(picture.frames) + len(picture.losses)))
        picture = replace(picture, loop=isotracks.plays(data))
    shows_primary = is_deep or not isotracks.is_sequence(data)
    if shows_primary and items.alphas() and picture.alpha is None:
        raise unsupported("its decoder does not find its alpha channel")
    frames = [_cropped(frame, crop) for frame in picture.frames] if crop else picture.frames
    opaque = [_has_idle_alpha(frame) for frame in frames]
    frames = [replace(each, alpha=None) if all(opaque) else each for each in frames]
    notes = [_NO_ALPHA] * all(opaque), ()
    turn = frames[0].encoding["orientation"]
    if len(frames) > 1 and turn != 1:
        frames = [_upright(frame, turn) for frame in frames]
        lost.append(((_TURNED,), []))
    return picture.with_frames(frames).with_notes(*lost, crop_notes(image, crop), notes)


def _upright(frame: Frame, turn: int) -> Frame:
    """Turn a frame, because libavif crashes where it is to write an animation that is turned."""
    pixels = turned(frame.pixels, turn)
    alpha = None if frame.alpha is None else turned(frame.alpha, turn)
    encoding = {**frame.encoding, "orientation": 1}
    carried = pillow.upright(frame.carried)
    return replace(frame, pixels=pixels, alpha=alpha, carried=carried, encoding=encoding)


def _of_sequence(data: bytes, items: Items, count: int) -> tuple[tuple[str, ...], list[str]]:
    """List what a sequence of so many frames hides: notes and losses."""
    place = items.places.get(items.primary)
    extents = [(at, at + length) for at, length in place.extents] if place else []
    notes = (_STILL,) * (count == 1)
    return notes, isotracks.lost_still(isotracks.tracks_of(data), extents)


def _has_idle_alpha(frame: Frame) -> bool:
    """Return whether alpha hides nothing: the encoder for more than 8 bits then writes none."""
    alpha = frame.alpha
    if alpha is None or alpha.dtype == np.uint8:
        return False
    return bool(alpha.min() == white(alpha.dtype))


def _cropped(frame: Frame, crop: Crop) -> Frame:
    rows = slice(crop.top, crop.top + crop.height)
    columns = slice(crop.left, crop.left + crop.width)
    alpha = None if frame.alpha is None else np.ascontiguousarray(frame.alpha[rows, columns])
    return replace(frame, pixels=np.ascontiguousarray(frame.pixels[rows, columns]), alpha=alpha)


_READING = pillow.Reading(options=_options, deep=avifdeep.samples)
CONTAINER = Container(
    _probe,
    _read,
    _write,
    isobmff.check_whole,
    is_lossy=_is_lossy,
    xmp_at=b"",
    edited=itemedit.edited,
)
