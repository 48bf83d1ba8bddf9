"""Damaged images without end: flipped bits, cut files, shuffled segments, absurd lengths.

The same seed gives the same files. Nothing here knows what should come of a mutant.
"""

from __future__ import annotations

import itertools
import random
import re
import zlib
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, ImageCms

from tests.conftest import photograph
from tests.sources import camera_exif, xmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD_BYTES = 96
_DEEP = (photograph(31, 45, seed=5).astype(np.uint16) * 257).copy()


@cache
def seeds() -> Mapping[str, bytes]:
    """Small whole images by file name: seven formats, several variants, with metadata."""
    rgb = Image.fromarray(photograph(33, 47))
    rgba = rgb.convert("RGBA")
    rgba.putalpha(rgb.convert("L"))
    frames = [rgb.rotate(angle) for angle in (90, 180)]
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    about = {"exif": camera_exif(), "icc_profile": icc, "xmp": xmp().encode()}
    several = {"save_all": True, "append_images": frames}
    return {
        "plain.jpg": _saved(rgb, "JPEG", quality=90),
        "full.jpg": _saved(rgb, "JPEG", progressive=True, comment=b"a comment", **about),
        "gray.jpg": _saved(rgb.convert("L"), "JPEG"),
        "cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG"),
        "plain.png": _saved(rgb, "PNG"),
        "full.png": _saved(rgba, "PNG", dpi=(72, 72), **_without(about, "xmp")),
        "palette.png": _saved(rgb.quantize(32), "PNG", transparency=3),
        "deep.png": _saved(Image.fromarray(_DEEP[..., 0]), "PNG"),
        "moving.png": _saved(rgb, "PNG", duration=40, **several),
        "lossy.webp": _saved(rgb, "WEBP", **about),
        "lossless.webp": _saved(rgba, "WEBP", lossless=True),
        "moving.webp": _saved(rgb, "WEBP", duration=40, **several),
        "plain.tif": _saved(rgb, "TIFF"),
        "lzw.tif": _saved(rgba, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _saved(rgb, "TIFF", compression="jpeg"),
        "pages.tif": _saved(rgb, "TIFF", **several),
        "tiles.tif": _tiff(tile=(16, 16), compression="deflate", predictor=True),
        "big.tif": _tiff(bigtiff=True, planarconfig="separate", rowsperstrip=7),
        "plain.avif": _saved(rgb, "AVIF", **about),
        "alpha.avif": _saved(rgba, "AVIF"),
        "plain.gif": _saved(rgb.quantize(64), "GIF", comment=b"a comment"),
        "moving.gif": _saved(rgb, "GIF", duration=40, loop=2, **several),
        "plain.bmp": _saved(rgb, "BMP"),
        "palette.bmp": _saved(rgb.quantize(16), "BMP"),
    }


def _without(about: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in about.items() if key != name}


def _saved(picture: Image.Image, target: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, target, **options)
    return file.getvalue()


def _tiff(**options: object) -> bytes:
    file = BytesIO()
    pixels = np.moveaxis(_DEEP, -1, 0) if "planarconfig" in options else _DEEP
    tifffile.imwrite(file, pixels, photometric="rgb", **options)  # type: ignore[arg-type]
    return file.getvalue()


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of `count` damaged images; the name says what was done to which."""
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        name = chance.choice(sorted(seeds()))
        how = chance.choice(_MUTATIONS)
        data = how(seeds()[name], name, chance)
        if name.endswith(".png") and chance.random() < 0.8:
            data = _with_checksums(data)
        stem, _, suffix = name.partition(".")
        yield f"{number:05d}-{stem}-{how.__name__.strip('_')}.{suffix}", data


def _flip(data: bytes, _name: str, chance: random.Random) -> bytes:
    """Bits, anywhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 16)):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _noise(data: bytes, _name: str, chance: random.Random) -> bytes:
    """A run of random bytes, or of zeros."""
    at, length = chance.randrange(len(data)), chance.randint(1, 64)
    run = chance.choice((chance.randbytes(length), bytes(length)))
    return data[:at] + run + data[at + length :]


def _cut(data: bytes, _name: str, chance: random.Random) -> bytes:
    """The end is missing, or a piece in the middle."""
    at = chance.randrange(len(data))
    return data[:at] + (data[chance.randint(at, len(data)) :] if chance.random() < 0.5 else b"")


def _head(data: bytes, _name: str, chance: random.Random) -> bytes:
    """Numbers of the header at their extremes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        _put(changed, chance.randrange(4, min(_HEAD_BYTES, len(data) - 8)), chance)
    return bytes(changed)


def _number(data: bytes, _name: str, chance: random.Random) -> bytes:
    """A number anywhere at its extreme."""
    changed = bytearray(data)
    _put(changed, chance.randrange(len(data) - 8), chance)
    return bytes(changed)


def _put(data: bytearray, at: int, chance: random.Random) -> None:
    size = chance.choice((1, 2, 4, 8))
    order = chance.choice(("big", "little"))
    old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    value = chance.choice((*_EXTREMES, old + 1, old - 1, old * 2, old << 8))
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def _length(data: bytes, name: str, chance: random.Random) -> bytes:
    """The first numbers of a segment, where lengths stand, at their extremes."""
    parts = _segments(data, name)
    which = chance.randrange(len(parts))
    changed = bytearray(parts[which])
    if len(changed) > 8:
        _put(changed, chance.randrange(min(12, len(changed) - 8)), chance)
    return b"".join([*parts[:which], bytes(changed), *parts[which + 1 :]])


def _shuffle(data: bytes, name: str, chance: random.Random) -> bytes:
    """Segments twice, missing, many times, or in another order."""
    parts = _segments(data, name)
    for _ in range(chance.randint(1, 3)):
        at, to = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(4):
            case 0:
                parts.insert(to, parts[at])
            case 1 if len(parts) > 1:
                del parts[at]
            case 2:
                parts[at] *= chance.choice((2, 10, 200))
            case _:
                parts[at], parts[to] = parts[to], parts[at]
    return b"".join(parts)


def _splice(data: bytes, name: str, chance: random.Random) -> bytes:
    """Segments of another image, most often of the same format."""
    suffix = name.partition(".")[2]
    alike = [other for other in sorted(seeds()) if other.endswith(suffix)]
    other = chance.choice(alike if chance.random() < 0.8 else sorted(seeds()))
    ours, theirs = _segments(data, name), _segments(seeds()[other], other)
    at, first = chance.randrange(len(ours)), chance.randrange(len(theirs))
    last = first + chance.randint(1, 4)
    return b"".join([*ours[:at], *theirs[first:last], *ours[at + chance.randrange(2) :]])


_MUTATIONS: tuple[Callable[[bytes, str, random.Random], bytes], ...] = (
    _flip,
    _noise,
    _cut,
    _head,
    _number,
    _length,
    _shuffle,
    _splice,
)


def _segments(data: bytes, name: str) -> list[bytes]:
    """A file in the parts that its format is made of; joined, they are the file."""
    match name.partition(".")[2]:
        case "jpg":
            return [part for part in re.split(rb"(?=\xff[\xc0-\xfe])", data) if part]
        case "png":
            return _chunked(data, 8, big=True, extra=12)
        case "webp":
            return _chunked(data, 12, big=False, extra=8)
        case "avif":
            return _boxes(data)
        case "tif":
            return _sliced(data, 12)
        case _:
            return _sliced(data, 16)


def _chunked(data: bytes, at: int, *, big: bool, extra: int) -> list[bytes]:
    parts = [data[:at]]
    while at < len(data):
        length = int.from_bytes(data[at : at + 4]) if big else _riff_length(data, at)
        parts.append(data[at : at + length + extra])
        at += length + extra
    return parts


def _riff_length(data: bytes, at: int) -> int:
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    return length + length % 2


def _boxes(data: bytes) -> list[bytes]:
    """Cut at every box's head, inner ones too."""
    kinds = rb"ftyp|meta|hdlr|pitm|iloc|iinf|infe|iprp|ipco|ispe|pixi|av1C|colr|ipma|iref|mdat|auxC"
    places = [found.start() - 4 for found in re.finditer(kinds, data) if found.start() >= 4]
    edges = [0, *sorted({place for place in places if place > 0}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def _sliced(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _with_checksums(data: bytes) -> bytes:
    """The PNG with every chunk's checksum right, as far as its lengths lead."""
    made, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        made += [data[at:end], zlib.crc32(data[at + 4 : end]).to_bytes(4)]
        at = end + 4
    return b"".join([*made, data[at:]])


def cuts(shares: tuple[float, ...] = (0.01, 0.1, 0.5, 0.99)) -> Iterator[tuple[str, bytes]]:
    """Every seed, cut off after each of these shares of it."""
    for name, data in seeds().items():
        for share in shares:
            yield f"cut-{share:g}-{name}", data[: min(int(len(data) * share), len(data) - 2)]
