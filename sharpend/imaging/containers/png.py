"""PNG: parse header and metadata chunks, read and write 16-bit pixels.

Owns which chunks are carried, as they are. Pillow reads and writes pixels of up to 8 bits; it would
halve 16, so those go through imagecodecs.

Source: PNG specification, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from sharpend.errors import Reason
from sharpend.imaging import color
from sharpend.imaging.containers import apng, pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.pngchunks import HEADER_END, IHDR_BYTES, chunk, chunks
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc, pngtext
from sharpend.imaging.metadata.blocks import CREDENTIALS, Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import Reader, damaged
from sharpend.imaging.source import Header, bit_depth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL import Image

    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.depth import Sample
    from sharpend.imaging.source import Source

_INTERLACED_AT = 28
_PALETTE = 3
_LEVEL = 3
"""Of deflate. A 1080p photograph takes 265 ms at level 3 and 707 ms at 6, for a few per cent."""
_KINDS = {
    b"eXIf": Kind.EXIF,
    b"iCCP": Kind.ICC,
    **dict.fromkeys((b"cHRM", b"cICP", b"cLLI", b"mDCV", b"gAMA", b"sBIT", b"sRGB"), Kind.COLOR),
    **dict.fromkeys((b"pHYs", b"sCAL"), Kind.DENSITY),
    **dict.fromkeys((b"iTXt", b"tEXt", b"zTXt", b"tIME"), Kind.TEXT),
}
"""Chunks that are carried. Of the others, those that are not safe to copy speak of the pixels as
they were stored; the rest are Kind.OTHER."""
_LOWER_CASE = 0x20
"""The bit that says ancillary in a chunk type's first letter, safe to copy in its last."""
_BYTE_BITS, _DEEP_BITS = 8, 16
_WITH_ALPHA = {2, 4}
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Samples that sBIT speaks of, by colour type."""


def _probe(reader: Reader) -> Header:
    """Read the IHDR chunk."""
    length, kind, width, height, bits = struct.unpack(">I4sIIB", reader.at(8, 17))
    if kind != b"IHDR" or length != IHDR_BYTES:
        raise damaged("a PNG must begin with its header")
    return Header(Format.PNG, height, width, bits)


def _check_whole(data: bytes) -> None:
    """Refuse a truncated file and wrong checksums; decoders skip those."""
    for _ in chunks(data):
        pass


def _transfer(data: bytes) -> int | None:
    """Read the transfer characteristics of a cICP chunk (ITU-T H.273), if present."""
    body = dict(chunks(data)).get(b"cICP", b"")
    return body[1] if len(body) > 1 else None


def _blocks(data: bytes) -> tuple[Block, ...]:
    """Extract the metadata chunks of a whole PNG."""
    bits, color_type = data[24], data[25]
    found = [
        Block(_kind(kind, body), body, kind) for kind, body in chunks(data) if _is_carried(kind)
    ]
    if bits % 8 or color_type == _PALETTE:
        return tuple(found)
    # A background colour holds as long as samples are stored as they were.
    return (*found, *(Block(Kind.OTHER, b, k) for k, b in chunks(data) if k == b"bKGD"))


def _left_out(data: bytes) -> list[str]:
    """List notes on the chunks of a whole PNG that are dropped."""
    notes = []
    if data[_INTERLACED_AT]:
        notes.append("its interlacing was not kept")
    if any(kind == b"caBX" for kind, _ in chunks(data)):
        notes.append(CREDENTIALS)
    return notes


def _kind(kind: bytes, body: bytes) -> Kind:
    return Kind.XMP if pngtext.is_xmp(kind, body) else _KINDS.get(kind, Kind.OTHER)


def _is_carried(kind: bytes) -> bool:
    if kind in _KINDS:
        return True
    is_ancillary = bool(kind[0] & _LOWER_CASE)
    return is_ancillary and bool(kind[3] & _LOWER_CASE) and kind not in {b"fdAT", b"sPLT"}


def _read(source: Source) -> Picture:
    return _read_deep(source) if source.header.bits == _DEEP_BITS else _READING(source)


def _check_range(source: Source, carried: Carried) -> None:
    color.check_not_hdr(_transfer(source.data), icc.profile_of(carried))


def _read_deep(source: Source) -> Picture:
    """Read a PNG with 16 bits per sample.

    Raises:
        ImageRefusedError: `damaged`, `hdr`; `bit_depth` for an animation or a transparent colour.
    """
    kinds = {kind for kind, _ in chunks(source.data)}
    if b"acTL" in kinds and source.wanted(2, Reason.ANIMATED) > 1:
        raise bit_depth("of 16 bits in an animation")
    carried = Carried(_blocks(source.data))
    _check_range(source, carried)
    values = np.asarray(imagecodecs.png_decode(source.data))
    values = values.reshape(*values.shape[:2], -1)
    notes = _left_out(source.data)
    if b"tRNS" in kinds:
        notes.append("its transparent colour was written as an alpha channel")
    pixels, alpha = values, None
    if values.shape[2] in _WITH_ALPHA:
        pixels, alpha = (
            np.ascontiguousarray(values[..., :-1]),
            np.ascontiguousarray(values[..., -1]),
        )
    return Picture((Frame(pixels, alpha, carried),), Format.PNG, tuple(notes))


def _write_deep(pixels: NDArray[Sample], alpha: NDArray[Sample] | None) -> bytes:
    """Write a PNG with 16 bits per sample, without metadata."""
    values = pixels if alpha is None else np.dstack([pixels, alpha])
    if values.shape[2] == 1:
        values = values[..., 0]
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(values), level=_LEVEL))


def _spliced(encoded: bytes, carried: Iterable[Block]) -> bytes:
    """Insert these chunks after the header of an encoder's PNG, which has no metadata."""
    channels = _CHANNELS[encoded[25]]
    made = [
        chunk(block.where, block.data)
        for block in carried
        if block.where != b"sBIT" or len(block.data) == channels
    ]
    return encoded[:HEADER_END] + b"".join(made) + encoded[HEADER_END:]


def _carried(source: Source, image: Image.Image) -> Told:
    notes = _left_out(source.data)
    if image.mode == "L" and source.header.bits < _BYTE_BITS:
        notes.append(f"its gray of {source.header.bits} bits was written with 8")
    return Carried(_blocks(source.data)), notes


def _options(_source: Source, _image: Image.Image, _count: int) -> Options:
    return {"compress_level": _LEVEL}


def _write(picture: Picture) -> bytes:
    if picture.pixels.dtype == np.uint16:
        encoded = _write_deep(picture.pixels, picture.alpha)
    else:
        encoded, *further = pillow.stills(picture)
        if further:
            encoded = apng.assembled([encoded, *further], picture)
    return _spliced(encoded, picture.carried.blocks)


_READING = pillow.Reading(_carried, _options, check=_check_range, timed=apng.timed)
CONTAINER = Container(_probe, _read, _write, _check_whole, xmp_at=b"iTXt")
