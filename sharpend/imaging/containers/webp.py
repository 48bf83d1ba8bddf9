"""WebP: parse RIFF chunks, header and animations, and estimate the quality.

Owns the container's layout. Pixels and metadata are Pillow's; its frames, written as a WebP each,
become one file here, each covering the whole canvas, because its own writer of animations forgets
colours under alpha 0 and joins equal frames.

Source: RFC 9649, section 2.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers import pillow, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.riff import (
    FIRST_CHUNK,
    FRAME_HEAD_BYTES,
    LAYOUT,
    chunk,
    chunks,
    contradiction,
    left_over,
)
from sharpend.imaging.containers.vp8 import ENOUGH_BYTES, quality_of
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import CREDENTIALS, Block, Carried, Kind
from sharpend.imaging.reading import damaged, truncated, unsupported
from sharpend.imaging.source import Header
from sharpend.policies import Compression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL import Image

    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_MAX_CHUNKS = 10_000
_FLAGS_AT, _EXTENDED_END = 20, 30
_SIZE_AT = 4
"""Of VP8X: offset of the canvas' size."""
_ANIMATED, _ALPHA, _ALL_FLAGS = 2, 16, 0x3E
_LOSSLESS: Mapping[Compression, Options] = {
    Compression.FAST: {"quality": 20, "method": 2},
    Compression.SMALL: {"quality": 50, "method": 4},
}
"""Quality is here the effort. Method 0 takes a quarter of the time of 2 and writes drawings more
than twice as large; quality 100 takes many times as long as 50."""
_LOSSY: Mapping[Compression, Options] = {Compression.FAST: {}, Compression.SMALL: {"method": 6}}
"""Pillow's method is 4: in half the time colours are further from what was sharpened, by up to
0.3 dB. 6 moves them less, and its files are smaller than 4's at the same distance."""
_RIFF = {Kind.ICC: (b"ICCP", 32), Kind.EXIF: (b"EXIF", 8), Kind.XMP: (b"XMP ", 4)}
"""Chunk and flag."""
_KINDS = {chunk: kind for kind, (chunk, _) in _RIFF.items()}
_NO_BLENDING = 2
_CLEARED = 2
_LONGEST_MS = (1 << 24) - 1


def _probe(reader: Reader) -> Header:
    """Read the size, and the quality of the first image if it is lossy."""
    kind = reader.at(FIRST_CHUNK, 4)
    if kind == b"VP8X":
        return _extended(reader)
    if kind == b"VP8L":
        bits = int.from_bytes(reader.at(FIRST_CHUNK + 9, 4), "little")
        return Header(Format.WEBP, (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", reader.at(FIRST_CHUNK + 14, 4))
        quality = _quality(reader, FIRST_CHUNK)
        return Header(Format.WEBP, height & 0x3FFF, width & 0x3FFF, quality=quality, lossy=True)
    if kind.isalnum():
        raise unsupported(f"its WebP begins with an unknown chunk ({kind.decode()})")
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
            quality = _quality(reader, at)
            return Header(Format.WEBP, height, width, quality=quality, lossy=True)
        inside = 8 + FRAME_HEAD_BYTES
        at += inside if kind == b"ANMF" else 8 + length + (length & 1)
    raise damaged("too many WebP chunks")


def _quality(reader: Reader, at: int) -> int:
    length = int.from_bytes(reader.at(at + 4, 4), "little")
    return quality_of(reader.at(at + 8, min(length, ENOUGH_BYTES)))


def _check_whole(data: bytes) -> None:
    """Refuse a file shorter than its header declares; a last chunk's padding may be missing.

    Some writers count the head of 8 bytes too.
    """
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data) and (end - len(data) not in {1, 8, 9} or not _ends_with_a_chunk(data)):
        raise truncated()


def _ends_with_a_chunk(data: bytes) -> bool:
    return _end_of_chunks(data, len(data)) - len(data) in {0, 1}


def _end_of_chunks(data: bytes, end: int) -> int:
    """Offset behind the last chunk that begins before an offset, and behind its padding."""
    at = FIRST_CHUNK
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + (length & 1)
    return at


def _carried(source: Source, _image: Image.Image) -> CarriedAndNotes:
    return _blocks(source.data)


def _blocks(data: bytes) -> CarriedAndNotes:
    """Read the metadata chunks, whatever the flags of VP8X say of them, and unknown chunks."""
    blocks, notes = [], []
    for kind, body in chunks(data):
        if kind == b"C2PA":
            notes.append(CREDENTIALS)
        elif kind not in LAYOUT:
            blocks.append(Block(_KINDS.get(kind, Kind.OTHER), body, kind))
    carried, removed = pillow.unannounced(Carried(tuple(blocks)))
    return carried, notes + removed


def _read(source: Source) -> Picture:
    """Read the wanted frames.

    Raises:
        ImageRefusedError: as `pillow.Reading`; `format_not_allowed` for chunks that exclude others.
    """
    data = source.data
    notes, end = [], int.from_bytes(data[4:8], "little") + 8
    if end > len(data):  # as `_check_whole` lets through
        notes.append("the length in its header was wrong")
        data = data[:4] + (len(data) + len(data) % 2 - 8).to_bytes(4, "little") + data[8:]
        data += bytes(len(data) % 2)
    elif end + 1 < (reached := _end_of_chunks(data, end)) <= len(data):  # within the last chunk
        notes.append("the length in its header was wrong")
        data, end = data[:4] + (reached - 8).to_bytes(4, "little") + data[8:], reached
    try:
        picture = _READING(replace(source, data=_with_flags(data)))
    except OSError as error:  # libwebp says no more than that
        if cause := contradiction(data):
            raise unsupported(cause) from error
        raise
    if len(picture.frames) == 1 and any(kind == b"ANIM" for kind, _ in chunks(data)):
        notes.append("its animation was written as a still image")
    losses = left_over(data, len(picture.frames)) + trailers.unknown(data[end:])
    return picture.with_notes((notes, losses))


def _with_flags(data: bytes) -> bytes:
    """Set the flags for alpha and animation, which decoders follow, by the chunks."""
    kinds = [kind for kind, _ in chunks(data)]
    if kinds[0] != b"VP8X":
        return data
    flags = data[_FLAGS_AT] & _ALL_FLAGS & ~_ANIMATED
    flags |= _ANIMATED * (b"ANMF" in kinds) | _ALPHA * (b"ALPH" in kinds)
    return data[:_FLAGS_AT] + bytes((flags,)) + data[_FLAGS_AT + 1 :]


def _options(source: Source, image: Image.Image, count: int) -> Options:
    quality = source.header.quality
    effort = source.policies.compression
    own = {"lossless": True} if quality is None else {"quality": quality}
    # `exact` keeps colours under alpha 0.
    options: Options = {"exact": True, **own, **(_LOSSLESS if quality is None else _LOSSY)[effort]}
    if count > 1 and "background" in image.info:
        return {**options, "background": image.info["background"]}
    return options


def _is_lossy(frame: Frame) -> bool:
    return not frame.encoding.get("lossless", False)


def _write(picture: Picture) -> bytes:
    """Write the file around frames that Pillow wrote as a WebP each."""
    stills = pillow.stills(picture)
    blocks = picture.carried.blocks
    if len(stills) == 1 and not blocks:
        return stills[0]
    height, width = picture.size
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    if len(stills) == 1:
        flags, shown = 0, b"".join(chunk(*each) for each in _pixels(stills[0]))
    else:
        flags, shown = _ANIMATED, _animation(stills, picture, size)
    flags |= _ALPHA * any(frame.alpha is not None for frame in picture.frames)
    return _file(flags, size, shown, blocks)


def _file(flags: int, size: bytes, shown: bytes, blocks: Sequence[Block]) -> bytes:
    """Build a file with an extended header: its flags but those of metadata, size, and chunks."""
    before, after = b"", b""
    for block in blocks:
        kind, flag = _RIFF.get(block.kind, (block.where, 0))
        flags |= flag
        if block.kind is Kind.ICC:
            before += chunk(kind, block.data)
        else:
            after += chunk(kind, block.data)
    body = b"WEBP" + chunk(b"VP8X", bytes((flags, 0, 0, 0)) + size) + before + shown + after
    return _riff(body)


def _riff(body: bytes) -> bytes:
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _edited(data: bytes, edit: Callable[[Carried], Carried]) -> tuple[bytes, list[str]]:
    """Change the metadata chunks; see `Container.edited`."""
    carried, notes = _blocks(data)
    kept = edit(carried).blocks
    (first, head), *others = [each for each in chunks(data) if each[0] in LAYOUT]
    if first == b"VP8X":
        flags = head[0] & ~sum(flag for _, flag in _RIFF.values())
        shown = b"".join(chunk(*each) for each in others)
        return _file(flags, head[_SIZE_AT:], shown, kept), notes
    if kept:
        raise ValueError("it has metadata without the header (VP8X) for it")
    return _riff(b"WEBP" + chunk(first, head)), notes


def _animation(stills: Sequence[bytes], picture: Picture, size: bytes) -> bytes:
    """Chunks of an animation, each frame of which covers the whole canvas."""
    red, green, blue, alpha = picture.frames[0].encoding.get("background", (0, 0, 0, 0))
    loop = (picture.loop or 0).to_bytes(2, "little")
    shown = chunk(b"ANIM", bytes((blue, green, red, alpha)) + loop)
    for still, frame in zip(stills, picture.frames, strict=True):
        shown += chunk(b"ANMF", bytes(6) + size + _frame(still, frame))
    return shown


def _pixels(still: bytes) -> list[tuple[bytes, bytes]]:
    """Chunks of a still image that hold its pixels."""
    kinds = dict(chunks(still))
    return [(kind, kinds[kind]) for kind in (b"ALPH", b"VP8 ", b"VP8L") if kind in kinds]


def _frame(still: bytes, frame: Frame) -> bytes:
    """Duration, disposal and pixels of one frame."""
    duration = min(round(frame.duration_ms), _LONGEST_MS).to_bytes(3, "little")
    flags = _NO_BLENDING | (frame.disposal == _CLEARED)
    return duration + bytes((flags,)) + b"".join(chunk(*each) for each in _pixels(still))


_READING = pillow.Reading(_carried, _options)
CONTAINER = Container(
    _probe, _read, _write, _check_whole, is_lossy=_is_lossy, xmp_at=b"XMP ", edited=_edited
)
