"""RIFF chunks of WebP: parse and build them, and name what no pixel is made of.

The end of the compressed pixels stands nowhere, but decoders refuse a chunk that ends before it. So
a chunk that can be decoded without its last bytes has more than its pixels.

Source: RFC 9649, section 2.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

import imagecodecs

from sharpend.imaging.containers import surplus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.imaging.containers.surplus import Held

    Chunk = tuple[bytes, bytes]
    """Type and content."""

FIRST_CHUNK = 12
FRAME_HEAD_BYTES = 16
"""Of an ANMF chunk, before the chunks of its image."""
_COLOURS = frozenset({b"VP8 ", b"VP8L"})
_PIXELS = _COLOURS | {b"ALPH"}
LAYOUT = _PIXELS | {b"VP8X", b"ANIM", b"ANMF"}
"""Chunks that are written anew."""
_ALPHA = 16
"""Flag of VP8X."""
_SIZE_AT, _SIDE = 6, 0x3FFF
"""Place of width and height in a VP8 frame, and their bits."""
_SPARE_BYTES = 3
"""That encoders may write at the end of a chunk, and decoders do not need."""


def chunk(kind: bytes, body: bytes) -> bytes:
    """Build one chunk with its length, padded to an even one."""
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) & 1)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Iterate over the chunks of a file."""
    return _inside(data, FIRST_CHUNK, min(len(data), int.from_bytes(data[4:8], "little") + 8))


def _inside(data: bytes, at: int, end: int) -> Iterator[Chunk]:
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def contradiction(data: bytes) -> str:
    """Say why libwebp refuses a whole file with an extended header; "" where nothing tells."""
    every = list(chunks(data))
    kinds = [kind for kind, _ in every]
    images = [each for each in every if each[0] in _COLOURS]
    shown = _shown(images[0]) if images else (0, 0)
    canvas = _size(every[0][1][4:], 3) if kinds[0] == b"VP8X" and images else shown
    causes = {
        "its WebP has several headers (VP8X)": kinds.count(b"VP8X") > 1,
        "its WebP holds an animation and a still image beside each other": b"ANMF" in kinds,
        f"its WebP holds {len(images)} still images beside each other": len(images) > 1,
        "its WebP is a still image with a chunk of animations (ANIM)": b"ANIM" in kinds,
        "its alpha channel (ALPH) does not stand before lossy colours": (
            b"ALPH" in kinds and _image(every)[:1] != [each for each in every if each[0] == b"ALPH"]
        ),
        f"the canvas of its WebP ({canvas[1]} x {canvas[0]}) has not the size of its image": (
            canvas != shown
        ),
    }
    return next((cause for cause, holds in causes.items() if holds and images), "")


def _size(sides: bytes, count: int) -> tuple[int, int]:
    """Height and width of width and height less 1, in so many bytes each."""
    width, height = (int.from_bytes(sides[at : at + count], "little") for at in (0, count))
    return height + 1, width + 1


def _shown(image: Chunk) -> tuple[int, int]:
    """Height and width of a VP8 or VP8L chunk's image."""
    kind, body = image
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<2H", body, _SIZE_AT)
        return height & _SIDE, width & _SIDE
    bits = int.from_bytes(body[1:5], "little")
    return (bits >> 14 & _SIDE) + 1, (bits & _SIDE) + 1


def left_over(data: bytes, count: int) -> list[str]:
    """List the losses of chunks, and of bytes in them, that no pixel is made of.

    Args:
        data: a whole file, which can be decoded.
        count: frames that were read, the first ones.
    """
    every = list(chunks(data))
    frames = [body for kind, body in every if kind == b"ANMF"]
    others = [each for each in every if each[0] in _PIXELS]
    shown = [list(_inside(body, FRAME_HEAD_BYTES, len(body))) for body in frames] or [others]
    lost: list[Chunk] = others if frames else []
    held: list[Held] = []
    for found in islice(shown, count):
        image = _image(found)
        lost += [each for each in found if not any(each is one for one in image)]
        held += [_held(image, index) for index in range(len(image))]
    kinds = dict.fromkeys(kind.decode("ascii", "backslashreplace").strip() for kind, _ in lost)
    losses = [f"its further {kind} chunk is not in the output" for kind in kinds]
    return losses + surplus.named(held)[1]


def _image(found: Sequence[Chunk]) -> list[Chunk]:
    """Choose the chunks that a decoder takes: the first with colours, and alpha before it."""
    at = next((index for index, (kind, _) in enumerate(found) if kind in _COLOURS), None)
    if at is None:
        return []
    alpha = [each for each in found[:at] if each[0] == b"ALPH"]
    return [*(alpha[:1] if found[at][0] == b"VP8 " else []), found[at]]


def _held(image: Sequence[Chunk], index: int) -> Held:
    """Count the bytes at the end of a chunk without which an image can be decoded.

    Args:
        image: chunks of the image.
        index: of the chunk.
    """
    kind, body = image[index]

    def suffices(length: int) -> bool:
        cut = [*image[:index], (kind, body[:length]), *image[index + 1 :]]
        try:
            imagecodecs.webp_decode(_file(cut))
        except (imagecodecs.WebpError, ValueError):
            return False
        return True

    return surplus.by_trial(body, suffices, spare=_SPARE_BYTES)


def _file(image: Sequence[Chunk]) -> bytes:
    """Make a file of an image."""
    made = b"".join(chunk(*each) for each in image)
    if len(image) > 1:  # alpha needs a head with the size
        sides = struct.unpack_from("<2H", image[1][1], _SIZE_AT)
        size = b"".join(((side & _SIDE) - 1).to_bytes(3, "little") for side in sides)
        made = chunk(b"VP8X", bytes((_ALPHA, 0, 0, 0)) + size) + made
    return b"RIFF" + (4 + len(made)).to_bytes(4, "little") + b"WEBP" + made
