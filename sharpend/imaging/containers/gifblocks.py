"""GIF blocks: parse screen, extensions, frame timing and positions, without pixels.

Owns the block layout. A missing trailer is no damage where a frame has just ended.

Source: GIF89a specification; the NETSCAPE2.0 loop; XMP specification part 3, 1.1.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sharpend.imaging.containers import lzw
from sharpend.imaging.metadata.blocks import Block, Kind
from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from sharpend.imaging.containers.surplus import Held
    from sharpend.imaging.reading import Reader

SCREEN_BYTES = 13
TABLE = 0x80
EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
CONTROL, _TEXT, APPLICATION, _COMMENT = 0xF9, 0x01, 0xFF, 0xFE
_LOOP = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
XMP, _ICC, CREDENTIALS = b"XMP DataXMP", b"ICCRGBG1012", b"C2PA_GIF\1\0\0"
XMP_END = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
"""Trailer of an XMP packet without sub-blocks: each byte, read as a length, leads to its end."""
DESCRIPTOR_BYTES = 10
_INTERLACED, _USER_INPUT = 0x40, 2
_MOST_BLOCKS = 10_000
MS_PER_TICK = 10
RESTORED = 3
"""Disposal."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Delay, disposal and position of one frame."""

    duration_ms: float = 0
    disposal: int = 0
    """0 or 1: it stays, 2: its box is cleared, 3: what was there before returns. Decoders take the
    other numbers, which have no meaning, for 3, which some old programs wrote as 4."""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, top, right, bottom of what it paints."""
    waits: bool = False
    """It stays until a key is pressed."""
    is_interlaced: bool = False
    coded: tuple[int, int] = (0, 0)
    """Offsets of its compressed pixels, the bits of a value first, and behind them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Structure of a GIF: screen, loop count, extensions and frames, without pixels."""

    frames: tuple[Shown, ...]
    loop: int | None
    blocks: tuple[Block, ...]
    texts: int
    """Plain text extensions, which hardly any viewer shows."""
    has_credentials: bool
    """It had content credentials (C2PA 2.1, section A.3.4), which hold for the pixels as stored."""
    stray_bytes: int
    """Bytes between blocks that belong to none, zeros excepted."""
    end: int
    """Offset behind the trailer."""
    has_trailer: bool


def first_frame(reader: Reader, flags: int) -> tuple[int, int]:
    """Width and height that the first frame needs."""
    at = SCREEN_BYTES + _table_bytes(flags)
    for _ in range(_MOST_BLOCKS):
        kind = reader.at(at, 1)[0]
        if kind == _IMAGE:
            _, _, right, bottom = _box(reader.at(at, DESCRIPTOR_BYTES), 0)
            return right, bottom
        at += 2 if kind == EXTENSION else 1
        while kind == EXTENSION and (length := reader.at(at, 1)[0]):
            at += 1 + length
    raise damaged("no frame follows its header", may_settle=False)


def layout(data: bytes) -> Layout:
    """Parse all blocks of a whole GIF.

    Raises:
        ImageRefusedError: `truncated` where it ends elsewhere than behind a block or a frame.
    """
    found = _Found()
    at, end = first_block(data), len(data)
    while at < end and data[at] != _END:
        if data[at] == _IMAGE:
            start, end_of_image = _coded(data, at), image_end(data, at)
            frame = replace(
                found.control or Shown(),
                box=_box(data, at),
                is_interlaced=bool(data[at + 9] & _INTERLACED),
                coded=(start, end_of_image),
            )
            found.frames.append(frame)
            found.control, at = None, end_of_image
        elif data[at] == EXTENSION:
            content = at + 2
            at = blocks_end(data, content)
            found.add(data[content - 1], data[content:at])
        else:  # decoders skip junk
            found.stray_bytes += data[at] != 0
            at += 1
    behind = at + 1
    while data[behind : behind + 1] == bytes((_END,)):  # some programs write another one
        behind += 1
    if at >= end and (not found.frames or found.control is not None):
        raise truncated()
    return Layout(
        tuple(found.frames),
        found.loop,
        tuple(found.blocks),
        found.texts,
        found.has_credentials,
        found.stray_bytes,
        min(behind, end),
        has_trailer=at < end,
    )


@dataclass(slots=True)
class _Found:
    """Blocks that have been parsed so far."""

    frames: list[Shown] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    loop: int | None = None
    control: Shown | None = None
    """For the next frame."""
    texts: int = 0
    has_credentials: bool = False
    stray_bytes: int = 0

    def add(self, label: int, content: bytes) -> None:
        """Add an extension, whose content is a chain of sub-blocks."""
        if label == CONTROL:
            self.control = _control(content[1:])
        elif label == APPLICATION and content[1:12] in _LOOP:
            self.loop = int.from_bytes(content[14:16], "little")
        elif label == APPLICATION and content[1:12] == CREDENTIALS:
            self.has_credentials = True
        elif label == _TEXT:
            self.texts += 1
            self.control = None
        else:
            self.blocks.append(_block(label, content))


def _control(control: bytes) -> Shown:
    ticks = int.from_bytes(control[1:3], "little")
    waits = bool(control[0] & _USER_INPUT)
    return Shown(ticks * MS_PER_TICK, min(control[0] >> 2 & 7, RESTORED), waits=waits)


def _box(data: bytes, at: int) -> tuple[int, int, int, int]:
    if at + DESCRIPTOR_BYTES > len(data):
        raise truncated()
    left, top, width, height = struct.unpack_from("<4H", data, at + 1)
    return left, top, left + width, top + height


def _block(label: int, content: bytes) -> Block:
    if label == APPLICATION and content[1:12] == XMP:
        return Block(Kind.XMP, content[12:].removesuffix(XMP_END), b"\xff")
    kind = Kind.ICC if content[1:12] == _ICC else Kind.OTHER
    return Block(Kind.TEXT if label == _COMMENT else kind, content, bytes((label,)))


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise truncated()
    return data[at]


def first_block(data: bytes) -> int:
    """Offset of the first block, behind the screen and its colour table."""
    return SCREEN_BYTES + _table_bytes(_byte(data, 10))


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & TABLE else 0


def image_end(data: bytes, at: int) -> int:
    """Offset of the end of the frame whose descriptor is at `at`."""
    return blocks_end(data, _coded(data, at) + 1)


def _coded(data: bytes, at: int) -> int:
    """Offset of the compressed pixels of the frame whose descriptor is at `at`."""
    return at + DESCRIPTOR_BYTES + _table_bytes(_byte(data, at + 9))


def held(data: bytes, frame: Shown) -> Held:
    """Count what the compressed pixels of a frame hold."""
    at, end = frame.coded
    parts, bits = [], data[at]
    at += 1
    while at < end:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    left, top, right, bottom = frame.box
    pixels = (right - left) * (bottom - top)
    return lzw.held(b"".join(parts), pixels, bits=bits, is_tiff=False)


def blocks_end(data: bytes, at: int) -> int:
    """Offset of the end of a chain of sub-blocks."""
    while length := _byte(data, at):
        at += 1 + length
    return at + 1
