"""One picture on the report's way, from the original to what the networks see and are told.

Owns which part of it a figure enlarges, and how its scores are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.filters import resize
from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import WINDOW_PX, compute_ssim, psnr
from trainer.dataset import read_picture
from trainer.degradation import shrunk

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.degradation import Pixels


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture before and after it was softened; all H x W x 3 uint8."""

    name: str
    original: Pixels
    small: Pixels
    """Each side divided by four."""
    degraded: Pixels
    """`small` enlarged to the original's size again."""

    def detail(self, width_px: int) -> tuple[slice, slice]:
        """Rows and columns of the part with the strongest edges that softening has left.

        Args:
            width_px: of that part, which has the picture's own shape; the picture's own width where
                that is smaller.
        """
        height, width = self.original.shape[:2]
        wide = min(width_px, width)
        return most_detailed(self.degraded, height=max(1, wide * height // width), width=wide)

    def fidelity(self, pixels: Pixels) -> str:
        """SSIM and PSNR of a picture to the original, for example `SSIM 0.8430, 27.31 dB`."""
        given, target = to_tensor(pixels), to_tensor(self.original)
        return f"SSIM {compute_ssim(given, target).item():.4f}, {psnr(given, target).item():.2f} dB"


def read_scene(picture: Path) -> Scene:
    """Read a sharp picture and soften it as the report does.

    Raises:
        InputMissingError, ImageRefusedError: the picture cannot be read.
        UsageError: a side is smaller than SSIM's window.
    """
    original = read_picture(picture)
    height, width = original.shape[:2]
    if min(height, width) < WINDOW_PX:
        raise UsageError(f"{picture}: a side has fewer than {WINDOW_PX} pixels")
    small = shrunk(original)
    return Scene(picture.stem, original, small, resize(small, height=height, width=width))


def outlined(pixels: Pixels, part: tuple[slice, slice], *, line_px: int) -> Pixels:
    """A copy with a white frame around a part of it, edged in black so that it shows on any ground.

    Args:
        pixels: H x W x 3 uint8.
        part: rows and columns inside the frame.
        line_px: width of the white line; the black one beside it is half as wide.
    """
    framed = pixels.copy()
    edge_px = max(1, line_px // 2)
    for reach, value in ((line_px + edge_px, 0), (line_px, 255)):
        framed[_wider(part, reach)] = value
    framed[part] = pixels[part]
    return framed


def _wider(part: tuple[slice, slice], reach: int) -> tuple[slice, slice]:
    rows, columns = part
    return (
        slice(max(rows.start - reach, 0), rows.stop + reach),
        slice(max(columns.start - reach, 0), columns.stop + reach),
    )
