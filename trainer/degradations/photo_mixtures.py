"""Photo mixtures that recipes name: shares of kinds, other parameters, and texts of the card.

`registry` gives them their names.
"""

from __future__ import annotations

from dataclasses import replace

from trainer.degradations.mixture import Degradation
from trainer.degradations.photo import KINDS, PROCESSED, SHARES, PhotoMixture

_MORE_PASSES_SHARES = (0.12, 0.04, 0.22, 0.24, 0.11, 0.06, 0.03, 0.18)
"""Shares with half as many outputs of networks again."""
_SLIGHT_SHARES = (0.12, 0.04, 0.22, 0.20, 0.10, 0.16, 0.03, 0.13)
"""Shares with more motion and fewer resized images."""
_MOTION_SHARES = (0.12, 0.04, 0.18, 0.17, 0.09, 0.25, 0.03, 0.12)
_NOISIER_SHARES = (0.14, 0.04, 0.17, 0.20, 0.10, 0.16, 0.03, 0.16)
"""Shares with more outputs of networks than "photo-motion", and less motion."""
_BLOOMING_SHARES = (0.14, 0.04, 0.15, 0.27, 0.11, 0.12, 0.03, 0.14)

_USE = """\
Photographs that are softer than they could be: enlarged from a smaller file, scaled by a sloppy
tool, slightly out of focus or moved, with noise and JPEG compression as cameras leave them. How
soft an image is, is measured over the whole of it (`sharpend.model.cues`) and given to the model,
so that sharp images stay nearly as they are. Trained on the mixture `{degradation}` of the
trainer's degradations."""

_LIMITS = """\
- It restores lost sharpness only; noise and compression stay as they are.
- Heavy defocus and long motion are out of its reach: such images are changed little.
- Fine regular patterns that fill an image, as gratings and chequerboards, are left as they are.
- Noise looks like sharpness: of a soft image with strong noise less is restored.
- An original that is soft on purpose may come out a little crisper; `strength` below 1 softens the
  effect.
- Detail that is lost is guessed. Do not use the output as evidence or for measurements."""


def _without_sharpened() -> tuple[float, ...]:
    """Shares without images that are sharpened already; the others grow in proportion."""
    kept = [0.0 if kind in PROCESSED else each for kind, each in zip(KINDS, SHARES, strict=True)]
    return tuple(each / sum(kept) for each in kept)


photo = PhotoMixture()
PHOTO = Degradation(photo, _USE, _LIMITS)
PHOTO_MORE_PASSES = Degradation(
    PhotoMixture(shares=_MORE_PASSES_SHARES, twice=0.6, least_noise=0.35), _USE, _LIMITS
)
PHOTO_SLIGHT = Degradation(
    PhotoMixture(shares=_SLIGHT_SHARES, twice=0.6, least_noise=0.35, slight=0.25, drawn=0.06),
    _USE,
    _LIMITS,
)
PHOTO_MOTION = Degradation(
    PhotoMixture(shares=_MOTION_SHARES, twice=0.6, least_noise=0.35, slight=0.35, drawn=0.05),
    _USE,
    _LIMITS,
)
_noisier = PhotoMixture(
    shares=_NOISIER_SHARES,
    twice=0.6,
    least_noise=0.35,
    slight=0.25,
    drawn=0.05,
    noisy=0.5,
    compressed=0.5,
)
PHOTO_NOISIER = Degradation(_noisier, _USE, _LIMITS)
PHOTO_IN_CAMERA = Degradation(replace(_noisier, in_camera=0.3), _USE, _LIMITS)
PHOTO_SOFT_CAMERA = Degradation(
    replace(_noisier, in_camera=0.5, camera_sharpens=0.4), _USE, _LIMITS
)
_blooming = replace(
    _noisier,
    shares=_BLOOMING_SHARES,
    slight=0.15,
    in_camera=0.35,
    camera_sharpens=0.4,
    blooming=0.2,
)
PHOTO_BLOOMING = Degradation(_blooming, _USE, _LIMITS)
PHOTO_DRAWN_FACTORS = Degradation(PhotoMixture(exact=0), _USE, _LIMITS)
PHOTO_UNSHARPENED = Degradation(PhotoMixture(shares=_without_sharpened()), _USE, _LIMITS)
