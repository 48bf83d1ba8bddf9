"""Bright lights in the dark: scenes with lights that are brighter than white.

Blur happens in the lens, before the sensor clips. So a clipped light has wide, even tops and steep
sides, which no blur of a clipped image has. A scene holds linear light, 1 is white and more is
clipped.

Source: the model of saturated pixels of Cho, Wang and Lee 2011, "Handling outliers in non-blind
image deconvolution" (ICCV).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

from trainer.degradations import blur
from trainer.degradations.mixture import UNTOUCHED, chance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from trainer.degradations.mixture import Pixels

_COLOURS = 4
_MOST_LIGHTS = 30
"""Of each colour."""
_BRIGHTEST = 12.0
"""Times as bright as white."""
_OVERSAMPLED = 4
"""Lights are drawn in pixels of a quarter of the size."""


def scene(pixels: Pixels, generator: np.random.Generator) -> torch.Tensor:
    """Make a scene of a darkened image, with points and lines of light on most.

    Args:
        pixels: the image, H x W x 3 uint8.
        generator: of every choice.

    Returns:
        3 x 1 x H x W float32, linear light.
    """
    light = _darkened(pixels, generator)
    if chance(generator, 0.6):
        dimmed = float(np.exp(generator.uniform(np.log(0.02), 0)))
        light = light * dimmed + _lights(pixels.shape[:2], generator)
    return light


def _darkened(pixels: Pixels, generator: np.random.Generator) -> torch.Tensor:
    """Darken most of an image by a power, and brighten it until some pixels are above white."""
    light = blur.light(pixels) ** generator.uniform(1, 2.5)
    share = float(np.exp(generator.uniform(np.log(0.002), np.log(0.08))))
    white = float(np.quantile(light.amax(0).numpy(), 1 - share))
    return light * min(1 / max(white, 1e-3), _BRIGHTEST)


def _lights(size: tuple[int, int], generator: np.random.Generator) -> torch.Tensor:
    """Draw points and lines of light in a few colours, 3 x 1 x height x width.

    All lines of an image have one direction, as trails of stars have, or each has its own.
    """
    light = torch.zeros(3, 1, *size)
    angle = generator.uniform(0, np.pi)
    direction = angle if chance(generator, 0.5) else None
    longest_px = float(np.exp(generator.uniform(np.log(20), np.log(300))))
    lines = generator.random()
    for _ in range(_COLOURS):
        drawn = _drawn(size, direction, longest_px, lines, generator)
        colour = generator.uniform(0.4, 1, 3) ** 2
        brightness = float(np.exp(generator.uniform(np.log(0.1), np.log(_BRIGHTEST))))
        tint = torch.from_numpy((colour * brightness).astype(np.float32)).view(3, 1, 1, 1)
        light += tint * torch.from_numpy(drawn)
    return light


def _drawn(
    size: tuple[int, int],
    direction: float | None,
    longest_px: float,
    lines: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw lights of one colour, 0..1.

    Args:
        size: height and width.
        direction: of all lines, radians; None: each has its own.
        longest_px: half the length of the longest line.
        lines: share of the lights that are lines, 0..1; the others are points.
        generator: of every choice.
    """
    height, width = (side * _OVERSAMPLED for side in size)
    sheet = Image.new("L", (width, height))
    canvas = ImageDraw.Draw(sheet)
    for _ in range(int(generator.integers(1, _MOST_LIGHTS))):
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        across = generator.uniform(0.5, 4) * _OVERSAMPLED
        if not chance(generator, lines):
            canvas.ellipse((x, y, x + across, y + across), fill=255)
            continue
        along = generator.uniform(0, np.pi) if direction is None else direction
        half = longest_px * _OVERSAMPLED * generator.uniform(0.2, 1)
        right, down = half * np.cos(along), half * np.sin(along)
        ends = (x - right, y - down, x + right, y + down)
        canvas.line(ends, fill=255, width=max(1, round(across)))
    reduced = sheet.resize((size[1], size[0]), Image.Resampling.BOX)
    return np.asarray(reduced, np.float32) / np.float32(255)


BLURS: Mapping[str, Callable[[torch.Tensor, np.random.Generator], torch.Tensor]] = {
    UNTOUCHED: lambda scene, _: scene,
    "gaussian": lambda scene, g: blur.filtered(scene, blur.bell(g.uniform(0.35, 1.5))),
    "defocus": lambda scene, g: blur.filtered(scene, [blur.disk(g.uniform(0.8, 2.2))]),
    "motion": lambda scene, g: blur.filtered(
        scene, [blur.line(g.uniform(2, 6), g.uniform(0, np.pi))]
    ),
}
"""Slight blurs of a scene, by kind."""
