"""APNG: read frame timing, and assemble frames into a file.

Owns the animation chunks. Pillow reads the frames as they are shown and writes each as a PNG of
its own; here they become one, each frame covering the whole canvas and replacing it.

Source: PNG specification, third edition (W3C, 2025), section 11.3.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile
from typing import TYPE_CHECKING

from sharpend.imaging.containers.pngchunks import HEADER_END, chunk, chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sharpend.imaging.containers.pngchunks import Parts
    from sharpend.imaging.picture import Frame, Picture

_CONTROL = struct.Struct(">IIIIIHHBB")
_MS_PER_S = 1000
_LARGEST = 0xFFFF
_DEFAULT_DENOMINATOR = 100
"""Denominator that 0 stands for."""


@dataclass(frozen=True, slots=True)
class Animation:
    """Frame timing and loop count of an APNG."""

    plays: int
    """0 for ever."""
    timings: tuple[tuple[float, int], ...]
    """Milliseconds and disposal of each frame."""
    has_default: bool
    """The image that old readers show is no frame."""


def animation(found: Iterable[tuple[bytes, bytes]]) -> Animation | None:
    """Read the animation data of the chunks of a whole PNG; None for a still image."""
    plays: int | None = None
    timings = []
    default_first, has_default = True, False
    for kind, body in found:
        if kind == b"acTL":
            plays = int.from_bytes(body[4:8])
        elif kind == b"fcTL":
            *_, number, denominator, disposal, _ = _CONTROL.unpack(body)
            timings.append((_MS_PER_S * number / (denominator or _DEFAULT_DENOMINATOR), disposal))
        elif kind == b"IDAT" and default_first:
            default_first, has_default = False, not timings
    return None if plays is None else Animation(plays, tuple(timings), has_default)


def frame_count(found: Parts) -> int:
    """Count the images of a whole PNG: frames, and the default image where it is no frame."""
    return _kinds(found).count(b"fcTL") + (b"fcTL" not in _before_pixels(found))


def _kinds(found: Parts) -> list[bytes]:
    return [kind for kind, _ in found.sound()]


def _before_pixels(found: Parts) -> list[bytes]:
    return list(takewhile(lambda kind: kind != b"IDAT", _kinds(found)))


def timed(picture: Picture, data: bytes) -> Picture:
    """Add the frame times of the whole file to an image that Pillow read."""
    animated = animation(chunks(data)) if len(picture.frames) > 1 else None
    if animated is None:
        return picture
    timings = [(0.0, 0)] * animated.has_default + list(animated.timings)
    frames = [
        replace(frame, duration_ms=duration_ms, disposal=disposal)
        for frame, (duration_ms, disposal) in zip(picture.frames, timings, strict=True)
    ]
    frames[0] = replace(frames[0], is_shown=not animated.has_default)
    return replace(picture, frames=tuple(frames), loop=animated.plays)


def assembled(stills: Sequence[bytes], picture: Picture) -> bytes:
    """Join frames that were written as single PNGs, of one size and mode, into one APNG."""
    frames = picture.frames
    first = stills[0]
    has_default = not frames[0].is_shown
    size = struct.unpack(">II", first[16:24])
    made = [
        first[:HEADER_END],
        chunk(b"acTL", struct.pack(">II", len(stills) - has_default, picture.loop or 0)),
    ]
    sequence = 0
    for index, (still, frame) in enumerate(zip(stills, frames, strict=True)):
        if index or not has_default:
            made.append(chunk(b"fcTL", _control(sequence, size, frame)))
            sequence += 1
        for kind, body in chunks(still):
            if kind != b"IDAT":
                continue
            made.append(
                chunk(b"fdAT", struct.pack(">I", sequence) + body) if index else chunk(kind, body)
            )
            sequence += bool(index)
    return b"".join([*made, chunk(b"IEND", b"")])


def _control(sequence: int, size: tuple[int, int], frame: Frame) -> bytes:
    """Frame control chunk that replaces the whole canvas."""
    delay = Fraction(frame.duration_ms / _MS_PER_S).limit_denominator(_LARGEST)
    number = min(delay.numerator, _LARGEST)
    return _CONTROL.pack(sequence, *size, 0, 0, number, delay.denominator, frame.disposal, 0)
