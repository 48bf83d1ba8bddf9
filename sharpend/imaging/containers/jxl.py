"""JPEG XL: bare codestreams and containers.

Parses the container's boxes. Pixels are read and written by libjxl, which takes no limits; so all
limits are checked here.

Source: ISO/IEC 18181-2 (container; brob in 9.8), 18181-1 (codestream).
"""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import jxlframes, jxljpeg, pillow, surplus, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.isobmff import box_of, boxes, check_whole, divided
from sharpend.imaging.containers.jxlheader import SIGNATURE, header_of, with_colours
from sharpend.imaging.depth import straight
from sharpend.imaging.formats import TABLE, Format
from sharpend.imaging.metadata.blocks import CREDENTIALS, Block, Carried, Kind
from sharpend.imaging.metadata.exifblock import PREFIX
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import LARGEST, Reader
from sharpend.imaging.source import MOST_SCANS, Header, bit_depth
from sharpend.policies import Compression, Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.imaging.containers.isobmff import Box
    from sharpend.imaging.containers.jxlheader import JxlHeader
    from sharpend.imaging.source import Source

_ENOUGH_BYTES = 1024
_MAX_BOXES = 1000
_KINDS = {b"Exif": Kind.EXIF, b"xml ": Kind.XMP}
_PACKED, _LEVEL = b"brob", b"jxll"
_STREAM, _PART = b"jxlc", b"jxlp"
_INDEX = b"jxli"
_PART_BYTES = 4
"""A part's number comes first."""
_OFFSET_BYTES = 4
"""An EXIF box begins with where, behind this number, its TIFF header lies."""
_TIFF_HEADS = (b"II*\0", b"MM\0*")
_LAYOUT = frozenset({b"JXL ", b"ftyp", _LEVEL, _STREAM, _PART, _INDEX})
_PADDING = frozenset({b"free", b"skip"})
_START = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
_JPEG, _JUMBF, _GAIN_MAP = b"jbrd", b"jumb", b"jhgm"
_NO_JPEG = "it was a repacked JPEG; the output cannot be turned back into a JPEG without loss"
_UNCOUNTED = "the data of its animation could not be accounted for: some may be lost"
_DISTANCE = 0.55
"""libjxl's for quality 95."""
_EFFORT = 7
"""Lossy pixels lose up to 0.9 dB with 5; with 8 the file is larger."""
_LOSSLESS_EFFORT = {Compression.FAST: 5, Compression.SMALL: 7}
"""5 takes half of 7's time for 4 % more bytes: `sharpend bench compression`."""
_WITH_ALPHA = (2, 4)
"""Numbers of channels of which one is alpha."""


def _probe(reader: Reader) -> Header:
    """Read size, depth, animation and losslessness."""
    found = header_of(b"".join(_stream_parts(reader, _ENOUGH_BYTES)))
    has_jpeg = any(box.kind == _JPEG for box in _boxes(reader))
    return Header(
        Format.JXL,
        found.height,
        found.width,
        found.bits,
        transfer=found.colours.transfer,
        lossy=found.is_converted or has_jpeg,
        animated=found.animated,
    )


def _stream_parts(reader: Reader, most: int) -> Iterator[bytes]:
    """Read the first bytes of the codestream, of which a container may have several parts."""
    if reader.at(0, 2) == SIGNATURE:
        yield reader.up_to(0, most)
        return
    for box in _boxes(reader):
        if box.kind in {_STREAM, _PART} and most > 0:
            start = box.start + _PART_BYTES * (box.kind == _PART)
            part = reader.up_to(start, max(0, min(most, box.end - start)))
            most -= len(part)
            yield part


def _boxes(reader: Reader) -> Iterator[Box]:
    """Parse the boxes of a container; none for a bare codestream."""
    return islice(boxes(reader), 0 if reader.at(0, 2) == SIGNATURE else _MAX_BOXES)


def _check_whole(data: bytes) -> None:
    """Refuse a container that ends inside a box; a bare codestream does not store its length."""
    if not data.startswith(SIGNATURE):
        check_whole(data)


def _read(source: Source) -> Picture:
    """Read the image, turned upright, with EXIF and XMP.

    Raises:
        ImageRefusedError: `animated`, `bit_depth`, `color_mode`, `hdr`.
    """
    header = header_of(b"".join(_stream_parts(Reader(BytesIO(source.data)), _ENOUGH_BYTES)))
    _check(source, header)
    data, behind = source.data, b""
    if not data.startswith(SIGNATURE):
        data, behind = divided(data)
    values = imagecodecs.jpegxl_decode(data, index=0 if header.animated else None)
    source.check_pixels(*values.shape[:2])
    values = values.reshape(*values.shape[:2], -1)
    carried, notes, losses = _parts(data, source.max_scans)
    losses += trailers.unknown(behind) + _behind_pixels(data, header)
    if header.orientation != 1:
        carried = pillow.upright(carried)
        notes.append("it was rotated upright by the JPEG XL decoder")
    if header.bits != 8 * values.itemsize:
        notes.append(f"its {header.bits} bits were written as {8 * values.itemsize}")
    if header.animated:
        losses.append("its frames but the first were not kept")
    pixels, alpha = values, None
    if values.shape[2] in _WITH_ALPHA:
        pixels, alpha = values[..., :-1].copy(), values[..., -1].copy()
        if header.is_premultiplied:
            pixels = straight(pixels, alpha)
            notes.append(pillow.STRAIGHT)
    options: dict[str, Any] = {"lossless": not source.header.lossy}
    if not header.colours.is_srgb:
        if source.header.lossy:
            notes.append("it was written lossless: only so can its colours be told")
        options = {"lossless": True, "colours": header.colours}
    options["compression"] = source.policies.compression
    frame = Frame(pixels, alpha, carried, options)
    return Picture((frame,), Format.JXL, tuple(notes), tuple(losses))


def _behind_pixels(data: bytes, header: JxlHeader) -> list[str]:
    """List the loss of bytes behind the codestream."""
    stream = b"".join(_stream_parts(Reader(BytesIO(data)), len(data)))
    held = jxlframes.held(stream, header)
    return surplus.named([held])[1] if held else [_UNCOUNTED]


def _check(source: Source, header: JxlHeader) -> None:
    """Refuse what cannot be written again."""
    if header.is_float:
        raise bit_depth(f"{header.bits}-bit floating point numbers")
    if header.bits > max(TABLE[Format.JXL].bits):
        raise bit_depth(f"of {header.bits} bits")
    if header.animated and source.policies.frames is not Frames.FIRST:
        raise ImageRefusedError(
            Reason.ANIMATED,
            "it is an animated JPEG XL, which cannot be written;"
            " set pictures.frames to first to sharpen its first frame",
            setting="pictures.frames",
        )
    color.check_not_hdr(header.colours.transfer, b"")
    if header.colours.has_profile:
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "it has an ICC profile, and the encoder for JPEG XL (imagecodecs) writes none; save it"
            " with colours that JPEG XL tells by numbers, as sRGB or Display P3, or as PNG or TIFF",
        )


def _parts(data: bytes, most_scans: int) -> tuple[Carried, list[str], list[str]]:
    """Metadata in a container's boxes, notes, and losses: every box that is not carried."""
    found: dict[Kind, bytes] = {}
    notes: list[str] = []
    losses: list[str] = []
    for box in _boxes(Reader(BytesIO(data))):
        name, body = box.kind, data[box.start : box.end]
        if name == _PACKED:
            name, body = body[:4], _unpacked(body[4:])
        kind = _KINDS.get(name)
        if kind and body and kind not in found:
            found[kind] = _exif(body) if kind is Kind.EXIF else body
        elif name in _PADDING:
            padding = f"what its padding ({name.decode()}) held was not kept"
            notes += [padding] * bool(surplus.count(body))
        elif kind or name not in _LAYOUT:
            sentence, is_content = _named(name, body)
            (losses if is_content else notes).append(sentence)
    carried = Carried(tuple(Block(kind, block) for kind, block in found.items() if block))
    carried, more = pillow.unannounced(carried)
    if _NO_JPEG in notes:
        kept = {*found.values(), *(block.data for block in carried.blocks)}
        losses += jxljpeg.lost(data, kept, most_scans=most_scans)
    return carried, [*notes, *more], losses


def _exif(body: bytes) -> bytes:
    if body[:_OFFSET_BYTES] in _TIFF_HEADS:  # some writers forget the offset
        return body
    block = body[_OFFSET_BYTES:]
    return block if block.startswith(PREFIX) else block[int.from_bytes(body[:_OFFSET_BYTES]) :]


def _unpacked(packed: bytes) -> bytes:
    """Decompress a box; b"" where it is damaged or larger than any metadata."""
    try:
        return bytes(imagecodecs.brotli_decode(packed, out=LARGEST))
    except imagecodecs.BrotliError:
        return b""


def _named(name: bytes, body: bytes) -> tuple[str, bool]:
    """Name a box that is not carried, and whether it is content."""
    if name == _JPEG:
        return _NO_JPEG, False
    if name == _JUMBF and b"c2pa" in body:
        return CREDENTIALS, False
    if name == _GAIN_MAP:
        return "its HDR gain map was not kept", True
    name_text = name.decode("ascii", "backslashreplace")
    if name in _KINDS:
        what = "further" if body else "damaged"
        return f"its {what} box {name_text} was not kept", bool(body)
    return f"its data of an unknown kind ({name_text}) was not kept", True


def _is_lossy(frame: Frame) -> bool:
    return not frame.encoding["lossless"]


def _write(picture: Picture) -> bytes:
    """Encode the codestream, with a container around it where there is more to tell."""
    frame = picture.frames[0]
    values = frame.pixels if frame.alpha is None else np.dstack([frame.pixels, frame.alpha])
    lossless, colours = frame.encoding["lossless"], frame.encoding.get("colours")
    compression = frame.encoding.get("compression", Compression.FAST)
    quality = (
        {"lossless": True, "effort": _LOSSLESS_EFFORT[compression]}
        if lossless
        else {"distance": _DISTANCE, "effort": _EFFORT}
    )
    values = values.squeeze(2) if values.shape[2] == 1 else values
    encoded = bytes(imagecodecs.jpegxl_encode(values, **quality))
    reader = Reader(BytesIO(encoded))
    stream = b"".join(_stream_parts(reader, len(encoded)))
    level = [encoded[box.start : box.end] for box in _boxes(reader) if box.kind == _LEVEL]
    stream = with_colours(stream, colours) if colours else stream
    metadata = _metadata(frame.carried)
    if not level and not metadata:
        return stream
    levels = [box_of(_LEVEL, each) for each in level]
    return b"".join([_START, *levels, *metadata, box_of(_STREAM, stream)])


def _metadata(carried: Carried) -> list[bytes]:
    return [
        box_of(name, bytes(_OFFSET_BYTES) * (kind is Kind.EXIF), block.data.removeprefix(PREFIX))
        for name, kind in _KINDS.items()
        for block in carried.blocks
        if block.kind is kind
    ]


def _edited(data: bytes, edit: Callable[[Carried], Carried]) -> tuple[bytes, list[str]]:
    """Change the boxes of metadata; see `Container.edited`."""
    if data.startswith(SIGNATURE):
        return data, []
    carried, notes, _ = _parts(data, MOST_SCANS)
    layout = [
        (each.kind, box_of(each.kind, data[each.start : each.end]))
        for each in _boxes(Reader(BytesIO(data)))
        if each.kind in _LAYOUT
    ]
    coded = next(at for at, (kind, _) in enumerate(layout) if kind in {_STREAM, _PART, _INDEX})
    kept = [whole for _, whole in layout]
    return b"".join([*kept[:coded], *_metadata(edit(carried)), *kept[coded:]]), notes


CONTAINER = Container(
    _probe, _read, _write, _check_whole, is_lossy=_is_lossy, xmp_at=b"", edited=_edited
)
