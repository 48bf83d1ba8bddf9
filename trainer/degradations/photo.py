"""The photo mixture: photographs of any softness, as users have them, in eight kinds.

Owns the kinds of softness and the ranges that are drawn from; the mixtures that recipes name, which
differ in shares, are in `photo_mixtures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpend.imaging.filters import KERNELS
from trainer.degradations import blur, camera, lights
from trainer.degradations.drawing import drawing
from trainer.degradations.mixture import UNTOUCHED, Degraded, chance, residual_target
from trainer.degradations.reduction import get_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.degradations.mixture import Pixels, Sharpen

RESIZE, SHARPENED, SECOND_PASS = "resize", "sharpened", "second-pass"
KINDS = (UNTOUCHED, "x4", RESIZE, "gaussian", "defocus", "motion", SHARPENED, SECOND_PASS)
PROCESSED = (SHARPENED, SECOND_PASS)
SHARP = (UNTOUCHED, SHARPENED)
"""Kinds whose target is the input itself."""
SHARES = (0.14, 0.05, 0.25, 0.24, 0.11, 0.06, 0.03, 0.12)
_PROCESSED_KINDS = (UNTOUCHED, "resize", "gaussian", "defocus")
_PROCESSED_SHARES = (0.1, 0.3, 0.4, 0.2)
"""Softening before an image is sharpened, by a mask or a network."""
_EXACT_FACTORS = (1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class PhotoMixture:
    """Mixture of photographs of any softness.

    Order of steps: blur by lens, motion or resizing; noise; noise reduction; sharpening; JPEG. Some
    images are not softened, and some are sharpened already: their target is the input. Outputs of a
    network have the original as target, because the next pass may restore what the first left soft,
    and has to undo what it sharpened too much: a third pass then changes little.

    Attributes:
        shares: share of each of KINDS.
        exact: share of resizing by one of the exact factors, of all resizing.
        twice: share of the outputs of a network that went through it twice.
        least_noise: lowest sigma of sensor noise, levels of 255.
        slight: share of the optical kinds that are slight, and followed by no further step. Such
            images look sharp, and can be restored best.
        drawn: share of originals that are replaced by a drawing, or have one on them.
        noisy: share of images with sensor noise, of those that a camera develops.
        compressed: share of images with JPEG compression, of the same.
        in_camera: share of images with slight or no blur that go through every step of a camera.
        camera_sharpens: share of these that the camera sharpens.
        blooming: share of images with slight or no blur that are dark, with bright lights that were
            blurred before they were clipped; most go through every step of a camera.
    """

    shares: tuple[float, ...] = SHARES
    exact: float = 0.5
    twice: float = 0.5
    least_noise: float = 0.7
    slight: float = 0.0
    drawn: float = 0.0
    noisy: float = 0.4
    compressed: float = 0.4
    in_camera: float = 0.0
    camera_sharpens: float = 0.7
    blooming: float = 0.0

    def __call__(
        self, pixels: Pixels, generator: np.random.Generator, sharpen: Sharpen | None = None
    ) -> Degraded:
        """Degrade an original as photographs are degraded before a user gets them.

        Args:
            pixels: the original, H x W x 3 uint8.
            generator: of every choice.
            sharpen: a model that makes the kind "second-pass"; without one, that share is
                "sharpened".
        """
        if self.drawn and chance(generator, self.drawn):
            pixels = drawing(pixels, generator)
        kind = KINDS[generator.choice(len(KINDS), p=self.shares)]
        if self.blooming and kind in lights.BLURS and chance(generator, self.blooming):
            return self._bloomed(pixels, kind, generator)
        if self.in_camera and kind in _TAKEN and chance(generator, self.in_camera):
            soft = _TAKEN[kind](pixels, generator)
            given, clean = _taken(soft, generator, self.camera_sharpens)
            reference = clean if kind == UNTOUCHED else pixels
            return Degraded(kind, given, residual_target(given, reference, clean))
        if self.slight and kind in _SLIGHT and chance(generator, self.slight):
            return Degraded(kind, _SLIGHT[kind](pixels, generator), pixels)
        if kind in PROCESSED:
            if kind == SHARPENED or sharpen is None:
                return self._already_sharpened(pixels, generator)
            return self._second_pass(pixels, generator, sharpen)
        soft = self.softened(pixels, kind, generator)
        given = clean = soft
        if kind != "x4" or not chance(generator, 0.8):  # the report's has no further step
            given, clean = self._developed(soft, generator)
        reference = clean if kind == UNTOUCHED else pixels
        return Degraded(kind, given, residual_target(given, reference, clean))

    def _bloomed(self, pixels: Pixels, kind: str, generator: np.random.Generator) -> Degraded:
        """A dark image with bright lights that were blurred before they were clipped."""
        scene = lights.scene(pixels, generator)
        sharp, given = blur.exposed(scene), blur.exposed(lights.BLURS[kind](scene, generator))
        clean = given
        if chance(generator, 0.7):
            given, clean = _taken(given, generator, self.camera_sharpens)
        reference = clean if kind == UNTOUCHED else sharp
        return Degraded(kind, given, residual_target(given, reference, clean))

    def softened(self, pixels: Pixels, kind: str, generator: np.random.Generator) -> Pixels:
        """Soften an image by this kind; a quarter of the optical kinds a second time."""
        if kind == RESIZE:
            return self._resized(pixels, generator)
        soft = _SOFTENERS[kind](pixels, generator)
        if kind in ("gaussian", "defocus", "motion") and chance(generator, 0.25):
            if chance(generator, 0.3):
                return self._resized(soft, generator)
            return blur.gaussian(soft, generator.uniform(0.3, 0.8))
        return soft

    def _resized(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        factor = float(np.exp(generator.uniform(np.log(1.15), np.log(4))))
        if chance(generator, self.exact):
            factor = float(generator.choice(_EXACT_FACTORS))
        kernels = list(KERNELS)
        down = "bicubic" if chance(generator, 0.6) else str(generator.choice(kernels))
        up = "bicubic" if chance(generator, 0.7) else str(generator.choice(kernels[:3]))
        antialias = chance(generator, 0.85)
        return blur.resized(pixels, factor, down=down, up=up, antialias=antialias)

    def _already_sharpened(self, pixels: Pixels, generator: np.random.Generator) -> Degraded:
        """An image, soft or sharp, after an unsharp mask of a random radius."""
        kind = str(generator.choice(_PROCESSED_KINDS, p=_PROCESSED_SHARES))
        soft = self._developed(self.softened(pixels, kind, generator), generator)[0]
        radius, percent = generator.uniform(0.5, 3.0), int(generator.integers(60, 260))
        given = camera.sharpened(soft, radius, percent, int(generator.integers(0, 3)))
        return Degraded(SHARPENED, given, given)

    def _second_pass(
        self, pixels: Pixels, generator: np.random.Generator, sharpen: Sharpen
    ) -> Degraded:
        """An image, soft or sharp, after one or two passes of a network."""
        kind = str(generator.choice(_PROCESSED_KINDS, p=_PROCESSED_SHARES))
        given, clean = self._developed(self.softened(pixels, kind, generator), generator)
        reference = clean if kind == UNTOUCHED else pixels
        for _ in range(2 if chance(generator, self.twice) else 1):
            noisy = given is not clean
            clean = sharpen(clean)
            given = sharpen(given) if noisy else clean
        return Degraded(SECOND_PASS, given, residual_target(given, reference, clean))

    def _developed(self, soft: Pixels, generator: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Apply sensor noise, processing and compression; return the image, and one without noise.

        The second is the reference of the target, so that detail restored by the camera's own
        sharpening is not added twice.
        """
        given = clean = soft
        if chance(generator, self.noisy):
            sigma = float(np.exp(generator.uniform(np.log(self.least_noise), np.log(8))))
            grain_px = float(generator.choice([0, 0, 0.6, 1.0]))
            given = camera.noisy(
                given, sigma, generator, shot=generator.random(), grain_px=grain_px
            )
            if chance(generator, 0.35):
                strength = sigma * generator.uniform(0.4, 1.0)
                given, clean = (camera.denoised(one, strength) for one in (given, clean))
        if chance(generator, 0.15):
            radius, percent = generator.uniform(0.5, 1.5), int(generator.integers(20, 90))
            given, clean = (camera.sharpened(one, radius, percent) for one in (given, clean))
        if chance(generator, self.compressed):
            quality, subsampling = int(generator.integers(60, 99)), int(generator.choice([0, 2, 2]))
            given = camera.jpeg(given, quality, subsampling=subsampling)
        return given, clean


def _taken(soft: Pixels, generator: np.random.Generator, sharpened: float) -> tuple[Pixels, Pixels]:
    """Apply noise, its reduction, sharpening (to this share) and compression, as cameras do.

    Returns the image, and one without noise and compression.
    """
    sigma = float(np.exp(generator.uniform(np.log(0.7), np.log(5))))
    given = camera.noisy(soft, sigma, generator, shot=generator.random())
    strength = sigma * generator.uniform(0.6, 1.3)
    given, clean = (camera.denoised(one, strength) for one in (given, soft))
    if chance(generator, sharpened):
        radius, percent = generator.uniform(0.5, 1.2), int(generator.integers(20, 100))
        given, clean = (camera.sharpened(one, radius, percent) for one in (given, clean))
    quality, subsampling = int(generator.integers(85, 99)), int(generator.choice([0, 2]))
    return camera.jpeg(given, quality, subsampling=subsampling), clean


def _gaussian(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    low, high = (0.3, 3.2) if chance(generator, 0.5) else (0.4, 1.6)
    return blur.gaussian(pixels, generator.uniform(low, high), linear=chance(generator, 0.15))


def _defocus(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    return blur.defocus(pixels, generator.uniform(0.7, 3.3), linear=chance(generator, 0.3))


def _motion(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    angle = generator.uniform(0, np.pi)
    return blur.motion(pixels, generator.uniform(2, 8), angle, linear=chance(generator, 0.3))


def _x4(pixels: Pixels, _: np.random.Generator) -> Pixels:
    return get_transform()(pixels)[0]


_SOFTENERS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    UNTOUCHED: lambda pixels, _: pixels,
    "x4": _x4,
    "gaussian": _gaussian,
    "defocus": _defocus,
    "motion": _motion,
}


_SLIGHT: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "gaussian": lambda pixels, generator: blur.gaussian(pixels, generator.uniform(0.35, 1.2)),
    "defocus": lambda pixels, generator: blur.defocus(pixels, generator.uniform(0.8, 2.0)),
    "motion": lambda pixels, generator: blur.motion(
        pixels, generator.uniform(2, 6), generator.uniform(0, np.pi)
    ),
}
"""The optical kinds, slight."""
_TAKEN = {UNTOUCHED: _SOFTENERS[UNTOUCHED], **_SLIGHT}
"""Kinds of softness of photographs as a camera takes them."""
