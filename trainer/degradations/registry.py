"""Registry of degradations: the mixtures that `data.degradation` of a recipe may name.

A name is written into the pool, the checkpoint and the card of the weights. To add a mixture, write
a module with its function and its texts for the model card, and add a line here; a further kind of
softness within the photo mixture belongs to `photo`, its shares to `photo_mixtures`. No other code
refers to a mixture by name, except to REDUCTION, the only one that needs no pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.model.weights import REDUCTION
from trainer.degradations.photo_mixtures import (
    PHOTO,
    PHOTO_BLOOMING,
    PHOTO_DRAWN_FACTORS,
    PHOTO_IN_CAMERA,
    PHOTO_MORE_PASSES,
    PHOTO_MOTION,
    PHOTO_NOISIER,
    PHOTO_SLIGHT,
    PHOTO_SOFT_CAMERA,
    PHOTO_UNSHARPENED,
)
from trainer.degradations.reduction import REPORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.degradations.mixture import Degradation

DEGRADATIONS: Mapping[str, Degradation] = {
    REDUCTION: REPORT,
    "photo": PHOTO,
    "photo-more-passes": PHOTO_MORE_PASSES,
    "photo-slight": PHOTO_SLIGHT,
    "photo-motion": PHOTO_MOTION,
    "photo-noisier": PHOTO_NOISIER,
    "photo-in-camera": PHOTO_IN_CAMERA,
    "photo-soft-camera": PHOTO_SOFT_CAMERA,
    "photo-blooming": PHOTO_BLOOMING,
    "photo-drawn-factors": PHOTO_DRAWN_FACTORS,
    "photo-unsharpened": PHOTO_UNSHARPENED,
}
"""Every degradation by its name: the report's, and photographs of any softness.

"photo-more-passes" has more outputs of networks and fainter noise than "photo", "photo-slight" more
slight blurs and motion, and drawings, "photo-motion" more of both again, "photo-noisier" more
noise, compression and outputs of networks, "photo-in-camera" more images that went through every
step of a camera, "photo-soft-camera" still more of them, which the camera sharpens less often.
"photo-blooming" has dark images with bright lights that were blurred before they were clipped. The
last two lack a part of "photo", for the ablation: resizing by exactly 1.5, 2, 3 and 4, and images
that are sharpened already.
"""
