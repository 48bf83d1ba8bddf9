"""PNG text chunks: raw profiles, XMP packets, and detection of GPS data.

Owns which chunks tell a position and how XMP and other profiles lie in one. Reads the contents
of chunks, whose checksums were verified.

Source: PNG specification (third edition) section 11.3.3; XMP specification part 3, 1.1.5; the raw
profiles are ImageMagick's.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from sharpend.imaging.inflating import inflated_bytes
from sharpend.imaging.metadata import exif, photoshop, xmp
from sharpend.imaging.reading import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

XMP_KEYWORD = b"XML:com.adobe.xmp"
_LONGEST_KEYWORD = 79

_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PROFILE_KEYWORD = re.compile(rb"raw profile type (.+)", re.IGNORECASE)
_PROFILE_TEXT = re.compile(rb"\n[^\n]*\n\s*\d+\n([0-9a-fA-F\s]*)")
"""A line with a title, one with the length, and hexadecimal digits."""
_TELLING_KEYWORD = re.compile(
    rb"(.*:)?(gps|geo|location|latitude|longitude|coordinates).*|xml:com\.adobe\.xmp", re.IGNORECASE
)
"""ImageMagick's exif:GPSLatitude and its like."""
_ITXT = re.compile(rb"(?P<start>[^\0]{1,79}\0(?P<compressed>[\0\1])\0[^\0]*\0[^\0]*\0)", re.DOTALL)
_XMP_CHUNK_START = XMP_KEYWORD + bytes(5)
"""Not compressed, no language, no translated keyword."""


def profile_name(kind: bytes, body: bytes) -> str | None:
    """Read the name, in lower case, of the raw profile in a text chunk; None if it holds none.

    Args:
        kind: the chunk's type, as b"tEXt".
        body: its content.
    """
    found = _PROFILE_KEYWORD.fullmatch(_keyword(body)) if kind in _TEXT else None
    return found[1].decode("latin-1").lower() if found else None


def profile_of(kind: bytes, body: bytes) -> bytes:
    """Decode the raw profile of a chunk.

    Raises:
        ValueError: it is damaged, or inflates to more than 16 MiB.
    """
    found = _PROFILE_TEXT.fullmatch(_text(kind, body))
    if not found:
        raise ValueError("the text is no raw profile")
    return bytes.fromhex(found[1].decode("ascii"))


def holds_gps(kind: bytes, body: bytes) -> bool:
    """Return whether a text chunk holds, or may hold, GPS data, XMP's own chunk (iTXt) excepted.

    Raw profiles are looked into, and one that is not understood counts as one that does. So do
    XMP in a chunk of the wrong type, and single properties whose names begin with GPS.
    """
    if kind not in _TEXT or is_xmp(kind, body):
        return False
    name = profile_name(kind, body)
    if name is None:
        return bool(_TELLING_KEYWORD.fullmatch(_keyword(body)))
    if name not in _CLEANERS:
        return name not in _COLOURS
    try:
        profile = profile_of(kind, body)
        return _CLEANERS[name](profile) != profile
    except ValueError:
        return True


def _clean_app1(profile: bytes) -> bytes:
    packet = profile.removeprefix(_XMP_SEGMENT)
    return (
        exif.without_gps(profile) if packet == profile else _XMP_SEGMENT + xmp.without_gps(packet)
    )


def _clean_iptc(profile: bytes) -> bytes:
    """Remove GPS data from an IPTC profile, which some writers fill with Photoshop resources."""
    return profile if profile.startswith(_IPTC_RECORD) else photoshop.without_gps(profile)


_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
"""Prefix of a JPEG segment with XMP."""
_IPTC_RECORD = b"\x1c"
_COLOURS = frozenset({"icc", "icm"})
_CLEANERS: Mapping[str, Callable[[bytes], bytes]] = {
    "exif": exif.without_gps,
    "app1": _clean_app1,
    "xmp": xmp.without_gps,
    "8bim": photoshop.without_gps,
    "iptc": _clean_iptc,
}


def packed_part(kind: bytes, body: bytes) -> bytes | None:
    """Return the compressed part of a text chunk, b"" for one without.

    None if the chunk is not well-formed; chunks of other types are.
    """
    if kind not in _TEXT:
        return b""
    keyword, end, rest = body.partition(b"\0")
    if not end or not 0 < len(keyword) <= _LONGEST_KEYWORD:
        return None
    if kind == b"iTXt":
        found = _ITXT.match(body)
        if not found:
            return None
        return body[found.end() :] if found["compressed"] == b"\1" else b""
    return rest[1:] if kind == b"zTXt" else b""


def is_xmp(kind: bytes, body: bytes) -> bool:
    """Return whether a chunk holds an XMP packet."""
    return kind == b"iTXt" and _keyword(body) == XMP_KEYWORD


def xmp_of(body: bytes) -> bytes:
    """Extract the XMP packet of a chunk's content, inflated if it is compressed.

    Raises:
        ValueError: the content is damaged, or inflates to more than 16 MiB.
    """
    return _text(b"iTXt", body)


def behind_xmp(body: bytes) -> bytes:
    """Return what lies behind the end of a compressed XMP packet in a chunk's content.

    Raises:
        ValueError: as `xmp_of`.
    """
    found = _match(body)
    packed = body[found.end() :]
    return _inflated(packed)[1] if found["compressed"] == b"\1" else b""


def with_xmp(body: bytes, packet: bytes) -> bytes:
    """Replace the XMP packet in a chunk's content, compressed if it was; b"" makes a new one.

    Raises:
        ValueError: the content is damaged.
    """
    found = _match(body or _XMP_CHUNK_START)
    return found[0] + (zlib.compress(packet) if found["compressed"] == b"\1" else packet)


def _text(kind: bytes, body: bytes) -> bytes:
    if kind == b"iTXt":
        found = _match(body)
        text = body[found.end() :]
        return _inflated(text)[0] if found["compressed"] == b"\1" else text
    text = body.partition(b"\0")[2]
    return _inflated(text[1:])[0] if kind == b"zTXt" else text


def _match(body: bytes) -> re.Match[bytes]:
    found = _ITXT.match(body)
    if not found:
        raise ValueError("the text chunk is damaged")
    return found


def _keyword(body: bytes) -> bytes:
    return body.partition(b"\0")[0]


def _inflated(data: bytes) -> tuple[bytes, bytes]:
    """Inflate a stream: its content, and what lies behind it.

    It is counted first, so that what is too large takes no memory.
    """
    stream = zlib.decompressobj()
    try:
        is_whole = inflated_bytes([data], LARGEST + 1)[0] <= LARGEST
        content = stream.decompress(data) if is_whole else b""
    except zlib.error as error:
        raise ValueError("the text chunk is damaged") from error
    if not stream.eof:
        raise ValueError("the text chunk ends early, or is too large")
    return content, stream.unused_data
