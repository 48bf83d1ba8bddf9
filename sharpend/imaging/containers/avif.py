"""AVIF: read the header, estimate the quality, write again.

Parses the header. Pixels are read and written by Pillow, and all metadata but EXIF (`items`).

Source: ISO/IEC 23008-12; AV1-ISOBMFF 2.3.3 (av1C).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers import isobmff, items, pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.metadata.ifd import ORIENTATION
from sharpend.imaging.reading import damaged
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.picture import Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_SUBSAMPLING = {0: "4:4:4", 2: "4:2:2", 3: "4:2:0", 1: "4:4:4"}
"""By av1C's bits for horizontal and vertical subsampling."""
_SPEED = 8
"""Takes half of 6's time for 5 % more bytes."""
_QUALITIES = (85, 95, 100)
"""A file written at quality 75 comes out 1.2 times as large at 85, 43.5 dB from what was read."""
_EXACT_ALPHA: Options = {"codec": "aom", "advanced": {"alpha:lossless": "1"}}
_SOFTWARE = 0x0131


def _probe(reader: Reader) -> Header:
    """Read the largest size and bit depth that any item of an AVIF declares."""
    properties = isobmff.properties_of(reader)
    codecs = [body[2] for kind, body in properties if kind == b"av1C" and len(body) >= 4]  # noqa: PLR2004 - the box's fixed part
    if not codecs:
        raise damaged("its AVIF declares no image")
    if any(
        kind == b"clap" or (kind == b"pasp" and body[:4] != body[4:8]) for kind, body in properties
    ):
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            "its AVIF is cropped or stretched by a property that would be lost",
        )
    height, width = isobmff.size_of(properties)
    return Header(
        Format.AVIF,
        height,
        width,
        bits=max(12 if flags & 0x20 else 10 if flags & 0x40 else 8 for flags in codecs),
        gray=all(flags & 0x10 for flags in codecs),
        subsampling=_SUBSAMPLING[min(codecs) >> 2 & 3],
        primaries=isobmff.color_of(properties, 4),
        transfer=isobmff.color_of(properties, 6),
        lossless=isobmff.color_of(properties, 8) == 0,  # only RGB as it is has no matrix
    )


def _carried(source: Source, image: Image.Image) -> Told:
    blocks = pillow.told(source, image)[0].without(Kind.EXIF).blocks
    exif = items.exif_of(source.data)
    notes = []
    if source.header.lossless:
        notes.append("it was lossless; AVIF is written at its highest quality, within three levels")
    if items.is_premultiplied(source.data):
        notes.append("its premultiplied colours were written with straight alpha")
    return Carried((*([Block(Kind.EXIF, exif)] if exif else []), *blocks)), notes


def _options(source: Source, image: Image.Image, _count: int) -> Options:
    header = source.header
    # Of the file's own properties; Pillow has written it into its copy of the EXIF.
    orientation = image.getexif().get(ORIENTATION, 1)
    quality = 100 if header.lossless else _QUALITIES[0]
    options: Options = {"quality": quality, "speed": _SPEED, "orientation": orientation}
    if header.primaries is not None:
        options["colour"] = (header.primaries, header.transfer)
    if not header.gray:
        options["subsampling"] = header.subsampling
    if "A" in image.mode:
        options |= _EXACT_ALPHA
    if pillow.frame_count(image, header) == 1:
        options["bytes"] = len(source.data)
    return options


def _write(picture: Picture) -> bytes:
    """Encode at the lowest quality whose file is no smaller than the source: AVIF stores none."""
    first, *others = picture.frames
    told = dict(first.encoding)
    colour, least_bytes = told.pop("colour", None), told.pop("bytes", 0)
    exif = first.carried.data(Kind.EXIF)
    turning = Block(Kind.EXIF, _orientation_exif(told.pop("orientation", 1), has_more=bool(exif)))
    carried = Carried((*first.carried.without(Kind.EXIF).blocks, turning))
    encoded = b""
    for quality in (told.get("quality", _QUALITIES[0]), *_QUALITIES[1:]):
        frame = replace(first, carried=carried, encoding={**told, "quality": quality})
        encoded = pillow.write(picture.with_frames([frame, *others]))
        encoded = items.with_exif(encoded, exif) if exif else encoded
        if len(encoded) >= least_bytes:
            break
    return isobmff.with_colour(encoded, *colour) if colour else encoded


def _orientation_exif(orientation: int, *, has_more: bool) -> bytes:
    """EXIF by which Pillow sets the rotation; `has_more` adds a tag, so that an item is written."""
    told = Image.Exif()
    told[ORIENTATION] = orientation
    if has_more:
        told[_SOFTWARE] = "-"
    return told.tobytes()


_READING = pillow.Reading(_carried, _options)
CONTAINER = Container(_probe, _READING, _write, isobmff.check_whole, xmp_at=b"")
