"""Tell a file's type by its first bytes, before any decoder sees it.

Owns the magic numbers. Refuses, with the type's name, what is a picture but not one of ours (PDF,
EPS, camera raw, ...): no decoder, and so no Ghostscript, is ever started for those.
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
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
    (b"\0\0\0\x0cJXL ", Format.JXL),
    (b"\xff\x0a", Format.JXL),
)

_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"P7\n", "PAM"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_OTHER_BRANDS = frozenset({b"mif1", b"msf1", b"crx "})
_NETPBM = frozenset(b"123456")


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
    if head[4:8] == b"ftyp" and _brands(head) & _HEIC_BRANDS:
        return Format.HEIC
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return Format.BMP
    if head[:1] == b"P" and head[1:2] and head[1] in _NETPBM and head[2:3].isspace():
        return Format.PNM
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
        f"its content is {kind}, which is not sharpened",
    )


def _foreign_kind(head: bytes) -> str | None:
    for start, kind in _FOREIGN:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp" and _brands(head) & _OTHER_BRANDS:
        return "HEIF of another kind"
    is_svg = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<svg" in head.lower()
    return "SVG" if is_svg else None
