"""Netpbm PPM and PGM, plain and raw, with 8 or 16 bits: read and write.

Owns the whole format: it is a header in text and then numbers. The header is written again as it
was, comments and all. PBM (P1, P4) is black and white, which is a matter of policy; PFM is float.

Source: the ppm and pgm manual pages of Netpbm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers.container import Container
from sharpend.imaging.depth import white
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.reading import damaged, truncated
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample
    from sharpend.imaging.reading import Reader
    from sharpend.imaging.source import Source

_LONGEST_HEADER = 1 << 16
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEAD = re.compile(
    rb"P([2356])%(gap)s(\d{1,9})%(gap)s(\d{1,9})%(gap)s(\d{1,5})(?:#[^\r\n]*[\r\n])?\s"
    % {b"gap": _GAP}
)
_BILEVEL = re.compile(rb"P[14]%(gap)s(\d{1,9})%(gap)s(\d{1,9})\s" % {b"gap": _GAP})
_PLAIN, _COLOR = b"23", b"36"
_BITS = {255: 8, 65_535: 16}
_COMMENT = re.compile(rb"#[^\r\n]*")
_VALUES_A_LINE = 12
"""Plain files should have no line over 70 characters."""


def _probe(reader: Reader) -> Header:
    """Read the header."""
    start = _start(reader)
    bilevel = _BILEVEL.match(start)
    if bilevel:
        return Header(Format.PNM, int(bilevel[2]), int(bilevel[1]), bits=1)
    head = _HEAD.match(start)
    if not head:
        raise damaged("its Netpbm header cannot be read")
    largest = int(head[4])
    if largest not in _BITS:
        raise ImageRefusedError(
            Reason.BIT_DEPTH, f"its largest value is {largest}; 255 and 65535 are sharpened"
        )
    return Header(Format.PNM, int(head[3]), int(head[2]), _BITS[largest])


def _start(reader: Reader) -> bytes:
    start = b""
    for size in (64, 1024, _LONGEST_HEADER):  # most have a dozen bytes
        start = reader.up_to(0, size)
        if _HEAD.match(start) or _BILEVEL.match(start) or len(start) < size:
            break
    return start


def _read(source: Source) -> Picture:
    """Read the image, and keep its header among the save options."""
    if source.header.bits == 1:
        return source.bilevel()
    data = source.data
    head = _HEAD.match(data)
    if not head:
        raise damaged("its Netpbm header cannot be read")
    width, height, largest = int(head[2]), int(head[3]), int(head[4])
    channels = 3 if head[1] in _COLOR else 1
    raw = data[head.end() :]
    values = _numbers(raw, largest) if head[1] in _PLAIN else _samples(raw, largest)
    count = height * width * channels
    if len(values) < count:
        raise truncated()
    # Plain text may say anything behind its image; raw files begin the next one there.
    if len(values) > count and head[1] not in _PLAIN:
        raise ImageRefusedError(Reason.PAGES, "another image follows in the same file")
    pixels = values[:count].reshape(height, width, channels)
    return Picture((Frame(pixels, encoding={"header": head[0]}),), Format.PNM)


def _samples(raw: bytes, largest: int) -> NDArray[Sample]:
    if _BITS[largest] == 8:  # noqa: PLR2004 - bits
        return np.frombuffer(raw, np.uint8).copy()
    return np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype(np.uint16)


def _numbers(text: bytes, largest: int) -> NDArray[Sample]:
    words = _COMMENT.sub(b"", text).split()
    try:
        values = np.array(words, dtype=np.int64) if words else np.empty(0, np.int64)
    except (ValueError, OverflowError) as error:
        raise damaged("its pixel data contains text") from error
    if words and (values.min() < 0 or values.max() > largest):
        raise damaged(f"a pixel is outside of 0 to {largest}")
    depth: type[Sample] = np.uint8 if _BITS[largest] == 8 else np.uint16  # noqa: PLR2004 - bits
    return values.astype(depth)


def _write(picture: Picture) -> bytes:
    """Write the file, with the source's header if there is one."""
    frame = picture.frames[0]
    pixels = frame.pixels
    height, width, channels = pixels.shape
    largest = white(pixels.dtype)
    made = b"P%d\n%d %d\n%d\n" % (6 if channels > 1 else 5, width, height, largest)
    head: bytes = frame.encoding.get("header", made)
    if head[1:2] not in _PLAIN:
        return head + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    words = [b"%d" % value for value in pixels.ravel().tolist()]
    lines = (
        b" ".join(words[at : at + _VALUES_A_LINE]) for at in range(0, len(words), _VALUES_A_LINE)
    )
    return head + b"\n".join(lines) + b"\n"


CONTAINER = Container(_probe, _read, _write)
