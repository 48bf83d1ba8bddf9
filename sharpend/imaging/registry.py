"""The containers by format, and the format of a file by its first bytes.

Owns which type a file is taken for, before any decoder sees it. Refuses, with the type's name, what
is an image but not one of ours (PDF, EPS, camera raw, ...): no decoder, and so no Ghostscript, is
ever started for those.
"""

from __future__ import annotations

import importlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import TABLE, Format
from sharpend.imaging.reading import SETTLE, STILL_WRITTEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.imaging.containers.container import Container

HEAD_BYTES = 512
"""How much of a file `identify` wants to see."""

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
_OTHER_BRANDS = frozenset({b"mif1", b"msf1", b"crx "})


def _container_of(found: Format) -> Container:
    """What a format's module ends in; it has the format's name, in lower case."""
    module = importlib.import_module(f"sharpend.imaging.containers.{found.name.lower()}")
    container: Container = module.CONTAINER
    return container


CONTAINERS: Mapping[Format, Container] = MappingProxyType(
    {found: _container_of(found) for found in Format}
)
_SIGNATURES = {found: re.compile(row.signature, re.DOTALL) for found, row in TABLE.items()}


def identify(head: bytes) -> Format:
    """The format of a file that starts with `head` (the first `HEAD_BYTES`, or all of it).

    Raises:
        ImageRefusedError: `format_not_allowed` for another known type, else `not_an_image`.
    """
    brands = _brands(head)
    for found, signature in _SIGNATURES.items():
        if signature.match(head) or brands & TABLE[found].brands:
            return found
    raise _refusal(head, brands)


def _brands(head: bytes) -> frozenset[bytes]:
    """The major and the compatible brands of an ISO base media file; none of any other."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return frozenset(head[at : at + 4] for at in (8, *range(16, end - 3, 4)))


def _refusal(head: bytes, brands: frozenset[bytes]) -> ImageRefusedError:
    kind = next((kind for start, kind in _FOREIGN if head.startswith(start)), None)
    if kind is None and brands & _OTHER_BRANDS:
        kind = "HEIF of another kind"
    begins_as_xml = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    if kind is None and begins_as_xml and b"<svg" in head.lower():
        kind = "SVG"
    if kind is None:
        return ImageRefusedError(
            Reason.NOT_AN_IMAGE,
            f"this is not a picture of any known format; {STILL_WRITTEN}",
            setting=SETTLE,
        )
    return ImageRefusedError(
        Reason.FORMAT_NOT_ALLOWED, f"its content is {kind}, which is not sharpened"
    )
