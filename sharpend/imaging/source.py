"""Input of a container's reader: file bytes, parsed header and policies, with their checks.

Owns the refusals that follow from header and policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.picture import Picture
from sharpend.policies import Cmyk, Frames, Metadata, OneBit

if TYPE_CHECKING:
    from sharpend.imaging.formats import Format
    from sharpend.policies import Policies

_MEGA = 1_000_000
MOST_SCANS = 500
MOST_FRAMES = 10_000
"""Frames or pages of one file; each costs time, however small it is."""


@dataclass(frozen=True, slots=True)
class Header:
    """Size, depth and other facts from a file's header, known before decoding."""

    format: Format
    height: int
    width: int
    bits: int = 8
    """The most bits of any sample."""
    quality: int | None = None
    """Lossy WebP only: about the quality that it was written at, 0..100."""
    gray: bool = False
    """AVIF and HEIC only: there is no colour, though Pillow reads RGB."""
    subsampling: str = "4:2:0"
    """AVIF and HEIC only: how much coarser the colours are stored."""
    primaries: int | None = None
    """AVIF and HEIC only: the colour primaries (ITU-T H.273), where they are declared."""
    transfer: int | None = None
    """AVIF, HEIC and JPEG XL only: the transfer characteristics, likewise."""
    lossy: bool = False
    """WebP, AVIF, HEIC and JPEG XL only: its coding changed the colours."""
    animated: bool = False
    """JPEG XL only: it moves."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be read."""

    data: bytes
    header: Header
    policies: Policies
    max_pixels: int
    max_scans: int = MOST_SCANS
    """Scans of a JPEG, each of which costs the time of a whole image."""

    def check_pixels(self, height: int, width: int, *, frames: int = 1) -> None:
        """Refuse images with more pixels than allowed, all frames together.

        Raises:
            ImageRefusedError: `too_many_pixels`.
        """
        check_pixels(height, width, self.max_pixels, frames=frames)

    def wanted(self, count: int, reason: Reason) -> int:
        """Number of frames or pages to read, of the `count` in the file.

        Raises:
            ImageRefusedError: `reason`, where there are several and policy refuses them.
        """
        policy = self.policies.frames
        what = "frames" if reason is Reason.ANIMATED else "pages"
        if count > 1 and policy is Frames.REFUSE:
            raise ImageRefusedError(
                reason,
                f"it has {count} {what}; set pictures.frames to first or all to sharpen them",
                setting="pictures.frames",
            )
        if count > MOST_FRAMES and policy is Frames.ALL:
            raise ImageRefusedError(
                reason,
                f"it has {count} {what} and at most {MOST_FRAMES} are sharpened; "
                "set pictures.frames to first to sharpen the first",
                setting="pictures.frames",
            )
        return count if policy is Frames.ALL else 1

    def bilevel(self) -> Picture:
        """Apply the policy for images of pure black and white.

        Raises:
            ImageRefusedError: `color_mode`, where policy does not pass it on.
        """
        if self.policies.one_bit is OneBit.PASS and self.policies.metadata is not Metadata.KEEP:
            raise ImageRefusedError(
                Reason.COLOR_MODE,
                "it is pure black and white and would be copied unchanged, with the metadata "
                "that is to be stripped; set pictures.metadata to keep",
                setting="pictures.metadata",
            )
        if self.policies.one_bit is OneBit.PASS:
            note = "it is pure black and white: copied unchanged"
            declared = self.header.height, self.header.width
            return Picture((), self.header.format, (note,), as_it_is=self.data, declared=declared)
        raise ImageRefusedError(
            Reason.COLOR_MODE,
            "it is pure black and white, which cannot be sharper; "
            "set pictures.one_bit to pass to have it copied",
            setting="pictures.one_bit",
        )

    def check_cmyk(self) -> None:
        """Refuse CMYK unless the policy converts it.

        Raises:
            ImageRefusedError: `color_mode`.
        """
        if self.policies.cmyk is Cmyk.REFUSE:
            raise ImageRefusedError(
                Reason.COLOR_MODE,
                "its colours are CMYK; set pictures.cmyk to convert to have them made sRGB through "
                "the file's ICC profile, or through pictures.cmyk_profile",
                setting="pictures.cmyk",
            )


def check_pixels(height: int, width: int, limit: int, *, frames: int = 1) -> None:
    """Refuse images with more pixels than allowed, all frames together.

    Raises:
        ImageRefusedError: `too_many_pixels`.
    """
    pixels = height * width * frames
    if pixels > limit:
        times = f" x {frames} frames" if frames > 1 else ""
        raise ImageRefusedError(
            Reason.TOO_MANY_PIXELS,
            f"the image has {width} x {height}{times} = {pixels / _MEGA:.2f} megapixels and "
            f"{limit / _MEGA:g} are allowed; "
            f"set limits.max_megapixels to {-(-pixels // _MEGA)} or more to let it through",
            setting="limits.max_megapixels",
        )


def color_mode(what: str) -> ImageRefusedError:
    """Error for colours that are stored in an unsupported way."""
    return ImageRefusedError(
        Reason.COLOR_MODE,
        f"its colours are stored as {what}; convert them to gray, RGB or a palette",
    )


def bit_depth(what: str) -> ImageRefusedError:
    """Error for an unsupported bit depth."""
    return ImageRefusedError(
        Reason.BIT_DEPTH,
        f"its samples are {what}, which would not be kept; convert them to 8 bits, or to 16 in a "
        "PNG or TIFF",
    )
