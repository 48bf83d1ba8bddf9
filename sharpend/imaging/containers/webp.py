"""WebP: parse RIFF chunks, header and animations, and estimate the quality.

Owns the container's layout. Pixels and metadata are Pillow's; its frames, written as a WebP each,
become one file here, each covering the whole canvas, because its own writer of animations forgets
colours under alpha 0 and joins equal frames.

Source: RFC 9649, section 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sharpend.imaging.containers import pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.vp8 import ENOUGH_BYTES, quality_of
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Kind
from sharpend.imaging.reading import damaged, truncated
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from sharpend.imaging.containers.pillow import Options
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_MAX_CHUNKS = 10_000
_FIRST_CHUNK = 12
_EXTENDED_END = 30
_ANIMATED, _ALPHA = 2, 16
_LOSSLESS: Options = {"lossless": True, "exact": True, "quality": 20, "method": 2}
"""Half the time of Pillow's default, 1 % more bytes; `exact` keeps colours under alpha 0."""
_RIFF = {Kind.ICC: (b"ICCP", 32), Kind.EXIF: (b"EXIF", 8), Kind.XMP: (b"XMP ", 4)}
"""Chunk and flag."""
_NO_BLENDING = 2
_CLEARED = 2
_LONGEST_MS = (1 << 24) - 1
_FRAME_HEAD_BYTES = 16
"""Of an ANMF chunk, before the chunks of its image."""


def _probe(reader: Reader) -> Header:
    """Read the size, and the quality of the first image if it is lossy."""
    kind = reader.at(_FIRST_CHUNK, 4)
    if kind == b"VP8X":
        return _extended(reader)
    if kind == b"VP8L":
        bits = int.from_bytes(reader.at(_FIRST_CHUNK + 9, 4), "little")
        return Header(Format.WEBP, (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", reader.at(_FIRST_CHUNK + 14, 4))
        quality = _quality(reader, _FIRST_CHUNK)
        return Header(Format.WEBP, height & 0x3FFF, width & 0x3FFF, quality=quality)
    raise damaged("its WebP has no image")


def _extended(reader: Reader) -> Header:
    canvas = reader.at(24, 6)
    width = int.from_bytes(canvas[:3], "little") + 1
    height = int.from_bytes(canvas[3:], "little") + 1
    at = _EXTENDED_END
    for _ in range(_MAX_CHUNKS):
        kind, length = struct.unpack("<4sI", reader.at(at, 8))
        if kind == b"VP8L":
            return Header(Format.WEBP, height, width)
        if kind == b"VP8 ":
            return Header(Format.WEBP, height, width, quality=_quality(reader, at))
        inside = 8 + _FRAME_HEAD_BYTES
        at += inside if kind == b"ANMF" else 8 + length + (length & 1)
    raise damaged("too many WebP chunks")


def _quality(reader: Reader, at: int) -> int:
    length = int.from_bytes(reader.at(at + 4, 4), "little")
    return quality_of(reader.at(at + 8, min(length, ENOUGH_BYTES)))


def _check_whole(data: bytes) -> None:
    """Refuse a file shorter than its header declares."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise truncated()


def _chunk(kind: bytes, body: bytes) -> bytes:
    """Build one chunk with its length, padded to an even one."""
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) & 1)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = _FIRST_CHUNK
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _options(source: Source, image: Image.Image, count: int) -> Options:
    quality = source.header.quality
    options = _LOSSLESS if quality is None else {"exact": True, "quality": quality}
    if count > 1 and "background" in image.info:
        return {**options, "background": image.info["background"]}
    return options


def _write(picture: Picture) -> bytes:
    """Write the file; an animation is joined from frames that Pillow wrote as a WebP each."""
    if len(picture.frames) == 1:
        return pillow.write(picture)
    height, width = picture.size
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    flags = _ANIMATED | _ALPHA * any(frame.alpha is not None for frame in picture.frames)
    before, after = b"", b""
    for block in picture.carried.blocks:
        kind, flag = _RIFF[block.kind]
        flags |= flag
        if block.kind is Kind.ICC:
            before += _chunk(kind, block.data)
        else:
            after += _chunk(kind, block.data)
    extended = _chunk(b"VP8X", bytes((flags, 0, 0, 0)) + size)
    red, green, blue, alpha = picture.frames[0].encoding.get("background", (0, 0, 0, 0))
    loop = (picture.loop or 0).to_bytes(2, "little")
    shown = _chunk(b"ANIM", bytes((blue, green, red, alpha)) + loop)
    for still, frame in zip(pillow.stills(picture), picture.frames, strict=True):
        shown += _chunk(b"ANMF", bytes(6) + size + _frame(still, frame))
    body = b"WEBP" + extended + before + shown + after
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _frame(still: bytes, frame: Frame) -> bytes:
    """Duration, disposal and pixels of one frame."""
    duration = min(round(frame.duration_ms), _LONGEST_MS).to_bytes(3, "little")
    flags = _NO_BLENDING | (frame.disposal == _CLEARED)
    kinds = dict(_chunks(still))
    pixels = [_chunk(kind, kinds[kind]) for kind in (b"ALPH", b"VP8 ", b"VP8L") if kind in kinds]
    return duration + bytes((flags,)) + b"".join(pixels)


_READING = pillow.Reading(options=_options)
CONTAINER = Container(_probe, _READING, _write, _check_whole, xmp_at=b"")
