"""HEIC: read the header, estimate the quality, write again.

Parses the header. Pixels and metadata are read and written by Pillow's plugin.

Source: ISO/IEC 23008-12; 14496-15 8.3.3.1 (hvcC).
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.imaging import extras
from sharpend.imaging.containers import codedunits, isobmff, itemedit, itemsupport, pillow, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.geometry import check_square, crop_notes, crop_of, size_of
from sharpend.imaging.containers.itemdata import metadata_of, notes_of
from sharpend.imaging.containers.itemflags import with_shown_primary, without_useless
from sharpend.imaging.containers.items import color_of, items_of
from sharpend.imaging.containers.leftout import left_out
from sharpend.imaging.depth import narrowed, straight, widened
from sharpend.imaging.formats import Format
from sharpend.imaging.reading import Reader, damaged, unsupported
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from sharpend.imaging.containers.items import Boxes
    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.source import Source

_SUBSAMPLING = {0: "4:2:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
"""By hvcC's chroma format."""
_TURNS = {(b"irot", bytes((turn,))) for turn in (1, 2, 3)}
_MODES = {1: "L;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}
"""The plugin's, by channels."""
_OF_COLOUR = frozenset({"chroma", "matrix_coefficients"})
_HVCC_BYTES = 23
"""Of its fixed part."""
_QUALITY = 90
_PRESET = "veryfast"
"""x265's: takes less than half of "slow"'s time for 1 % more bytes of the same PSNR and SSIM."""


def _probe(reader: Reader) -> Header:
    """Read size, depth and colour of the primary image, and the depth of its alpha channel."""
    items = items_of(reader)
    image = items.image(items.primary)
    itemsupport.check(items, b"hvc1", {b"grid", b"iovl", b"iden"})
    codecs = _codecs(image)
    if not codecs:
        raise damaged("its HEIF declares no HEVC image")
    check_square(image, "HEIC")
    height, width = size_of(image)
    deep = [*codecs, *(each for alpha in items.alphas() for each in _codecs(items.image(alpha)))]
    return Header(
        Format.HEIC,
        height,
        width,
        bits=max(8 + (depth & 7) for _, depth in deep),
        gray=all(chroma & 3 == 0 for chroma, _ in codecs),
        subsampling=_SUBSAMPLING[max(chroma & 3 for chroma, _ in codecs)],
        primaries=color_of(image, 4),
        transfer=color_of(image, 6),
        lossy=color_of(image, 8) != 0,  # as in AVIF
    )


def _codecs(image: Boxes) -> list[bytes]:
    """Chroma format and luma depth of an image or of its tiles."""
    return [body[16:18] for kind, body in image if kind == b"hvcC" and len(body) >= _HVCC_BYTES]


def _carried(source: Source, image: Image.Image) -> CarriedAndNotes:
    items = items_of(Reader(BytesIO(source.data)))
    carried = metadata_of(items, source.data, pillow.read_metadata(source, image)[0])
    notes = []
    if any(kind == b"imir" or (kind, body) in _TURNS for kind, body in items.image(items.primary)):
        notes.append("it was rotated upright by the HEIC decoder")
    straight = pillow.upright(carried)
    if straight != carried and not notes:
        notes.append("the orientation in its metadata was set to upright, as HEIC is shown")
    carried, more = pillow.unannounced(straight)
    return carried, [*notes, *notes_of(items, source.data), *more]


def _options(source: Source, image: Image.Image, _count: int) -> Options:
    header = source.header
    options: Options = {"quality": _QUALITY, "chroma": header.subsampling.replace(":", "")}
    if "A" in image.mode.upper():  # only what is lossless as a whole has an exact alpha
        options = {"quality": -1, "chroma": "444", "matrix_coefficients": 0}
    options["enc_params"] = {"preset": _PRESET}
    if header.bits > 8:  # noqa: PLR2004 - bits
        options["bits"] = header.bits
    if header.primaries is not None:
        options["colour"] = (header.primaries, header.transfer)
    return options


def _write(picture: Picture) -> bytes:
    frame = picture.frames[0]
    encoding = dict(frame.encoding)
    colour, bits = encoding.pop("colour", None), encoding.pop("bits", None)
    if bits:
        encoded = _deep(frame, bits, encoding)
    else:
        encoded = pillow.write(picture.with_frames([replace(frame, encoding=encoding)]))
    return isobmff.with_colour(encoded, *colour) if colour else encoded


def _deep(frame: Frame, bits: int, options: Mapping[str, Any]) -> bytes:
    """Encode 10 or 12 bits, which Pillow has no modes for."""
    plugin: Any = extras.load(Format.HEIC)
    plugin.options.SAVE_HDR_TO_12_BIT = bits == 12  # noqa: PLR2004 - bits
    parts = [frame.pixels] if frame.alpha is None else [frame.pixels, frame.alpha[..., None]]
    values = narrowed(np.dstack(parts), bits) << (16 - bits)
    height, width, channels = values.shape
    if frame.pixels.shape[2] == 1:  # with these the plugin makes it RGB
        options = {key: value for key, value in options.items() if key not in _OF_COLOUR}
    metadata = {pillow.NAMES[block.kind]: block.data for block in frame.carried.blocks}
    file = BytesIO()
    plugin.encode(_MODES[channels], (width, height), values.tobytes(), file, **options, **metadata)
    return file.getvalue()


def _samples(source: Source, notes: list[str]) -> NDArray[np.uint16]:
    """Decode 10 or 12 bits, turned upright: H x W [x C], 0 to 65535."""
    plugin: Any = extras.load(Format.HEIC)
    file = plugin.open_heif(BytesIO(source.data), convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    values = np.asarray(image)
    if image.mode.partition(";")[0].endswith("a"):
        notes.append(pillow.STRAIGHT)
        colours = straight(values[..., :-1], values[..., -1])
        values = np.dstack([colours, values[..., -1]])
    if source.header.gray and values.ndim > 2:  # noqa: PLR2004 - repeated, where there is alpha
        values = values[..., [0, *range(3, values.shape[2])]]
    if values.dtype == np.uint8:  # only its alpha channel has more
        return widened(values, 8)
    bits = image.info["bit_depth"]
    return widened(values >> (16 - bits), bits)


def _read(source: Source) -> Picture:
    """Read the primary image, and name what the output will lack."""
    data, behind = isobmff.divided(source.data)
    items = items_of(Reader(BytesIO(data)))
    image = items.image(items.primary)
    lost = [left_out(data, items, is_sequence=False), crop_notes(image, crop_of(image))]
    shown = with_shown_primary(isobmff.without_cut_padding(data), items)
    shown = codedunits.without_tails(items, without_useless(shown, items))
    picture = _READING(replace(source, data=shown))
    if items.alphas() and picture.alpha is None:
        raise unsupported("its decoder does not find its alpha channel")
    return picture.with_notes(*lost, ((), trailers.unknown(behind)))


# Its further images are shots or depth, no frames.
_READING = pillow.Reading(_carried, _options, count=pillow.one_frame, deep=_samples)
CONTAINER = Container(
    _probe, _read, _write, isobmff.check_whole, xmp_at=b"", edited=itemedit.edited
)
