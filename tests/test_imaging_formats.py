"""The table of formats, and telling a type by its first bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.detection import identify
from sharpend.imaging.formats import REFUSALS, SUFFIXES, TABLE, Format, Refusal, format_of, markdown
from sharpend.settings.folder import FolderSettings
from sharpend.settings.schema import Settings


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
        b"P7\nWIDTH 3\n",
        b"PF\n3 5\n-1.0\n",
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf",
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
    """What no format begins with is no image."""
    with pytest.raises(ImageRefusedError) as caught:
        identify(head)
    assert caught.value.reason is Reason.NOT_AN_IMAGE


def test_avif_is_told_from_heic_by_its_brands() -> None:
    """A mif1 file is AVIF only where a compatible brand says so."""
    assert identify(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") is Format.AVIF


def test_the_documents_show_the_table() -> None:
    """What people read is what the code holds."""
    readme = Path(__file__).parent.parent / "config/README.md"
    assert markdown() in readme.read_text(encoding="utf-8")


def test_the_table_is_complete() -> None:
    """Every format has its line, and every reason that an image's content can have."""
    assert set(TABLE) == set(Format)
    of_pictures = list(Reason)[: list(Reason).index(Reason.NOT_A_REGULAR_FILE)]
    assert {each.reason for each in REFUSALS} == set(of_pictures)


@pytest.mark.parametrize("refusal", [each for each in REFUSALS if each.setting])
def test_settings_that_let_through_exist(refusal: Refusal) -> None:
    """A setting that is named is a key of the settings."""
    section, key = refusal.setting.split(".")
    holder = FolderSettings if section == "folder" else Settings.model_fields[section].annotation
    assert holder is not None
    assert key in holder.model_fields
