"""The table of formats, and telling a type by its first bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import SUFFIXES, Format, format_of
from sharpend.imaging.signatures import identify


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.jpg", Format.JPEG),
        (b"dir/A.JPEG", Format.JPEG),
        (b"-x\n.Png", Format.PNG),
        (b"\xff\xfe.webp", Format.WEBP),
        (b"a.b.TIF", Format.TIFF),
        (b"a.avif", Format.AVIF),
        (b"a.xmp", None),
        (b"a.jpg.part", None),
        (b"jpg", None),
        (b".jpg", None),
        (b"", None),
    ],
)
def test_suffix_promises_a_format(name: bytes, expected: Format | None) -> None:
    """Only the last suffix counts, in any case and whatever bytes the name has."""
    assert format_of(name) is expected


def test_suffixes_are_lower_case_with_dot() -> None:
    """The table can be asked with lower-cased suffixes."""
    assert all(suffix == suffix.lower() and suffix[:1] == b"." for suffix in SUFFIXES)


def test_table_needs_no_heavy_import() -> None:
    """The daemon's parent process reads the table without Pillow or numpy."""
    code = "import sharpend.imaging.formats, sys; print({'PIL', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "head",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xc5\xd0\xd3\xc6" + bytes(28),
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>",
        b"GIF89a\1\0\1\0",
        b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"8BPS\0\1",
    ],
)
def test_other_pictures_are_not_allowed(head: bytes) -> None:
    """A known type that is not ours is refused as such."""
    with pytest.raises(ImageRefusedError) as caught:
        identify(head)
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize("head", [b"\0", b"hello", b"<html><body>", bytes(512), b"BMW is a car"])
def test_anything_else_is_not_an_image(head: bytes) -> None:
    """What no format begins with is no picture."""
    with pytest.raises(ImageRefusedError) as caught:
        identify(head)
    assert caught.value.reason is Reason.NOT_AN_IMAGE


def test_avif_is_told_from_heic_by_its_brands() -> None:
    """A mif1 file is AVIF only where a compatible brand says so."""
    assert identify(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") is Format.AVIF
