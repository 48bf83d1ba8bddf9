"""Lists every part of an image file by its container's own rules, independently of the codec.

`lost` compares the parts of a file with those of its output and with its notes and losses.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import imagecodecs

from tests import isofiles, tiffs

if TYPE_CHECKING:
    from collections.abc import Iterator

Part = tuple[str, bytes]
"""Name of a chunk, segment, block or field, and its content."""

_CODED_PNG = {"IHDR", "PLTE", "IDAT", "IEND", "fdAT", "fcTL"}
_CODED_WEBP = {"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF"}
_CODED_GIF = {0xF9}
IMAGES = ("further image", "gain map", "depth map", "thumbnail", "hidden image")
NAMED = {
    "APP2": ("MPF", "ICC profile"),
    "XMP": ("its XMP",),
    "acTL": ("animation of a single frame",),
    "caBX": ("content credentials",),
    "tRNS": ("transparent colour", "palette"),
    "behind": ("behind its end", "further images"),
    "auxC": (*IMAGES, "auxiliary image"),
    "tmap": ("gain map",),
    "image": IMAGES,
    "uuid": ("content credentials", "uuid"),
    "colr": IMAGES,
    "jbrd": ("repacked JPEG",),
    "mpvd": ("motion video",),
    "mime": ("data block", "further XMP"),
    "uri ": ("data block",),
    "pages": ("smaller copies", "preview", "mask"),
    "320": ("palette",),
    "330": ("smaller copies",),
    "37724": ("layers",),
    "52545": ("content credentials",),
}
"""Words of a note or loss for parts that are not called by their own name."""
_CODED_ANEW = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339),
    347,
}
"""Tags that say how the pixels lie in the file: their values may be others."""
_MEANT_WITHOUT = {266: b"\1\0", 284: b"\1\0", 347: b""}
"""Tags that may be gone: bits and samples in the usual order, tables that each strip has itself."""
_POINTERS = {tiffs.EXIF, tiffs.GPS, tiffs.INTEROPERABILITY, 33424}
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def parts_of(data: bytes) -> list[Part]:
    """All parts but those that hold the coded pixels themselves."""
    for start, lister in _LISTERS.items():
        if re.match(start, data, re.DOTALL):
            return [part for part in lister(data) if part[1].strip(b"\0")]
    raise ValueError("not a format that is listed here")


def lost(before: bytes, after: bytes, told: str) -> list[str]:
    """Name the parts of a file that are neither in its output nor in its notes and losses."""
    if before[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        gone = _lost_tags(before, after)
    elif before[4:8] in {b"ftyp", b"JXL "} or before[:2] == b"\xff\x0a":
        gone = _lost_boxes(before, after, told)
    else:
        gone = [kind for kind, content in parts_of(before) if content not in after]
    return [kind for kind in gone if not any(word in told for word in NAMED.get(kind, (kind,)))]


def _lost_tags(before: bytes, after: bytes) -> list[str]:
    """Of the largest page, and of the directories below it, byte for byte; further pages."""
    pages, (output, *more) = tiffs.tags_of(before), tiffs.tags_of(after)
    picture = max(pages, key=lambda page: int.from_bytes(page[256,], "little"))
    gone = ["pages"] * (len(pages) > 1 + len(more))
    for path, value in picture.items():
        tag = path[-1]
        is_kept = path in output and (tag in _CODED_ANEW | _POINTERS or output[path] == value)
        if not is_kept and not (path not in output and tag in _MEANT_WITHOUT):
            gone.append(str(tag))
    return gone


def _lost_boxes(before: bytes, after: bytes, told: str) -> list[str]:
    """Boxes, items, references and properties; EXIF changes where its image was turned."""
    output, gone = isofiles.parts_of(after), []
    for kind, content in sorted(isofiles.parts_of(before) - output):
        is_again = kind == "Exif" and "upright" in told
        if kind == "brob":
            body = imagecodecs.brotli_decode(content[4:])
            is_again = (content[:4].decode(), body) in output or "upright" in told
        gone += [kind] * (not is_again)
    return gone


def _jpeg(data: bytes) -> Iterator[Part]:
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xD9:
            yield "behind", data[at + 2 :]
            return
        if marker in {0x00, 0xFF, 0x01} or 0xD0 <= marker <= 0xD8:
            at += 1 + (marker != 0xFF)
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if 0xE0 <= marker <= 0xEF:
            body = data[at + 4 : end]
            yield "XMP" if body.startswith(_XMP) else f"APP{marker - 0xE0}", body
        if marker == 0xFE:
            yield "COM", data[at + 4 : end]
        at = end


def _png(data: bytes) -> Iterator[Part]:
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        name = kind.decode("latin-1")
        if name not in _CODED_PNG:
            yield name, data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IEND":
            break
    yield "behind", data[at:]


def _webp(data: bytes) -> Iterator[Part]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        name = kind.decode("latin-1")
        if name not in _CODED_WEBP:
            yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _gif(data: bytes) -> Iterator[Part]:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    yield "aspect", data[12:13]
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x2C:
            flags = data[at + 9]
            at = _blocks_end(data, at + 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
        elif data[at] == 0x21:
            end = _blocks_end(data, at + 2)
            if data[at + 1] not in _CODED_GIF:
                yield f"extension {data[at + 1]:02x}", data[at + 2 : end]
            at = end
        else:
            yield "between its blocks", data[at : at + 1]
            at += 1
    yield "behind", data[at + 1 :]


def _blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _bmp(data: bytes) -> Iterator[Part]:
    header = int.from_bytes(data[14:18], "little")
    if header >= 40:
        yield "density", data[38:46]
    if header >= 108:
        yield "endpoints", data[74:122]
    if header >= 124:
        yield "intent", data[122:126]
        offset, size = struct.unpack_from("<II", data, 126)
        yield "profile", data[14 + offset : 14 + offset + size]


def _pnm(data: bytes) -> Iterator[Part]:
    for comment in re.findall(rb"#[^\r\n]*", data[:200]):
        yield "comment", comment
    yield "largest value", re.split(rb"\s+", data, maxsplit=4)[3]


_LISTERS = {
    rb"\xff\xd8": _jpeg,
    rb"\x89PNG": _png,
    rb"RIFF....WEBP": _webp,
    rb"GIF8": _gif,
    rb"BM": _bmp,
    rb"P[2356]\s": _pnm,
}
