"""HEIC: read the header, estimate the quality, write again.

Parses the header. Pixels and metadata are read and written by Pillow's plugin.

Source: ISO/IEC 23008-12; 14496-15 8.3.3.1 (hvcC).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers import isobmff, pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.formats import Format
from sharpend.imaging.reading import damaged
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from PIL import Image

    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.picture import Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_SUBSAMPLING = {0: "4:2:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
"""By hvcC's chroma format."""
_QUALITY = 90


def _probe(reader: Reader) -> Header:
    """Read the largest size and bit depth that any item of a HEIC declares."""
    properties = isobmff.properties_of(reader)
    codecs = [body[16:18] for kind, body in properties if kind == b"hvcC" and len(body) >= 23]  # noqa: PLR2004 - the box's fixed part
    if not codecs:
        raise damaged("its HEIF declares no HEVC image")
    height, width = isobmff.size_of(properties)
    return Header(
        Format.HEIC,
        height,
        width,
        bits=max(8 + (depth & 7) for _, depth in codecs),
        gray=all(chroma & 3 == 0 for chroma, _ in codecs),
        subsampling=_SUBSAMPLING[max(chroma & 3 for chroma, _ in codecs)],
        primaries=isobmff.color_of(properties, 4),
        transfer=isobmff.color_of(properties, 6),
    )


def _carried(source: Source, image: Image.Image) -> Told:
    carried, _ = pillow.told(source, image)
    if getattr(image, "n_frames", 1) > 1:
        return carried, ["its further images were not kept"]
    if image.info.get("original_orientation") not in {None, 1}:
        return carried, ["it was rotated upright by the HEIC decoder"]
    if image.info.get("depth_images") or image.info.get("aux"):
        return carried, ["its depth map or other auxiliary images were not kept"]
    return carried, []


def _options(source: Source, image: Image.Image, _count: int) -> Options:
    header = source.header
    options: Options = {"quality": _QUALITY, "chroma": header.subsampling.replace(":", "")}
    if "A" in image.mode:  # only what is lossless as a whole has an exact alpha
        options = {"quality": -1, "chroma": "444", "matrix_coefficients": 0}
    if header.primaries is not None:
        options["colour"] = (header.primaries, header.transfer)
    return options


def _write(picture: Picture) -> bytes:
    frame = picture.frames[0]
    told = dict(frame.encoding)
    colour = told.pop("colour", None)
    encoded = pillow.write(picture.with_frames([replace(frame, encoding=told)]))
    return isobmff.with_colour(encoded, *colour) if colour else encoded


# Its further images are shots or depth, no frames.
_READING = pillow.Reading(_carried, _options, count=pillow.one_frame)
CONTAINER = Container(_probe, _READING, _write, isobmff.check_whole, xmp_at=b"")
