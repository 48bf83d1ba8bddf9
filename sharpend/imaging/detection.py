"""Container registry, and detection of a file's format by its first bytes.

Decides the type of a file before any decoder sees it. Refuses, with the type's name, what
is an image but not one of ours (PDF, EPS, camera raw, ...): no decoder, and so no Ghostscript, is
ever started for those. Limits on pixels and bytes are checked in `source`.
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
"""Bytes of a file that `identify` needs."""

_FOREIGN = {
    "PostScript": rb"%!PS",
    "EPS": rb"\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF",
    "Photoshop": rb"8BPS",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "ICO": rb"\0\0\x01\0",
    "OpenEXR": rb"v/1\x01",
    "Radiance HDR": rb"#\?RADIANCE",
    "camera raw": rb"FUJIFILMCCD-RAW|IIRO|IIU\0",
    "JPEG XR": rb"II\xbc",
    "QOI": rb"qoif",
    "MNG": rb"\x8aMNG\r\n",
    "JNG": rb"\x8bJNG\r\n",
    "GIMP": rb"gimp xcf",
    "DjVu": rb"AT&TFORM",
    "FLIF": rb"FLIF",
    "BPG": rb"BPG\xfb",
    "DDS": rb"DDS ",
    "FITS": rb"SIMPLE  =",
    "DICOM": rb".{128}DICM",
    "a bitmap array of OS/2": rb"BA.{12}BM",
    "PAM": rb"P7\n",
    "PFM": rb"P[Ff]\n",
    "SVG": rb"[\xef\xbb\xbf \t\r\n]*(?=<).*(?i:<svg)",
}
_OTHER_BRANDS = frozenset({b"mif1", b"msf1", b"crx "})


def _container_of(found: Format) -> Container:
    """Import the container of a format, whose module has the format's name in lower case."""
    module = importlib.import_module(f"sharpend.imaging.containers.{found.name.lower()}")
    container: Container = module.CONTAINER
    return container


CONTAINERS: Mapping[Format, Container] = MappingProxyType(
    {found: _container_of(found) for found in Format}
)
_SIGNATURES = {found: re.compile(row.signature, re.DOTALL) for found, row in TABLE.items()}


def identify(head: bytes) -> Format:
    """Detect the format of a file from its head (the first `HEAD_BYTES`, or all of it).

    Raises:
        ImageRefusedError: `format_not_allowed` for another known type, else `not_an_image`.
    """
    brands = _brands(head)
    for found, signature in _SIGNATURES.items():
        if signature.match(head) or brands & TABLE[found].brands:
            return found
    raise _refusal(head, brands)


def _brands(head: bytes) -> frozenset[bytes]:
    """Read the major and compatible brands of an ISO base media file; none for any other."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return frozenset(head[at : at + 4] for at in (8, *range(16, end - 3, 4)))


def _refusal(head: bytes, brands: frozenset[bytes]) -> ImageRefusedError:
    kinds = [kind for kind, start in _FOREIGN.items() if re.match(start, head, re.DOTALL)]
    if brands & _OTHER_BRANDS:
        kinds.append("HEIF of another kind")
    if kinds:
        return ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED, f"its content is {kinds[0]}, which is not sharpened"
        )
    return ImageRefusedError(
        Reason.NOT_AN_IMAGE,
        f"this is not an image of any known format; {STILL_WRITTEN}",
        setting=SETTLE,
    )
