"""JPEG XL codestream header: size, depth, turn, animation, alpha and colours, and replacing these.

Owns the first bits of the codestream. Colours are kept as the bits that tell them: the writer can
only tell of sRGB, so its bits are replaced by the source's where samples are not converted.

Source: ISO/IEC 18181-1, annex D (image header) and E.2 (colour encoding).
"""

from __future__ import annotations

from dataclasses import dataclass

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.reading import damaged

SIGNATURE = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the header's ratio field less one."""
_SIZE_BITS = (9, 13, 18, 30)
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_CHROMATICITY = ((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))
_GRAY, _XYB = 1, 2
_CUSTOM = 2
_LONG = 3
"""Choice of a U64 of any length."""
_HALF_BITS = 16
"""Of a half-precision floating point number."""
_NOTHING_MORE = 0b100
"""Three bits behind the colours: no extensions, default transforms; then padding to a byte."""
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13


class Bits:
    """Bit reader for a codestream, least significant bit first.

    Args:
        data: the codestream or its beginning.
        at: the bit to begin with.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def number(self, count: int) -> int:
        """Read an unsigned number of so many bits; errors as `slice`."""
        found = self.slice(self.at, self.at + count)
        self.at += count
        return found

    def slice(self, start: int, end: int) -> int:
        """Read the bits between two places.

        Raises:
            ImageRefusedError: `damaged`, where they are not there.
        """
        if end > 8 * len(self._data):
            raise damaged("its JPEG XL header has no end")
        octets = self._data[start // 8 : -(-end // 8)]
        return int.from_bytes(octets, "little") >> start % 8 & (1 << end - start) - 1

    def choice(self, *options: tuple[int, int]) -> int:
        """Read a U32: two bits choose among base + u(bits)."""
        base, bits = options[self.number(2)]
        return base + self.number(bits)

    def long(self) -> int:
        """Read a U64."""
        kind = self.number(2)
        if kind < _LONG:
            return (0, 1, 17)[kind] + self.number(4 * kind)
        value, shift = self.number(12), 12
        while self.number(1):
            bits = min(8, 64 - shift)
            value |= self.number(bits) << shift
            shift += bits
            if shift == 64:  # noqa: PLR2004 - bits
                break
        return value

    def skip_extensions(self) -> None:
        """Pass what later versions of the format may add to a bundle of fields."""
        sizes = [self.long() for _ in range(self.long().bit_count())]
        self.at += sum(sizes)


@dataclass(frozen=True, slots=True)
class Colours:
    """Colour encoding: its bits, and what of them matters here."""

    bits: str
    """As they are stored, the first one last."""
    is_srgb: bool = True
    has_profile: bool = False
    """An ICC profile follows the header."""
    transfer: int | None = None
    """Transfer characteristics (H.273), where they are declared."""


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """Facts of a codestream."""

    height: int
    """Before it is turned, as the width."""
    width: int
    orientation: int = 1
    """1 (upright) to 8, as EXIF counts them."""
    animated: bool = False
    bits: int = 8
    """The most bits of any sample."""
    is_float: bool = False
    is_premultiplied: bool = False
    is_converted: bool = True
    """Its samples are XYB, which decoders convert to its colours."""
    colours: Colours = Colours("1")
    colours_at: int = 0
    """The bit at which the colour encoding begins; 0 where it is the default."""
    extras: int = 0
    """Channels beside the colours."""
    has_timecodes: bool = False
    """Of its frames."""
    end: int = 0
    """The bit behind all that is told here."""


def header_of(stream: bytes) -> JxlHeader:
    """Parse the header of a codestream, of which a kilobyte is enough.

    Raises:
        ImageRefusedError: `damaged`; `format_not_allowed` or `color_mode` for features that are not
            read.
    """
    bits = Bits(stream)
    bits.number(16)
    height, width = _size(bits)
    if bits.number(1):  # all default
        return JxlHeader(height, width, end=bits.at)
    has_more = bits.number(1)
    orientation, animated, has_timecodes = _extra_fields(bits) if has_more else (1, False, False)
    depth, is_float = _depth(bits)
    bits.number(1)  # 16-bit buffers suffice
    premultiplied = False
    extras = bits.choice((0, 0), (1, 0), (2, 4), (1, 12))
    for _ in range(extras):
        alpha_depth, alpha_is_float, premultiplied = _alpha(bits)
        depth, is_float = max(depth, alpha_depth), is_float or alpha_is_float
    is_converted, at = bool(bits.number(1)), bits.at
    colours = _colours(bits)
    if has_more and not bits.number(1):  # brightness of the screen
        bits.at += 3 * _HALF_BITS + 1
    bits.skip_extensions()
    return JxlHeader(
        height, width, orientation, animated, depth, is_float, premultiplied, is_converted,
        colours, at, extras, has_timecodes, bits.at,
    )  # fmt: skip


def with_colours(stream: bytes, colours: Colours) -> bytes:
    """Replace the colours that a codestream's header declares; its samples stay.

    Args:
        stream: as libjxl writes it without converting colours, still and upright.
        colours: without an ICC profile.
    """
    header = header_of(stream)
    end = header.colours_at + len(header.colours.bits)
    bits = Bits(stream[: end // 8 + 2])
    assert header.colours_at  # noqa: S101 - libjxl wrote it without converting
    assert bits.slice(end, end + 3) == _NOTHING_MORE  # noqa: S101 - likewise
    bits_out = bits.slice(0, header.colours_at) | int(colours.bits, 2) << header.colours_at
    new_end = header.colours_at + len(colours.bits)
    bits_out |= _NOTHING_MORE << new_end
    return bits_out.to_bytes(-(-(new_end + 3) // 8), "little") + stream[-(-(end + 3) // 8) :]


def _size(bits: Bits) -> tuple[int, int]:
    small = bits.number(1)
    height = _side(bits, small=bool(small))
    ratio = bits.number(3)
    if not ratio:
        return height, _side(bits, small=bool(small))
    wide, high = _RATIOS[ratio - 1]
    return height, height * wide // high


def _side(bits: Bits, *, small: bool) -> int:
    if small:
        return 8 * (1 + bits.number(5))
    return bits.choice(*((1, count) for count in _SIZE_BITS))


def _extra_fields(bits: Bits) -> tuple[int, bool, bool]:
    """Read orientation, whether it is animated, and whether frames have timecodes."""
    orientation, has_timecodes = 1 + bits.number(3), False
    if bits.number(1):  # intrinsic size
        _size(bits)
    if bits.number(1):
        raise ImageRefusedError(Reason.FORMAT_NOT_ALLOWED, "a JPEG XL with a preview is not read")
    animated = bool(bits.number(1))
    if animated:
        bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
        bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
        bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
        has_timecodes = bool(bits.number(1))
    return orientation, animated, has_timecodes


def _depth(bits: Bits) -> tuple[int, bool]:
    """Read bits per sample, and whether they are floating point numbers."""
    if bits.number(1):
        depth = bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
        bits.number(4)
        return depth, True
    return bits.choice((8, 0), (10, 0), (12, 0), (1, 6)), False


def _alpha(bits: Bits) -> tuple[int, bool, bool]:
    """Read depth and form of an alpha channel and whether colours are multiplied by it."""
    if bits.number(1):  # all default
        return 8, False, False
    kind = bits.choice(*_ENUM)
    depth, is_float = _depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    name_bytes = bits.choice((0, 0), (0, 4), (16, 5), (48, 10))
    bits.number(8 * name_bytes)
    if kind:
        raise ImageRefusedError(
            Reason.COLOR_MODE, "it has channels beside colour and alpha, which would be lost"
        )
    return depth, is_float, bool(bits.number(1))


def _colours(bits: Bits) -> Colours:
    at = bits.at
    if bits.number(1):  # all default
        return Colours("1")
    has_profile, space = bool(bits.number(1)), bits.choice(*_ENUM)
    is_d65 = is_srgb = True
    transfer = None
    if not has_profile and space != _XYB:
        is_d65 = _points(bits, 1) == 1
        is_srgb = space == _GRAY or _points(bits, 3) == _SRGB_PRIMARIES
        has_gamma = bits.number(1)
        bits_out = bits.number(24) if has_gamma else bits.choice(*_ENUM)
        transfer = None if has_gamma else bits_out
        bits.choice(*_ENUM)  # rendering intent
    as_stored = f"{bits.slice(at, bits.at):0{bits.at - at}b}"
    is_srgb &= is_d65 and transfer == _SRGB_TRANSFER and not has_profile
    return Colours(as_stored, is_srgb, has_profile, transfer)


def _points(bits: Bits, count: int) -> int:
    """Read a white point or primaries by their number, with so many points where it says so."""
    number = bits.choice(*_ENUM)
    for _ in range(2 * count if number == _CUSTOM else 0):
        bits.choice(*_CHROMATICITY)
    return number
