"""One image before and after the report's degradation, as figures need it.

Selects the part that a figure enlarges, and formats scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.filters import resize
from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import WINDOW_PX, compute_ssim, psnr
from trainer.degradations.reduction import shrunk
from trainer.training.dataset import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.degradations.mixture import Pixels


@dataclass(frozen=True, slots=True)
class Scene:
    """An image before and after it was softened; all H x W x 3 uint8."""

    name: str
    original: Pixels
    small: Pixels
    """Each side divided by four."""
    degraded: Pixels
    """`small` enlarged to the original's size again."""

    def detail(self, width_px: int) -> tuple[slice, slice]:
        """Rows and columns of the part with the strongest edges that softening has left.

        Args:
            width_px: of that part, which has the image's own shape; the image's own width where
                that is smaller.
        """
        height, width = self.original.shape[:2]
        wide = min(width_px, width)
        return most_detailed(self.degraded, height=max(1, wide * height // width), width=wide)

    def fidelity(self, pixels: Pixels) -> str:
        """SSIM and PSNR of an image to the original, for example `SSIM 0.8430, 27.31 dB`."""
        given, target = to_tensor(pixels), to_tensor(self.original)
        return f"SSIM {compute_ssim(given, target).item():.4f}, {psnr(given, target).item():.2f} dB"


def read_scene(image: Path) -> Scene:
    """Read a sharp image and apply the report's degradation.

    Raises:
        InputMissingError, ImageRefusedError: the image cannot be read.
        UsageError: a side is smaller than SSIM's window.
    """
    original = read_image(image)
    height, width = original.shape[:2]
    if min(height, width) < WINDOW_PX:
        raise UsageError(f"{image}: a side has fewer than {WINDOW_PX} pixels")
    small = shrunk(original)
    return Scene(image.stem, original, small, resize(small, height=height, width=width))


def outlined(pixels: Pixels, part: tuple[slice, slice], *, line_px: int) -> Pixels:
    """Copy an image with a white frame around a part, edged in black to be visible anywhere.

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
