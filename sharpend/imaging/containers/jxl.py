"""JPEG XL: parse the header of bare codestreams and of containers.

Owns the first bits of the codestream: size, depth, animation, and whether the numbers are exact.
Pixels are the plugin's, which decodes while it opens; so all limits are checked here.

Source: ISO/IEC 18181-1, annex D (image header); 18181-2 (container).
"""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import pillow
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.isobmff import boxes, check_whole
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc
from sharpend.imaging.metadata.blocks import Block, Carried, Kind
from sharpend.imaging.reading import Reader, damaged
from sharpend.imaging.source import Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from sharpend.imaging.containers.isobmff import Box
    from sharpend.imaging.containers.pillow import Options, Told
    from sharpend.imaging.source import Source

_NAKED = b"\xff\x0a"
_ENOUGH_BYTES = 256
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the header's ratio field less one."""
_SIZE_BITS = (9, 13, 18, 30)
_MAX_BOXES = 1000
_QUALITY = 95


class _Bits:
    """Bit reader for a codestream, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def number(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise damaged("its JPEG XL header has no end")
        found = self._value & (1 << count) - 1
        self._value >>= count
        return found

    def choice(self, *options: tuple[int, int]) -> int:
        """Read a U32: two bits choose among base + u(bits)."""
        base, bits = options[self.number(2)]
        return base + self.number(bits)


def _probe(reader: Reader) -> Header:
    """Read size, depth, animation and losslessness."""
    bits = _Bits(_codestream(reader)[2:])
    height, width = _size(bits)
    depth, animated, exact = _metadata(bits)
    has_jpeg = any(box.kind == b"jbrd" for box in _boxes(reader))
    return Header(
        Format.JXL, height, width, depth, lossless=exact and not has_jpeg, animated=animated
    )


def _codestream(reader: Reader) -> bytes:
    if reader.at(0, 2) == _NAKED:
        return reader.up_to(0, _ENOUGH_BYTES)
    for box in _boxes(reader):
        if box.kind in {b"jxlc", b"jxlp"}:
            return reader.up_to(box.start + 4 * (box.kind == b"jxlp"), _ENOUGH_BYTES)
    raise damaged("its JPEG XL container has no image")


def _boxes(reader: Reader) -> Iterator[Box]:
    """Parse the boxes of a container; none for a bare codestream."""
    return islice(boxes(reader), 0 if reader.at(0, 2) == _NAKED else _MAX_BOXES)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.number(1)
    height = _side(bits, small=bool(small))
    ratio = bits.number(3)
    if not ratio:
        return height, _side(bits, small=bool(small))
    wide, high = _RATIOS[ratio - 1]
    return height, height * wide // high


def _side(bits: _Bits, *, small: bool) -> int:
    if small:
        return 8 * (1 + bits.number(5))
    return bits.choice(*((1, count) for count in _SIZE_BITS))


def _metadata(bits: _Bits) -> tuple[int, bool, bool]:
    """Read bits per sample (32 for floats), and whether animated and lossless."""
    if bits.number(1):  # all default
        return 8, False, False
    animated = False
    if bits.number(1):  # extra fields
        if bits.number(3):
            raise ImageRefusedError(
                Reason.FORMAT_NOT_ALLOWED,
                "its JPEG XL is rotated by a property that would be lost; rotate its pixels",
            )
        if bits.number(1):  # intrinsic size
            _size(bits)
        if bits.number(1):
            raise damaged("a JPEG XL with a preview is not read")
        animated = bool(bits.number(1))
        if animated:
            _skip_animation(bits)
    depth = _depth(bits)
    bits.number(1)  # 16-bit buffers suffice
    for _ in range(bits.choice((0, 0), (1, 0), (2, 4), (1, 12))):
        depth = max(depth, _extra_channel_depth(bits))
    return depth, animated, not bits.number(1)


def _skip_animation(bits: _Bits) -> None:
    bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
    bits.number(1)


def _depth(bits: _Bits) -> int:
    if bits.number(1):  # floating point
        bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
        bits.number(4)
        return 32
    return bits.choice((8, 0), (10, 0), (12, 0), (1, 6))


def _extra_channel_depth(bits: _Bits) -> int:
    """Read the bit depth of an alpha channel; refuse any other extra channel."""
    if bits.number(1):  # all default: alpha of 8 bits
        return 8
    kind = bits.choice((0, 0), (1, 0), (2, 4), (18, 6))
    depth = _depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    name_bytes = bits.choice((0, 0), (0, 4), (16, 5), (48, 10))
    bits.number(8 * name_bytes)
    if kind:
        raise damaged("a JPEG XL with channels beside alpha is not read")
    bits.number(1)  # premultiplied
    return depth


def _check_whole(data: bytes) -> None:
    """Refuse a container that ends inside a box; a bare codestream does not store its length."""
    if not data.startswith(_NAKED):
        check_whole(data)


def _carried(source: Source, image: Image.Image) -> Told:
    """EXIF and ICC profile from the plugin, and the uncompressed XMP of a container."""
    carried, notes = pillow.told(source, image)
    xmp = [
        Block(Kind.XMP, source.data[box.start : box.end])
        for box in _boxes(Reader(BytesIO(source.data)))
        if box.kind == b"xml "
    ]
    return Carried((*carried.blocks, *xmp)), notes


def _options(source: Source, _image: Image.Image, _count: int) -> Options:
    return {"lossless": True} if source.header.lossless else {"quality": _QUALITY}


def _count(image: Image.Image, header: Header) -> int:
    if header.animated:
        raise ImageRefusedError(
            Reason.ANIMATED, "an animated JPEG XL; only stills of this format are sharpened"
        )
    return pillow.frame_count(image, header)


def _check_range(source: Source, carried: Carried) -> None:
    pillow.check_range(source, carried)
    color.check_srgb(icc.profile_of(carried))


_READING = pillow.Reading(_carried, _options, count=_count, check=_check_range)
CONTAINER = Container(_probe, _READING, pillow.write, _check_whole, xmp_at=b"")
