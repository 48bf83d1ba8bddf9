"""The report's figures 2 and 3: degraded beside sharpened, the whole image and a detail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.imaging.filters import resize
from sharpend.imaging.sheet import Panel, labelled_sheet
from trainer.figures.scene import outlined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.figures.scene import Scene

LARGEST_PX = (600, 900)
"""(height, width) that an image has at most on the sheet; larger ones are reduced."""


def pair_sheet(name: str, pairs: Sequence[tuple[Scene, Pixels]], *, zoom: int) -> Pixels:
    """Draw two rows for each image: the whole with scores, and the part with the strongest edges.

    Args:
        name: of the network, the title of the right column.
        pairs: each scene with what the network made of its degraded image.
        zoom: how many times each pixel of the detail is repeated; at that size it is as wide as
            the whole image above it.

    Returns:
        H x W x 3 uint8.
    """
    rows = []
    for scene, sharpened in pairs:
        both = (scene.degraded, sharpened)
        height, width = _shown(scene.original)
        part = scene.detail(width // zoom)
        caption = f"detail, enlarged {zoom} times"
        rows += [
            [Panel(_whole(one, part, height, width), scene.fidelity(one)) for one in both],
            [Panel(one[part].repeat(zoom, axis=0).repeat(zoom, axis=1), caption) for one in both],
        ]
    return labelled_sheet(["degraded", name], rows)


def _shown(pixels: Pixels) -> tuple[int, int]:
    """(height, width) on the sheet, aspect kept."""
    height, width = pixels.shape[:2]
    reduced = max(1, height / LARGEST_PX[0], width / LARGEST_PX[1])
    return max(1, round(height / reduced)), max(1, round(width / reduced))


def _whole(pixels: Pixels, part: tuple[slice, slice], height: int, width: int) -> Pixels:
    """The image at a size, with a frame around the part that is shown below it."""
    framed = outlined(pixels, part, line_px=max(2, round(2 * pixels.shape[1] / width)))
    return resize(framed, height=height, width=width)
