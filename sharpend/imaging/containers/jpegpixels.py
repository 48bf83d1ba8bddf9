"""JPEG decoding: pixels, and libjpeg's warnings about the compressed data.

imagecodecs reads what `jpegwalk` finds sound. Of the rest libtiff, which reads JPEG data through
libjpeg, reports libjpeg's warnings, and imagecodecs logs them; Pillow and imagecodecs' own reader
keep them to themselves. So that data is decoded as the only strip of a TIFF. Each of them is the
same library with the same settings as Pillow's, so the pixels are equal. Of several warnings
libjpeg reports the first.

Source: libjpeg's jerror.h (JWRN_...) and jdapimin.c (the colours of a file); TIFF 6.0 section 22
and TIFF Technical Note 2.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from sharpend.imaging.containers.codecwarnings import listening
from sharpend.imaging.containers.jpeglayout import (
    APP0,
    APP14,
    END_MARK,
    SCAN,
    Parts,
    Segment,
    is_metadata,
)
from sharpend.imaging.containers.jpegwalk import CORRUPT, counted, is_sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_LIMITS = {
    "LIBTIFF_ALLOW_LARGE_LIBJPEG_MEM_ALLOC": "1",
    "LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER": "1000000",
}
"""libtiff's own limits, read from the environment; ours have been checked before."""
_PHOTOMETRIC = {1: 1, 3: 6, 4: 5}
"""TIFF's gray, YCbCr and CMYK, by the number of components."""
COMPONENTS_AT, COMPONENT_BYTES = 6, 3
"""In a frame header: offset of the components, length of each."""
SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
WHOLE_BLOCK = bytes((0, 63, 0))
"""Spectral selection and approximation of a sequential scan, which libjpeg warns of and ignores."""
_SAMPLING_AT = 7
"""Offset in a frame header of the first component's sampling."""
_ONE_TO_ONE = 0x11
_SHORT, _LONG = 3, 4
_JFIF_BYTES, _ADOBE_BYTES = 14, 12
"""Lengths from which libjpeg takes these segments for what they say."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Result of decoding."""

    pixels: NDArray[np.uint8] | None
    """H x W x 1 or H x W x 3, as Pillow reads them; None where libtiff gives others: CMYK, RGB
    components, samplings that it refuses."""
    warning: str | None
    """libjpeg's first warning, "" without one; None where libtiff reads no such JPEG."""


def decoded(parts: Parts) -> Decoded:
    """Decode the image, whatever libjpeg warns of."""
    count = parts.body(parts.frame)[COMPONENTS_AT - 1]
    if count not in _PHOTOMETRIC:
        return Decoded(None, None)
    is_plain = count == 1 or (count == len("YCC") and _stores_ycc(parts))
    if is_sound(parts):
        return Decoded(_of_sound(parts) if is_plain else None, "")
    return _by_libtiff(parts, is_plain=is_plain)


def _of_sound(parts: Parts) -> NDArray[np.uint8] | None:
    """Pixels of an image without warnings; None where libjpeg wants to read no such image."""
    data = parts.stream(lambda each: defines_colours(each.marker, parts.body(each)))
    try:
        values = imagecodecs.jpeg8_decode(data)
    except (imagecodecs.Jpeg8Error, ValueError):
        return None
    return values.reshape(*values.shape[:2], -1)


def _by_libtiff(parts: Parts, *, is_plain: bool) -> Decoded:
    heard: list[str] = []
    with listening(heard), _without_limits():
        try:
            values = imagecodecs.tiff_decode(_as_tiff(parts), verbose=1)
        except (imagecodecs.TiffError, ValueError, IndexError):  # the last: no such sampling
            return Decoded(None, None)
    warning = next((text for text in heard if text.startswith(CORRUPT)), "")
    values = values.reshape(*values.shape[:2], -1)
    return Decoded(_packed(values) if is_plain else None, counted(parts, warning))


def _packed(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy pixels that lie four bytes apart, channel by channel: numpy's own way takes longer."""
    packed = np.empty(values.shape, np.uint8)
    for channel in range(values.shape[2]):
        packed[..., channel] = values[..., channel]
    return packed


def _stores_ycc(parts: Parts) -> bool:
    """Return whether libjpeg takes three components for YCbCr, and not for RGB."""
    adobe, is_jfif = None, False
    for segment in parts.segments:
        if segment.marker == SCAN:
            break
        body = parts.body(segment)
        if defines_colours(segment.marker, body):
            is_jfif |= segment.marker == APP0
            adobe = body[11] if segment.marker == APP14 else adobe
    if is_jfif or adobe is not None:
        return is_jfif or adobe != 0
    return parts.body(parts.frame)[COMPONENTS_AT::COMPONENT_BYTES] != b"RGB"


def defines_colours(marker: int, body: bytes) -> bool:
    """Return whether libjpeg learns the colours from a segment: JFIF's or Adobe's, and whole."""
    if marker == APP0:
        return body.startswith(b"JFIF\0") and len(body) >= _JFIF_BYTES
    return marker == APP14 and body.startswith(b"Adobe") and len(body) >= _ADOBE_BYTES


@contextmanager
def _without_limits() -> Iterator[None]:
    """Lift libtiff's limits."""
    before = {name: os.environ.get(name) for name in _LIMITS}
    os.environ.update(_LIMITS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _as_tiff(parts: Parts) -> bytes:
    """Make a TIFF with the JPEG, without metadata, as its only strip."""
    frame = parts.body(parts.frame)
    bits, height, width, count = struct.unpack(">BHHB", frame[:COMPONENTS_AT])
    coded = b"".join([b"\xff\xd8", *(_essential(parts, each) for each in parts.segments), END_MARK])
    sampling = frame[_SAMPLING_AT] if count == len("YCC") else _ONE_TO_ONE
    tags = [
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (bits,) * count),
        (259, _SHORT, (7,)),  # compression: JPEG
        (262, _SHORT, (_PHOTOMETRIC[count],)),
        (273, _LONG, (0,)),  # where the strip begins, filled in below
        (277, _SHORT, (count,)),
        (278, _LONG, (height,)),
        (279, _LONG, (len(coded),)),
        (284, _SHORT, (1,)),
        (530, _SHORT, (sampling >> 4, sampling & 15)),
    ]
    return _directory(tags) + coded


def _directory(tags: list[tuple[int, int, tuple[int, ...]]]) -> bytes:
    """Pack a little-endian TIFF's header and directory; the strip follows."""
    spare = 8 + 2 + 12 * len(tags) + 4
    longs = sum(len(values) * 2 for _, kind, values in tags if kind == _SHORT and len(values) > 2)  # noqa: PLR2004 - what fits into an entry
    made, further = [struct.pack("<2sHIH", b"II", 42, 8, len(tags))], b""
    for tag, kind, values in tags:
        if tag == 273:  # noqa: PLR2004 - StripOffsets
            values = (spare + longs,)  # noqa: PLW2901
        body = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        if len(body) > 4:  # noqa: PLR2004 - as above
            body, further = struct.pack("<I", spare + len(further)), further + body
        made.append(struct.pack("<HHI4s", tag, kind, len(values), body))
    return b"".join([*made, bytes(4), further])


def _essential(parts: Parts, segment: Segment) -> bytes:
    """Bytes of a segment without what libjpeg would warn of first although it does no harm."""
    data = parts.data[segment.start : segment.coded_end]
    if is_metadata(segment.marker):
        return b""
    if segment.marker == SCAN and parts.frame.marker in SEQUENTIAL:
        at = segment.end - segment.start
        return data[: at - len(WHOLE_BLOCK)] + WHOLE_BLOCK + data[at:]
    if segment is parts.frame and data[4 + COMPONENTS_AT - 1] == 1:
        # A single component's sampling means nothing, and libtiff wants it to be 1 x 1.
        at = 4 + _SAMPLING_AT
        return data[:at] + bytes((_ONE_TO_ONE,)) + data[at + 1 :]
    return data
