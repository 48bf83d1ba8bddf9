"""What a picture carries beside its pixels: EXIF, ICC, XMP, IPTC, resolution, text, GPS.

Owns the carry table: for each format, how it is read and with which of Pillow's save options it is
written again. Pillow keeps almost nothing of this by itself, and each format differs. Bytes are
passed on as they are, so that maker notes stay valid; the orientation tag among them, because
pixels are never rotated. Changes no value, converts no colour. What cannot be kept is told in a
note.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngInfo

from sharpend.imaging.formats import Format
from sharpend.imaging.reading import Reader
from sharpend.imaging.tifftags import Directory, read_kept
from sharpend.imaging.wholeness import png_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

_SEGMENT_MAX = 65_533
"""A JPEG segment's length field has 16 bits and counts itself."""
_XMP_MAX = _SEGMENT_MAX - len(b"http://ns.adobe.com/xap/1.0/\0")
_KEPT_SEGMENTS: tuple[tuple[str, int, bytes], ...] = (
    ("APP1", 0xE1, b"http://ns.adobe.com/xmp/extension/\0"),
    ("APP13", 0xED, b"Photoshop 3.0\0"),
)
_KEPT_CHUNKS = frozenset(
    {b"cHRM", b"cICP", b"gAMA", b"sBIT", b"sRGB", b"tIME", b"iTXt", b"tEXt", b"zTXt"}
)
"""Chunks that are copied bit for bit. iCCP, eXIf and pHYs have save options of their own; the
others (PLTE, tRNS, bKGD, hIST) speak of the pixels as they were stored."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What one picture carries beside its pixels; empty where it has none."""

    exif: bytes = b""
    """As in the file (TIFF keeps its own in `tags`)."""
    icc: bytes = b""
    xmp: bytes = b""
    """JPEG, WebP, AVIF; PNG keeps its own in `chunks`, TIFF in `tags`."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical pixels per inch (JPEG, PNG)."""
    comment: bytes = b""
    """JPEG only."""
    segments: tuple[tuple[int, bytes], ...] = ()
    """JPEG only: marker and payload of further segments (IPTC, extended XMP)."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """PNG only: kind and content of text and colour chunks."""
    tags: Directory | None = None
    """TIFF only: its tags, resolution and orientation among them, and their sub-directories."""


def read(found: Format, image: Image.Image, data: bytes) -> tuple[Carried, tuple[str, ...]]:
    """Collect what `image` carries, and notes about what its format cannot carry on.

    Args:
        found: the format of the file's content.
        image: as opened from `data`, opened from it.
        data: the whole file.
    """
    carried = _READERS[found](image, data)
    if found is not Format.JPEG:
        return carried, ()
    return _fitting_jpeg(carried)


def save_options(target: Format, carried: Carried) -> dict[str, object]:
    """Pillow's save options that write `carried` into a file of the format `target`.

    TIFF's `tags` are the exception: they are grafted onto the finished file.
    """
    return {name: value for name, value in _WRITERS[target](carried).items() if value}


def _read_jpeg(image: Image.Image, _data: bytes) -> Carried:
    info = image.info
    segments = image.applist if isinstance(image, JpegImageFile) else []
    return Carried(
        exif=info.get("exif", b""),
        icc=info.get("icc_profile") or b"",
        xmp=info.get("xmp", b""),
        # Without a unit, Pillow makes a resolution up from EXIF or from nothing.
        dpi=info.get("dpi") if info.get("jfif_unit") in {1, 2} else None,
        comment=info.get("comment", b""),
        segments=tuple(
            (marker, payload)
            for name, payload in segments
            for kept, marker, start in _KEPT_SEGMENTS
            if name == kept and payload.startswith(start)
        ),
    )


def _fitting_jpeg(carried: Carried) -> tuple[Carried, tuple[str, ...]]:
    """What fits into JPEG's segments: files with EXIF spread over several exist."""
    notes = []
    if len(carried.exif) > _SEGMENT_MAX:
        carried = replace(carried, exif=b"")
        notes.append("its EXIF data is larger than JPEG allows and was not kept")
    if len(carried.xmp) > _XMP_MAX:
        carried = replace(carried, xmp=b"")
        notes.append("its XMP data is larger than JPEG allows and was not kept")
    return carried, tuple(notes)


def _write_jpeg(carried: Carried) -> Mapping[str, object]:
    return {
        "exif": carried.exif,
        "icc_profile": carried.icc,
        "xmp": carried.xmp,
        "dpi": carried.dpi,
        "comment": carried.comment,
        "extra": b"".join(
            bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload
            for marker, payload in carried.segments
        ),
    }


def _read_png(image: Image.Image, data: bytes) -> Carried:
    chunks = tuple(
        (kind, body) for kind, body in png_chunks(data) if kind in _KEPT_CHUNKS or kind == b"eXIf"
    )
    return Carried(
        exif=dict(chunks).get(b"eXIf", b""),
        icc=image.info.get("icc_profile") or b"",
        dpi=image.info.get("dpi"),
        chunks=tuple(chunk for chunk in chunks if chunk[0] != b"eXIf"),
    )


def _write_png(carried: Carried) -> Mapping[str, object]:
    chunks = PngInfo()
    for kind, body in carried.chunks:
        chunks.add(kind, body)
    return {
        "exif": carried.exif,
        "icc_profile": carried.icc,
        "dpi": carried.dpi,
        "pnginfo": chunks,
    }


def _read_plain(image: Image.Image, _data: bytes) -> Carried:
    return Carried(
        exif=image.info.get("exif", b""),
        icc=image.info.get("icc_profile") or b"",
        xmp=image.info.get("xmp", b""),
    )


def _write_plain(carried: Carried) -> Mapping[str, object]:
    return {"exif": carried.exif, "icc_profile": carried.icc, "xmp": carried.xmp}


def _read_tiff(image: Image.Image, data: bytes) -> Carried:
    return Carried(
        icc=image.info.get("icc_profile") or b"",
        tags=read_kept(Reader(BytesIO(data))),
    )


def _write_tiff(carried: Carried) -> Mapping[str, object]:
    return {"icc_profile": carried.icc}


_READERS: Mapping[Format, Callable[[Image.Image, bytes], Carried]] = {
    Format.JPEG: _read_jpeg,
    Format.PNG: _read_png,
    Format.WEBP: _read_plain,
    Format.AVIF: _read_plain,
    Format.TIFF: _read_tiff,
}

_WRITERS: Mapping[Format, Callable[[Carried], Mapping[str, object]]] = {
    Format.JPEG: _write_jpeg,
    Format.PNG: _write_png,
    Format.WEBP: _write_plain,
    Format.AVIF: _write_plain,
    Format.TIFF: _write_tiff,
}
