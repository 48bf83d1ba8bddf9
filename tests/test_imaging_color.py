"""Colours that need a decision: high dynamic range is refused, CMYK converted or refused."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageCms

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import codec, color
from sharpend.policies import Cmyk, Policies
from tests.conftest import photograph

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CONVERT = Policies(cmyk=Cmyk.CONVERT)


def profile(*tags: tuple[bytes, bytes]) -> bytes:
    """An ICC profile of these tags and nothing else."""
    table, content = b"", b""
    start = 132 + 12 * len(tags)
    for name, body in tags:
        table += struct.pack(">4sII", name, start + len(content), len(body))
        content += body
    return bytes(128) + len(tags).to_bytes(4) + table + content


def described(text: str) -> bytes:
    """A profile whose description is this, as version 4 writes it."""
    words = text.encode("utf-16-be")
    body = b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS"
    return profile((b"desc", body + struct.pack(">II", len(words), 28) + words))


@pytest.mark.parametrize(
    ("transfer", "icc", "hdr"),
    [
        (16, b"", "PQ"),
        (18, b"", "HLG"),
        (None, profile((b"cicp", b"cicp" + bytes(4) + bytes((9, 16, 0, 1)))), "PQ"),
        (None, profile((b"cicp", b"cicp" + bytes(4) + bytes((9, 18, 0, 1)))), "HLG"),
        (None, described("Rec2100 PQ"), "PQ"),
        (None, described("RGB_D65_202_Rel_PeQ"), "PQ"),
        (None, described("Rec.2100 HLG"), "HLG"),
        (13, SRGB, ""),
        (1, b"", ""),
        (None, described("Display P3"), ""),
        (None, described("FujiHLGX made up"), ""),
        (None, profile((b"cicp", b"cicp")), ""),
        (None, b"not a profile", ""),
    ],
)
def test_high_dynamic_range_is_told(transfer: int | None, icc: bytes, hdr: str) -> None:
    """By code points and by what a profile says of itself; everything else is let through."""
    if not hdr:
        color.check_not_hdr(transfer, icc)
        return
    with pytest.raises(ImageRefusedError, match=hdr) as caught:
        color.check_not_hdr(transfer, icc)
    assert caught.value.reason is Reason.HDR


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_the_profile_is_found_in_every_format(target: str) -> None:
    """An image whose attached profile is PQ's is refused, however the format packs it."""
    file = BytesIO()
    Image.new("RGB", (20, 20)).save(file, target, icc_profile=described("Rec2100 PQ"))
    with pytest.raises(ImageRefusedError) as caught:
        decoded(file)
    assert caught.value.reason is Reason.HDR


def decoded(file: BytesIO, policies: Policies = CONVERT) -> Picture:
    """The image, with CMYK converted unless told otherwise."""
    return codec.decode(file, max_pixels=10**6, max_bytes=10**7, policies=policies)


def inks(target: str, *, icc: bytes) -> BytesIO:
    """A CMYK file of a photograph with a strip of bare paper."""
    pixels = np.dstack([255 - photograph(48, 64), np.full((48, 64), 20, np.uint8)])
    pixels[:16] = 0
    file = BytesIO()
    options: dict[str, object] = {"quality": 100, "subsampling": 0} if target == "JPEG" else {}
    Image.fromarray(pixels, "CMYK").save(file, target, icc_profile=icc or None, **options)
    return file


@pytest.mark.parametrize("target", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_refused(target: str) -> None:
    """Nobody knows what its inks look like, whatever the policy."""
    with pytest.raises(ImageRefusedError, match="without a usable ICC profile") as caught:
        decoded(inks(target, icc=b""))
    assert caught.value.reason is Reason.COLOR_MODE


@pytest.mark.parametrize("target", ["JPEG", "TIFF"])
def test_a_profile_of_other_colours_is_no_help(target: str) -> None:
    """An RGB profile on CMYK numbers is refused, not guessed with."""
    with pytest.raises(ImageRefusedError, match="without a usable ICC profile"):
        decoded(inks(target, icc=SRGB))
