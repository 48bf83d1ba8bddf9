"""Small files that promise, or unfold to, far more than an image: made whole, byte by byte."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from sharpend.imaging import extras
from sharpend.imaging.containers.pngchunks import chunk
from sharpend.imaging.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GIGABYTE = 1 << 30
MANY = 1 << 27
"""Bytes of what is inflated piece by piece and thrown away: more than the tests allow in memory."""
FRAMES = 30_000
"""Three times what is allowed at most."""
PNG = b"\x89PNG\r\n\x1a\n"


def _header(width: int, height: int) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def png_header() -> bytes:
    """65 bytes that declare 16384 x 16384 pixels."""
    return _header(16_384, 16_384) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg_header() -> bytes:
    """5 kB that declare 64250 x 64250 pixels."""
    whole = _saved("JPEG", Image.new("L", (64, 48)), comment=bytes(4500))
    return whole.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 64_250, 64_250))


def zeros(size: int) -> bytes:
    """A zlib stream that inflates to so many zeros (a multiple of a megabyte), made in no time."""
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = made.compress(bytes(1 << 20)) + made.flush(zlib.Z_FULL_FLUSH)
    checksum = (size % 65_521) << 16 | 1
    return b"\x78\xda" + block * (size >> 20) + b"\x03\x00" + checksum.to_bytes(4)


def png_with(kind: bytes, head: bytes) -> bytes:
    """A small whole PNG with a chunk that inflates to a gigabyte."""
    body = _saved("PNG", Image.new("RGB", (32, 32), "teal"))
    return body[:33] + chunk(kind, head + zeros(GIGABYTE)) + body[33:]


def png_pixels() -> bytes:
    """A PNG of 32 x 32 pixels whose pixel data inflates to 128 MiB."""
    return _header(32, 32) + chunk(b"IDAT", zeros(MANY)) + chunk(b"IEND", b"")


def exif_count() -> bytes:
    """A JPEG whose EXIF reports 65,535 entries, each of four thousand million bytes."""
    entry = struct.pack("<HHII", 0x9286, 7, 0xFFFFFFFF, 8)
    block = b"II*\0\x08\0\0\0\xff\xff" + entry * 5000
    return _saved("JPEG", Image.new("RGB", (32, 32)), exif=b"Exif\0\0" + block)


def exif_loop() -> bytes:
    """A JPEG whose EXIF directories point to themselves and to each other."""
    entries = [(0x8769, 8), (0x8825, 8), (0xA005, 8)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, place) for tag, place in entries)
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", 8)
    return _saved("JPEG", Image.new("RGB", (32, 32)), exif=b"Exif\0\0" + block)


def gif_frames() -> bytes:
    """A GIF of 30,000 frames, each of 32 x 32 pixels."""
    still = _saved("GIF", Image.new("P", (32, 32)))
    at = still.index(b",")
    return still[:at] + still[at:-1] * FRAMES + b";"


def apng_frames() -> bytes:
    """An APNG of 30,000 frames."""
    still = zlib.compress(bytes(33 * 32))
    control = struct.Struct(">IIIIIHHBB")
    parts = [_header(32, 32), chunk(b"acTL", struct.pack(">II", FRAMES, 0))]
    parts += [chunk(b"fcTL", control.pack(0, 32, 32, 0, 0, 1, 10, 0, 0)), chunk(b"IDAT", still)]
    for number in range(1, FRAMES):
        parts.append(chunk(b"fcTL", control.pack(2 * number - 1, 32, 32, 0, 0, 1, 10, 0, 0)))
        parts.append(chunk(b"fdAT", struct.pack(">I", 2 * number) + still))
    return b"".join([*parts, chunk(b"IEND", b"")])


def webp_frames() -> bytes:
    """A WebP of 30,000 frames."""
    still = _saved("WEBP", Image.new("RGB", (32, 32)), lossless=True)[12:]
    side = (31).to_bytes(3, "little")
    frame = bytes(6) + side + side + (40).to_bytes(3, "little") + b"\2" + still
    frames = (b"ANMF" + len(frame).to_bytes(4, "little") + frame) * FRAMES
    head = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + side + side
    body = b"WEBP" + head + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frames
    return b"RIFF" + len(body).to_bytes(4, "little") + body


_PAGE: Mapping[int, tuple[int, int, int]] = {
    256: (4, 1, 16), 257: (4, 1, 16), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
    273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, 16), 279: (4, 1, 256),
}  # fmt: skip


def tiff(following: Callable[[int], int] = lambda _: 0, **tags: tuple[int, int, int]) -> bytes:
    """A gray TIFF of 16 x 16 pixels; where its next page is follows from its own place."""
    place = 8 + 256
    entries = {**_PAGE, **{int(tag[1:]): entry for tag, entry in tags.items()}}
    body = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    page = struct.pack("<H", len(entries)) + body + struct.pack("<I", following(place))
    return b"II*\0" + place.to_bytes(4, "little") + bytes(256) + page


def tiff_pages() -> bytes:
    """A TIFF of 65,000 pages, one behind the other."""
    one = tiff()
    page = one[264:-4]
    parts, place = [one[:264]], 264
    for _ in range(65_000):
        place += len(page) + 4
        parts += [page, place.to_bytes(4, "little")]
    return b"".join([*parts, page, bytes(4)])


def tiff_nested() -> bytes:
    """A TIFF whose EXIF directory holds one that holds one, ten thousand deep."""
    one = tiff(t34665=(4, 1, 0))
    parts, place = [one.replace(struct.pack("<HHII", 34665, 4, 1, 0), b"")], len(one)
    parts = [tiff(t34665=(4, 1, place))]
    for _ in range(10_000):
        place += 2 + 12 + 4
        parts.append(struct.pack("<HHHIII", 1, 34665, 4, 1, place, 0))
    return b"".join(parts)


def _side(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def avif_header() -> bytes:
    """An AVIF that declares 60000 x 60000 pixels."""
    whole = _saved("AVIF", Image.new("RGB", (64, 48)))
    return _side(whole, struct.pack(">II", 64, 48), struct.pack(">II", 60_000, 60_000))


def heic_header() -> bytes:
    """A HEIC that declares as many."""
    extras.load(Format.HEIC)
    whole = _saved("HEIF", Image.new("RGB", (64, 64)))
    return _side(whole, struct.pack(">II", 64, 64), struct.pack(">II", 60_000, 60_000))


def jxl_header() -> bytes:
    """A JPEG XL of a few bytes that declares 2^30 pixels to each side."""
    bits = [0, 1, 1] + [1] * 30 + [0, 0, 0] + [1, 1] + [1] * 30
    value = sum(bit << at for at, bit in enumerate(bits))
    return b"\xff\x0a" + value.to_bytes(64, "little")


def _saved(target: str, picture: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, target, **options)
    return file.getvalue()


BOMBS: Mapping[str, Callable[[], bytes]] = {
    "header.png": png_header,
    "header.jpg": jpeg_header,
    "header.avif": avif_header,
    "header.heic": heic_header,
    "header.jxl": jxl_header,
    "ztxt.png": lambda: png_with(b"zTXt", b"a\0\0"),
    "itxt.png": lambda: png_with(b"iTXt", b"a\0\1\0\0\0"),
    "xmp.png": lambda: png_with(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"),
    "iccp.png": lambda: png_with(b"iCCP", b"a\0\0"),
    "pixels.png": png_pixels,
    "exif-count.jpg": exif_count,
    "exif-loop.jpg": exif_loop,
    "frames.gif": gif_frames,
    "frames.png": apng_frames,
    "frames.webp": webp_frames,
    "loop.tif": lambda: tiff(lambda place: place),
    "subloop.tif": lambda: tiff(t330=(4, 1, 264)),
    "exif-loop.tif": lambda: tiff(t34665=(4, 1, 264)),
    "pages.tif": tiff_pages,
    "nested.tif": tiff_nested,
    "tiles.tif": lambda: tiff(
        t322=(4, 1, 16), t323=(4, 1, 16), t324=(4, 1 << 28, 8), t325=(4, 1 << 28, 8)
    ),
    "strips.tif": lambda: tiff(t273=(4, 0xFFFFFFFF, 8), t279=(4, 0xFFFFFFFF, 8)),
    "many-tiles.tif": lambda: tiff(
        t256=(4, 1, 14_000), t257=(4, 1, 14_000), t322=(4, 1, 1), t323=(4, 1, 1)
    ),
}
"""By the name under which each would be dropped."""

STRANGERS: Mapping[str, bytes] = {
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch /tmp/x) run\n",
    "dos-eps.png": b"\xc5\xd0\xd3\xc6" + bytes(26) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "svg.png": b"<?xml version='1.0'?><svg width='9' height='9'><image href='/etc/passwd'/></svg>",
    "pdf.png": b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    "psd.jpg": b"8BPS\0\1" + bytes(60),
    "ico.png": b"\0\0\1\0\1\0" + bytes(40),
    "html.jpg": b"<html><body>404</body></html>",
    "script.jpg": b"#!/bin/sh\ntouch /tmp/x\n",
    "nothing.png": b"",
}
"""What is no image of ours, under an image's name."""
