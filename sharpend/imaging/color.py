"""Colour handling: conversion of CMYK to sRGB, detection of HDR transfer curves (PQ, HLG).

CMYK is converted through the file's own profile, or a default one. PQ and HLG are refused, because
their values are not close to sRGB's. All other values stay unchanged.

Source: ITU-T H.273 table 3.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from sharpend.errors import ImageRefusedError, Reason, UnavailableError
from sharpend.imaging.metadata import icc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PQ, _HLG = 16, 18
_NAMES = {_PQ: "PQ", _HLG: "HLG"}
_LONGEST_NAME = 4096
_SPOKEN = re.compile(rb"(?<![A-Za-z])(PQ|PeQ|HLG|ST ?2084)(?![A-Za-z])")


def check_not_hdr(transfer: int | None, profile: bytes) -> None:
    """Refuse high dynamic range, which the models have not learned.

    Args:
        transfer: the file's transfer characteristics (H.273), where it tells them.
        profile: its ICC profile; b"" for none.

    Raises:
        ImageRefusedError: `hdr`.
    """
    name = _NAMES.get(transfer or 0) or _curve_of(profile)
    if name:
        raise ImageRefusedError(
            Reason.HDR, f"it is of high dynamic range ({name}); standard range is sharpened"
        )


def _curve_of(profile: bytes) -> str | None:
    """Name of the HDR curve, PQ or HLG, from a profile's cicp tag or its description."""
    for name, body in icc.tags(profile):
        if name == b"cicp" and len(body) > 9:  # noqa: PLR2004 - type, reserved, primaries, transfer
            return _NAMES.get(body[9])
        if name == b"desc":
            spoken = _SPOKEN.search(body[:_LONGEST_NAME].replace(b"\0", b""))
            return spoken[1].decode().replace("PeQ", "PQ") if spoken else None
    return None


def to_srgb(
    cmyk: Image.Image, profile: bytes, fallback: str = ""
) -> tuple[NDArray[np.uint8], bytes, str]:
    """Convert CMYK to sRGB, perceptually, and return it with the sRGB profile.

    Args:
        cmyk: mode CMYK, 0 no ink.
        profile: the file's own ICC profile.
        fallback: path of the profile for images without a usable one (`pictures.cmyk_profile`).

    Returns:
        H x W x 3 uint8, an ICC profile to attach, and a note.

    Raises:
        ImageRefusedError: `color_mode` without a usable CMYK profile.
        UnavailableError: `fallback` is needed and cannot be used.
    """
    try:
        return *_converted(cmyk, profile), "its CMYK colours were converted to sRGB"
    except (ImageCms.PyCMSError, OSError) as error:
        if not fallback:
            raise ImageRefusedError(
                Reason.COLOR_MODE,
                "its colours are CMYK without a usable ICC profile; "
                "set pictures.cmyk_profile to the profile they are meant in",
                setting="pictures.cmyk_profile",
            ) from error
    note = "its CMYK colours, without a usable profile, were converted by pictures.cmyk_profile"
    try:
        with open(fallback, "rb") as file:
            return *_converted(cmyk, file.read()), note
    except OSError as error:
        cause = error.strerror or "it is no ICC profile"
        raise UnavailableError(f"pictures.cmyk_profile: {fallback}: {cause}") from error
    except ImageCms.PyCMSError as error:
        text = f"pictures.cmyk_profile: {fallback}: it is no ICC profile of CMYK colours"
        raise UnavailableError(text) from error


def _converted(cmyk: Image.Image, profile: bytes) -> tuple[NDArray[np.uint8], bytes]:
    """Convert through a profile; PyCMSError where it is none of CMYK."""
    if not profile:
        raise ImageCms.PyCMSError("there is none")
    own, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    made = ImageCms.ImageCmsProfile(srgb)
    converted = ImageCms.profileToProfile(cmyk, own, made, outputMode="RGB")
    assert converted is not None  # noqa: S101 - tells the type checker
    return np.asarray(converted), made.tobytes()
