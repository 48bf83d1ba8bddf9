"""Tell a file's type by its first bytes, before any decoder sees it.

Owns the magic numbers. Refuses, with the type's name, what is a picture but not one of ours (GIF,
HEIC, PDF, EPS, ...): no decoder, and so no Ghostscript, is ever started for those.
"""

from __future__ import annotations

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import Format
from sharpend.imaging.reading import SETTLE, STILL_WRITTEN

HEAD_BYTES = 512
"""How much of a file `identify` wants to see."""

_STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"II*\0", Format.TIFF),
    (b"MM\0*", Format.TIFF),
    (b"II+\0", Format.TIFF),
    (b"MM\0+", Format.TIFF),
)

_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"GIF8", "GIF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\1\0", "ICO"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"crx "}
)


def identify(head: bytes) -> Format:
    """The format of a file that starts with `head` (the first `HEAD_BYTES`, or all of it).

    Raises:
        ImageRefusedError: `format_not_allowed` for another known type, else `not_an_image`.
    """
    for start, known in _STARTS:
        if head.startswith(start):
            return known
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format.WEBP
    if head[4:8] == b"ftyp" and _brands(head) & _AVIF_BRANDS:
        return Format.AVIF
    raise _refusal(head)


def _brands(head: bytes) -> frozenset[bytes]:
    """The major and the compatible brands of an ISO base media file."""
    end = min(int.from_bytes(head[:4]), len(head))
    return frozenset(head[at : at + 4] for at in (8, *range(16, end - 3, 4)))


def _refusal(head: bytes) -> ImageRefusedError:
    kind = _foreign_kind(head)
    if kind is None:
        return ImageRefusedError(
            Reason.NOT_AN_IMAGE,
            f"this is not a picture of any known format; {STILL_WRITTEN}",
            setting=SETTLE,
        )
    return ImageRefusedError(
        Reason.FORMAT_NOT_ALLOWED,
        f"its content is {kind}; JPEG, PNG, WebP, TIFF and AVIF are sharpened",
    )


def _foreign_kind(head: bytes) -> str | None:
    for start, kind in _FOREIGN:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp" and _brands(head) & _HEIF_BRANDS:
        return "HEIF"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    is_svg = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<svg" in head.lower()
    return "SVG" if is_svg else None
