"""JPEG XL frames: find where the last one ends, by the sizes of their sections.

Decodes no pixels. Sections in another order than their own are told by entropy-coded numbers, which
are not read: then libjxl is asked whether it can do without the last bytes.

Source: ISO/IEC 18181-1, annexes D (image header) and F (frame header, table of contents).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers import surplus
from sharpend.imaging.containers.jxlheader import Bits
from sharpend.imaging.containers.surplus import Held

if TYPE_CHECKING:
    from sharpend.imaging.containers.jxlheader import JxlHeader

_REGULAR, _COARSE, _REFERENCE, _SKIPPED = range(4)
"""Types of frames: `_COARSE` is an eighth of the size, `_REFERENCE` is shown in others."""
_SHOWN = frozenset({_REGULAR, _SKIPPED})
_USES_COARSE = 32
"""Flag: a `_COARSE` frame holds its low frequencies."""
_BLEND, _WEIGHTED, _MULTIPLY = 2, 3, 4
_SIDE = ((0, 8), (256, 11), (2304, 14), (18_688, 30))
_SIZE = ((0, 10), (1024, 14), (17_408, 22), (4_211_712, 30))
"""Of a section in bytes."""
_HALVED = (frozenset({1, 2}), frozenset({1, 3}))
"""Numbers of subsampling that halve the width, and the height."""
_BLOCK = 8
_HALF_BITS = 16
"""Of a half-precision floating point number."""
_KERNELS = (15, 55, 210)
"""Numbers in the kernels for enlarging by 2, 4 and 8."""
_MOST_FRAMES, _MOST_SECTIONS = 10_000, 1 << 20
"""Of a file that is searched."""


def held(stream: bytes, header: JxlHeader) -> Held | None:
    """Count what lies behind the last frame.

    Args:
        stream: the codestream and what follows, which libjxl can decode.
        header: of it, without an ICC profile.

    Returns:
        None where that cannot be told without decoding all frames of an animation.
    """
    end = _end(stream, header)
    if header.animated:
        return Held(end, surplus.count(stream[end:])) if end else None

    def suffices(length: int) -> bool:
        try:
            imagecodecs.jpegxl_decode(stream[:length])
        except (imagecodecs.JpegxlError, ValueError):
            return False
        return True

    return Held(end, 0) if end == len(stream) else surplus.by_trial(stream, suffices)


def _end(stream: bytes, header: JxlHeader) -> int | None:
    """Offset behind the last frame; None where it cannot be told."""
    bits, sections = Bits(stream, header.end), 0
    try:
        _skip_transforms(bits, header)
        for _ in range(_MOST_FRAMES):
            frame = _frame(bits, header)
            sections += frame.sections
            if bits.number(1) or sections > _MOST_SECTIONS:  # in another order
                return None
            _align(bits)
            size = sum(bits.choice(*_SIZE) for _ in range(frame.sections))
            _align(bits)
            bits.at += 8 * size
            if frame.is_last:
                return bits.at // 8
    except ImageRefusedError:  # it ends before
        pass
    return None


def _align(bits: Bits) -> None:
    bits.at += -bits.at % 8


def _skip_transforms(bits: Bits, header: JxlHeader) -> None:
    """Pass the last part of the image header: the matrix of XYB, and kernels."""
    if not bits.number(1):
        if header.is_converted and not bits.number(1):
            bits.at += 16 * _HALF_BITS
        custom = bits.number(3)
        bits.at += _HALF_BITS * sum(
            count for index, count in enumerate(_KERNELS) if custom >> index & 1
        )
    _align(bits)


@dataclass(frozen=True, slots=True)
class _Frame:
    sections: int
    is_last: bool


def _frame(bits: Bits, header: JxlHeader) -> _Frame:
    """Parse the header of a frame."""
    size = header.height, header.width
    if bits.number(1):  # all default
        return _Frame(_sections(size, 1 << 8, (0, 0), 1), is_last=True)
    kind, is_modular, flags = bits.number(2), bool(bits.number(1)), bits.long()
    has_chroma = not header.is_converted and bool(bits.number(1))
    uses_coarse = bool(flags & _USES_COARSE)
    halved = (0, 0)
    if has_chroma and not uses_coarse:
        modes = {bits.number(2) for _ in range(3)}
        halved = int(bool(modes & _HALVED[1])), int(bool(modes & _HALVED[0]))
    enlarging = 1
    if not uses_coarse:
        enlarging = 1 << bits.number(2)
        bits.number(2 * header.extras)
    group = 1 << 7 + (bits.number(2) if is_modular else 1)
    if not is_modular and header.is_converted:
        bits.number(6)  # scales of the quantisers
    passes = 1 if kind == _REFERENCE else _passes(bits)
    scale = enlarging
    if kind == _COARSE:
        scale *= _BLOCK ** (1 + bits.number(2))
        is_partial = False
    else:
        size, is_partial = _box(bits, kind, size)
    is_last = _is_last(bits, kind, header, is_partial=is_partial)
    name_bytes = bits.choice((0, 0), (0, 4), (16, 5), (48, 10))
    bits.at += 8 * name_bytes
    _skip_filters(bits, is_modular=is_modular)
    bits.skip_extensions()
    shown = -(-size[0] // scale), -(-size[1] // scale)
    return _Frame(_sections(shown, group, halved, passes), is_last)


def _sections(size: tuple[int, int], group: int, halved: tuple[int, int], passes: int) -> int:
    """Count the sections of a frame.

    Args:
        size: height and width as they are coded.
        group: side in pixels of the groups that are coded for themselves.
        halved: 1 where chroma has half the height, and half the width.
        passes: refinements of each group.
    """
    groups = coarse = 1
    for side, half in zip(size, halved, strict=True):
        blocks = -(-side // (_BLOCK << half)) << half
        groups *= -(-side // group)
        coarse *= -(-blocks // group)
    return 1 if groups == passes == 1 else 2 + coarse + groups * passes


def _passes(bits: Bits) -> int:
    count = bits.choice((1, 0), (2, 0), (3, 0), (4, 3))
    if count > 1:
        smaller = bits.choice((0, 0), (1, 0), (2, 0), (3, 1))
        bits.number(2 * (count - 1) + 2 * smaller)
        for _ in range(smaller):
            bits.choice((0, 0), (1, 0), (2, 0), (0, 3))
    return count


def _box(bits: Bits, kind: int, whole: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """Read height and width of a frame, and whether it covers only a part of the image."""
    if not bits.number(1):
        return whole, False
    left, top = (_signed(bits) if kind in _SHOWN else 0 for _ in range(2))
    width, height = (bits.choice(*_SIDE) for _ in range(2))
    is_partial = left > 0 or top > 0 or left + width < whole[1] or top + height < whole[0]
    return (height, width), is_partial and kind in _SHOWN


def _signed(bits: Bits) -> int:
    number = bits.choice(*_SIDE)
    return -(number + 1 >> 1) if number & 1 else number >> 1


def _is_last(bits: Bits, kind: int, header: JxlHeader, *, is_partial: bool) -> bool:
    """Read how a frame is blended, how long it is shown, and what refers to it."""
    mode = duration = 0
    is_last = False
    if kind in _SHOWN:
        modes = [_blending(bits, header, is_partial=is_partial) for _ in range(1 + header.extras)]
        mode = modes[0]
        if header.animated:
            duration = bits.choice((0, 0), (1, 0), (0, 8), (0, 32))
            bits.number(32 * header.has_timecodes)
        is_last = bool(bits.number(1)) and kind == _REGULAR
    number = 0 if kind == _COARSE or is_last else bits.number(2)
    may_refer = kind in _SHOWN and not is_last and (not duration or number > 0)
    if kind == _REFERENCE or (may_refer and not mode and not is_partial):
        bits.number(1)
    return is_last


def _blending(bits: Bits, header: JxlHeader, *, is_partial: bool) -> int:
    mode = bits.choice((0, 0), (1, 0), (2, 0), (3, 2))
    uses_alpha = header.extras > 0 and mode in {_BLEND, _WEIGHTED}
    if uses_alpha:
        bits.choice((0, 0), (1, 0), (2, 0), (3, 3))
    bits.number(uses_alpha or mode == _MULTIPLY)  # clamped
    bits.number(2 * (mode > 0 or is_partial))  # the frame below it
    return mode


def _skip_filters(bits: Bits, *, is_modular: bool) -> None:
    if bits.number(1):  # all default
        return
    if bits.number(1) and bits.number(1):
        bits.at += 6 * _HALF_BITS
    if bits.number(2):
        if not is_modular and bits.number(1):
            bits.at += 8 * _HALF_BITS
        if bits.number(1):
            bits.at += 5 * _HALF_BITS
        if bits.number(1):
            bits.at += (3 + (not is_modular)) * _HALF_BITS
        if is_modular:
            bits.at += _HALF_BITS
    bits.skip_extensions()
