"""Netpbm PPM and PGM, plain and raw, of any largest value: read and write one or more images.

Owns the whole format: it is a header in text and then numbers. The header is written again as it
was, comments and all. PBM (P1, P4) is black and white, which is a matter of policy; PFM is float.

Source: the ppm and pgm manual pages of Netpbm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpend.errors import Reason
from sharpend.imaging.containers import pillow, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import damaged, truncated
from sharpend.imaging.source import MOST_FRAMES, Header, color_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_LONGEST_HEADER = 1 << 16
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEAD = re.compile(
    rb"P([2356])%(gap)s(\d{1,9})%(gap)s(\d{1,9})%(gap)s(\d{1,5})(?:#[^\r\n]*[\r\n]|\s)"
    % {b"gap": _GAP}
)
_BILEVEL = re.compile(
    rb"P[14]%(gap)s(\d{1,9})%(gap)s(\d{1,9})(?:#[^\r\n]*[\r\n]|\s)" % {b"gap": _GAP}
)
_PLAIN, _COLOR = b"23", b"36"
_SPACE = b" \t\n\v\f\r"
_COMMENT = re.compile(rb"#[^\r\n]*")
_NEXT = re.compile(rb"\s*(?=P[1-6]\s)")
_VALUES_A_LINE = 12
"""Plain files should have no line over 70 characters."""
_MOST_DIGITS = 18
"""Of a number in a plain file: what 64 bits hold."""
_BYTE, _MOST = 255, 65_535
"""Largest values of one byte and of two; others are scaled to one of them and back."""


def _probe(reader: Reader) -> Header:
    """Read the header."""
    start = _start(reader)
    bilevel = _BILEVEL.match(start)
    if bilevel:
        return Header(Format.PNM, int(bilevel[2]), int(bilevel[1]), bits=1)
    head = _HEAD.match(start)
    if not head:
        raise damaged("its Netpbm header cannot be read", may_settle=False)
    largest = int(head[4])
    if not 0 < largest <= _MOST:
        raise damaged(f"its largest value is {largest}", may_settle=False)
    return Header(Format.PNM, int(head[3]), int(head[2]), 8 if largest <= _BYTE else 16)


def _start(reader: Reader) -> bytes:
    start = b""
    for size in (64, 1024, _LONGEST_HEADER):  # most have a dozen bytes
        start = reader.up_to(0, size)
        if _HEAD.match(start) or _BILEVEL.match(start) or len(start) < size:
            break
    return start


def _read(source: Source) -> Picture:
    """Read the wanted images, and keep the header of each among its save options.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, `color_mode`, `pages`, `too_many_pixels`.
    """
    if source.header.bits == 1:
        return source.bilevel()
    places = _places(source.data)
    count = source.wanted(len(places), Reason.PAGES)
    largest = max(places[:count], key=lambda head: int(head[2]) * int(head[3]))
    source.check_pixels(int(largest[3]), int(largest[2]), frames=count)
    losses = pillow.dropped(len(places), count, "images")
    frames = [_frame(source.data, head, losses) for head in places[:count]]
    if places[-1][1] not in _PLAIN:
        losses += trailers.unknown(source.data[_raw_end(places[-1]) :].strip(_SPACE))
    return Picture(tuple(frames), Format.PNM).with_notes(((), losses))


def _places(data: bytes) -> list[re.Match[bytes]]:
    """Headers of all images of a file; a plain file has one.

    Raises:
        ImageRefusedError: `damaged`; `color_mode` for one of pure black and white behind others.
    """
    found: list[re.Match[bytes]] = []
    at = 0
    while len(found) <= MOST_FRAMES:
        head = _HEAD.match(data, at)
        if not head:
            kind = "pure black and white among others" if _BILEVEL.match(data, at) else ""
            raise color_mode(kind) if kind else damaged("its Netpbm header cannot be read")
        found.append(head)
        following = _NEXT.match(data, _raw_end(head))
        if head[1] in _PLAIN or not following:
            break
        at = following.end()
    return found


def _raw_end(head: re.Match[bytes]) -> int:
    """Offset behind the pixels of a raw image."""
    channels, size = 3 if head[1] in _COLOR else 1, 1 if int(head[4]) <= _BYTE else 2
    return head.end() + int(head[2]) * int(head[3]) * channels * size


def _frame(data: bytes, head: re.Match[bytes], losses: list[str]) -> Frame:
    width, height, largest = int(head[2]), int(head[3]), int(head[4])
    channels = 3 if head[1] in _COLOR else 1
    count = height * width * channels
    values: NDArray[Any] = (
        _numbers(_words(data[head.end() :], count, losses), largest)
        if head[1] in _PLAIN
        else _samples(data[head.end() : _raw_end(head)], largest)
    )
    if len(values) < count:
        raise truncated()
    if values.max(initial=0) > largest:
        raise damaged(f"a pixel is larger than {largest}")
    pixels = _scaled(values, largest, _white(largest)).reshape(height, width, channels)
    return Frame(pixels, encoding={"header": head[0], "largest": largest})


def _white(largest: int) -> int:
    return _BYTE if largest <= _BYTE else _MOST


def _scaled(values: NDArray[Any], old: int, new: int) -> NDArray[Sample]:
    """Scale samples from one largest value to another; to a larger one and back is exact."""
    depth: type[Sample] = np.uint8 if new <= _BYTE else np.uint16
    if old == new:
        return values.astype(depth)
    return ((values.astype(np.uint64) * new + old // 2) // old).astype(depth)


def _samples(raw: bytes, largest: int) -> NDArray[Sample]:
    if largest <= _BYTE:
        return np.frombuffer(raw, np.uint8)
    return np.frombuffer(raw[: len(raw) // 2 * 2], ">u2")


def _words(text: bytes, count: int, losses: list[str]) -> list[bytes]:
    """List so many numbers of a plain image; comments and what lies behind them are losses."""
    plain = _COMMENT.sub(b"", text)
    if plain != text:
        losses.append("the comments among its pixels are not in the output")
    words = plain.split(None, count)
    losses += trailers.unknown(b"".join(words[count:]).strip(_SPACE))
    return words[:count]


def _numbers(words: list[bytes], largest: int) -> NDArray[np.int64]:
    """Numbers of a plain image.

    Raises:
        ImageRefusedError: `damaged`.
    """
    # `int` would take signs and underscores for parts of a number.
    if b"".join(words).strip(b"0123456789"):
        raise damaged("its pixel data contains text")
    if max(map(len, words), default=0) > _MOST_DIGITS:
        raise damaged(f"a pixel has more than {_MOST_DIGITS} digits")
    values = np.array(words, dtype=np.int64) if words else np.empty(0, np.int64)
    if words and values.max() > largest:
        raise damaged(f"a pixel is outside of 0 to {largest}")
    return values


def _write(picture: Picture) -> bytes:
    """Write the images one behind the other, each with the source's header if there is one."""
    return b"".join(_image(frame) for frame in picture.frames)


def _image(frame: Frame) -> bytes:
    height, width, channels = frame.pixels.shape
    most = white(frame.pixels.dtype)
    largest: int = frame.encoding.get("largest", most)
    made = b"P%d\n%d %d\n%d\n" % (6 if channels > 1 else 5, width, height, largest)
    head: bytes = frame.encoding.get("header", made)
    values = _scaled(frame.pixels, most, largest)
    if head[1:2] not in _PLAIN:
        return head + values.astype(values.dtype.newbyteorder(">")).tobytes()
    words = [b"%d" % value for value in values.ravel().tolist()]
    lines = (
        b" ".join(words[at : at + _VALUES_A_LINE]) for at in range(0, len(words), _VALUES_A_LINE)
    )
    return head + b"\n".join(lines) + b"\n"


CONTAINER = Container(_probe, _read, _write)
