"""What a picture's header says before any decoder is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpend.imaging.formats import Format


@dataclass(frozen=True, slots=True)
class Header:
    """Size and depth, and what decoders do not tell."""

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
    """AVIF and HEIC only: the colour primaries (ITU-T H.273), where they are told."""
    transfer: int | None = None
    """AVIF and HEIC only: the transfer characteristics, likewise."""
    lossless: bool = False
    """AVIF and JPEG XL only: its numbers are exact."""
    animated: bool = False
    """JPEG XL only: it moves, though its reader shows the first frame alone."""
