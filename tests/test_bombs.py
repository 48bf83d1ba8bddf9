"""Bombs are refused before they unfold, or are harmless: with hardly any memory."""

from __future__ import annotations

import resource
from io import BytesIO

import pillow_jxl  # noqa: F401 - another writer than ours
import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import codec, extras
from sharpend.imaging.formats import Format
from sharpend.policies import Frames, Policies
from tests.bombs import BOMBS, GIGABYTE, png_with, zeros

PIXELS, FRAMES = "limits.max_megapixels", "pictures.frames"
REFUSED: dict[str, tuple[Reason, str | None]] = {
    "header.png": (Reason.TOO_MANY_PIXELS, PIXELS),
    "header.jpg": (Reason.TOO_MANY_PIXELS, PIXELS),
    "header.avif": (Reason.TOO_MANY_PIXELS, PIXELS),
    "header.heic": (Reason.TOO_MANY_PIXELS, PIXELS),
    "header.jxl": (Reason.TOO_MANY_PIXELS, PIXELS),
    "frames.gif": (Reason.ANIMATED, FRAMES),
    "frames.png": (Reason.ANIMATED, FRAMES),
    "frames.webp": (Reason.ANIMATED, FRAMES),
    "pages.tif": (Reason.DAMAGED, "folder.settle_s"),
    "tiles.tif": (Reason.DAMAGED, "folder.settle_s"),
    "strips.tif": (Reason.DAMAGED, "folder.settle_s"),
    "many-tiles.tif": (Reason.DAMAGED, "folder.settle_s"),
}
HARMLESS = sorted(BOMBS.keys() - REFUSED.keys())
"""Only what the image needs is read of these: they are images like any other."""


def refusal(data: bytes, frames: Frames = Frames.REFUSE) -> ImageRefusedError:
    """The refusal of a bomb; it takes little memory."""
    extras.load(Format.HEIC)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageRefusedError) as caught:
        codec.decode(
            BytesIO(data), max_pixels=200_000_000, max_bytes=10**9, policies=Policies(frames=frames)
        )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_bombs_are_refused(name: str) -> None:
    """With the reason, the setting where there is one, and below 50 MB."""
    error = refusal(BOMBS[name]())
    assert (error.reason, error.setting) == REFUSED[name]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_unfolds_elsewhere_stays_folded(name: str) -> None:
    """Pixel data beyond the image, and directories that lead in circles, are not followed."""
    picture = codec.decode(BytesIO(BOMBS[name]()), max_pixels=10_000, max_bytes=10**9)
    assert picture.size in {(32, 32), (16, 16)}


@pytest.mark.parametrize("name", ["frames.gif", "frames.png", "frames.webp"])
def test_frames_have_an_end_where_all_are_wanted(name: str) -> None:
    """However small they are: more than ten thousand would take a worker's whole time."""
    error = refusal(BOMBS[name](), Frames.ALL)
    assert (error.reason, error.setting) == (Reason.ANIMATED, FRAMES)
    assert "at most 10000" in str(error)


def test_the_bombs_are_bombs() -> None:
    """65 bytes, 5 kB, and a megabyte that is a gigabyte: what they are called is what they are."""
    assert len(BOMBS["header.png"]()) == 65
    assert 4000 < len(BOMBS["header.jpg"]()) < 6000
    assert len(zeros(GIGABYTE)) < GIGABYTE / 900
    assert len(png_with(b"zTXt", b"a\0\0")) < GIGABYTE / 900
