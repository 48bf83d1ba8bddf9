"""Format table: file suffixes, bit depths, preserved metadata and refused features.

Owns the suffixes, the depths and the words of README's table; the codec takes its limits from here.
A suffix only says that a file is a candidate; what a file is, its content decides. Imports nothing
heavy, because the daemon's parent process reads it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sharpend.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Format(StrEnum):
    """Formats by Pillow's name; the name in lower case is the module in `containers`."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    TIFF = "TIFF"
    AVIF = "AVIF"
    GIF = "GIF"
    BMP = "BMP"
    PNM = "PPM"
    HEIC = "HEIF"
    JXL = "JXL"


@dataclass(frozen=True, slots=True)
class Row:
    """One format's line of the table; encoding details are in its module in `containers`."""

    title: str
    suffixes: tuple[bytes, ...]
    bits: tuple[int, ...]
    """Bits per sample that are sharpened at full precision; others are refused: `bit_depth`."""
    channels: str
    """Accepted content, and the form it is written in if that differs."""
    metadata: str
    """Metadata that is kept, byte for byte."""
    encoding: str
    """Encoding of the output."""
    cost_s: float
    """Processor time of reading and writing a megapixel: `python -m tests.format_costs`."""
    several: Reason | None = None
    """Reason to refuse a file with more than one image, unless `frames` allows it."""
    signature: bytes = rb"(?!)"
    """A pattern of the bytes that every file of it begins with."""
    brands: frozenset[bytes] = frozenset()
    """Brands of an ISO base media file, each of which identifies it, where `signature` cannot."""
    extra: str = ""
    """The extra of the package that reads it."""
    plugin: str = ""
    """`module:function` that registers the Pillow plugin of that extra."""


_SMALL = (1, 2, 4, 8)
_DEEP = (*_SMALL, 16)

TABLE: Mapping[Format, Row] = MappingProxyType(
    {
        Format.JPEG: Row(
            "JPEG, first image of MPO, Ultra HDR without its gain map",
            (b".jpg", b".jpeg", b".jpe", b".jfif", b".jif", b".mpo"),
            (8,),
            "gray, YCbCr, RGB; CMYK and YCCK by `cmyk`",
            "all APPn segments and comments in their order (EXIF, XMP, IPTC, ICC, JFIF density);"
            " a motion photo's video, Samsung's trailer and ZIP archives behind the image; not MPF,"
            " content credentials and further images",
            "same quantisation tables and subsampling (4:4:0, 4:1:1 and RGB become 4:4:4),"
            " progressive; from CMYK at quality 95",
            cost_s=0.015,
            signature=rb"\xff\xd8\xff",
        ),
        Format.PNG: Row(
            "PNG",
            (b".png", b".apng"),
            _DEEP,
            "gray (2 and 4 bits become 8), RGB, each with alpha; palette becomes RGB(A); a"
            " transparent colour, alpha",
            "text, EXIF, XMP, ICC, gamma and colour chunks, density, time, what is safe to copy,"
            " archives behind its end",
            "lossless, effort by `compression`; interlacing is not kept",
            cost_s=0.05,
            several=Reason.ANIMATED,
            signature=rb"\x89PNG\r\n\x1a\n",
        ),
        Format.WEBP: Row(
            "WebP",
            (b".webp",),
            (8,),
            "RGB, RGBA",
            "EXIF, XMP, ICC, unknown chunks",
            "lossless stays lossless, lossy at its own quality, alpha exact; effort by"
            " `compression`; lossy cut-outs that sharpening hardly changes are copied",
            cost_s=0.1,
            several=Reason.ANIMATED,
            signature=rb"RIFF....WEBP",
        ),
        Format.TIFF: Row(
            "TIFF, BigTIFF",
            (b".tif", b".tiff"),
            _DEEP,
            "gray, white-is-zero, RGB, 16-, 32- and 64-bit floating point in standard range, each"
            " with alpha and any further samples; less than 8 bits become 8, 9 to 15 become 16;"
            " palette becomes RGB; CMYK by `cmyk`",
            "every tag that does not describe the layout: EXIF, GPS, XMP, IPTC, ICC, Photoshop's;"
            " maker notes at their offset; not smaller copies, masks, layers, content credentials",
            "same compression (effort of deflate by `compression`), predictor, strips or tiles,"
            " planes, byte order and JPEG quality; sides of tiles in multiples of 16",
            cost_s=0.05,
            several=Reason.PAGES,
            signature=rb"II[*+]\0|MM\0[*+]",
        ),
        Format.AVIF: Row(
            "AVIF",
            (b".avif",),
            (8, 10, 12),
            "gray, RGB, each with alpha",
            "EXIF, XMP, ICC; not gain maps and further images",
            "same turn and subsampling, quality 85 or as much more as keeps its size, alpha exact;"
            " cropped as it is shown; cut-outs as WebP's",
            cost_s=0.25,
            several=Reason.ANIMATED,
            brands=frozenset({b"avif", b"avis"}),
        ),
        Format.GIF: Row(
            "GIF",
            (b".gif",),
            _SMALL,
            "palette with or without transparency",
            "comment, XMP",
            "a new palette of at most 256 colours, without dither; interlacing is not kept",
            cost_s=0.2,
            several=Reason.ANIMATED,
            signature=rb"GIF8[79]a",
        ),
        Format.BMP: Row(
            "BMP",
            (b".bmp", b".dib"),
            (1, 4, 8),
            "gray, RGB, RGBA; palette and 16 bits a pixel become RGB",
            "density, colour space, ICC profile, an unused fourth byte",
            "uncompressed",
            cost_s=0.01,
            signature=rb"BM(....\0{4}|.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3})",
        ),
        Format.PNM: Row(
            "PPM, PGM",
            (b".ppm", b".pgm", b".pnm", b".pbm"),
            (8, 16),
            "gray, RGB",
            "the header with its comments and largest value",
            "plain stays plain, raw stays raw, at the same largest value",
            cost_s=0.001,
            several=Reason.PAGES,
            signature=rb"P[1-6][\s#]",
        ),
        Format.HEIC: Row(
            "HEIC",
            (b".heic", b".heif", b".hif"),
            (8, 10, 12),
            "gray, RGB, each with alpha",
            "EXIF, XMP, ICC; not gain maps, depth maps, videos and further images",
            "turned upright; quality 90 in the same subsampling, lossless where there is alpha;"
            " lossy cut-outs as WebP's",
            cost_s=0.7,
            brands=frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}),
            extra="heic",
            plugin="pillow_heif:register_heif_opener",
        ),
        Format.JXL: Row(
            "JPEG XL",
            (b".jxl",),
            (8, 16),
            "gray, RGB, each with alpha; less than 8 bits become 8, others 16; first frame",
            "EXIF, XMP, colours told by numbers; no ICC profile",
            "turned upright; lossless stays lossless (effort by `compression`), so do colours"
            " beside sRGB, else quality 95; lossy cut-outs as WebP's",
            cost_s=0.35,
            several=Reason.ANIMATED,
            signature=rb"\0{3}\x0cJXL |\xff\x0a",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of image that is refused in every format."""

    what: str
    reason: Reason
    setting: str = ""
    """The key that lets it through; empty where none does."""


REFUSALS = (
    Refusal("animations", Reason.ANIMATED, "pictures.frames"),
    Refusal("files of many pages", Reason.PAGES, "pictures.frames"),
    Refusal("other depths than above, signed samples, other floating point", Reason.BIT_DEPTH),
    Refusal("CMYK and YCCK images", Reason.COLOR_MODE, "pictures.cmyk"),
    Refusal("images of pure black and white", Reason.COLOR_MODE, "pictures.one_bit"),
    Refusal("other colour models, such as Lab", Reason.COLOR_MODE),
    Refusal("high dynamic range: PQ, HLG, floating point above white", Reason.HDR),
    Refusal("other formats: camera raw, PDF, SVG, PSD", Reason.FORMAT_NOT_ALLOWED),
    Refusal(
        "images of more pixels, all frames together",
        Reason.TOO_MANY_PIXELS,
        "limits.max_megapixels",
    ),
    Refusal("larger files", Reason.TOO_MANY_BYTES, "limits.max_megabytes"),
    Refusal("JPEGs of more scans", Reason.TOO_MANY_SCANS, "limits.max_scans"),
    Refusal("files that end early", Reason.TRUNCATED, "folder.settle_s"),
    Refusal("files with wrong checksums or contradictions", Reason.DAMAGED, "folder.settle_s"),
    Refusal("images with content that the output lacks", Reason.WOULD_LOSE, "pictures.losses"),
    Refusal("empty files", Reason.EMPTY, "folder.settle_s"),
    Refusal("files that are no image", Reason.NOT_AN_IMAGE, "folder.settle_s"),
)

SUFFIXES: Mapping[bytes, Format] = MappingProxyType(
    {suffix: found for found, row in TABLE.items() for suffix in row.suffixes}
)
"""Lower-case suffix, with its dot, to the format that it promises."""


def markdown() -> str:
    """Render the table and the refusals as Markdown."""
    head = ("format", "bits", "channels", "carried as it is", "written", "s/MP", "refused")
    rows = [
        (
            row.title + (f" (extra `{row.extra}`)" if row.extra else ""),
            ", ".join(map(str, row.bits)),
            row.channels,
            row.metadata,
            row.encoding,
            f"{row.cost_s:g}",
            f"`{row.several}`" if row.several else "",
        )
        for row in TABLE.values()
    ]
    refused = [
        (each.what, f"`{each.reason}`", f"`{each.setting}`" * bool(each.setting))
        for each in REFUSALS
    ]
    return f"{_table(head, rows)}\n\n{_table(('refused', 'reason', 'setting'), refused)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_of(name: bytes) -> Format | None:
    """Look up the format of a file name, or None if the suffix is not supported.

    Args:
        name: a file name or path; upper and lower case are the same.
    """
    return SUFFIXES.get(os.path.splitext(name)[1].lower())
