"""Comparison of student and teacher on one crop of a real image.

Runs inside a worker. Owns the choice of the crop and the comparison; how often it is done, and the
consequences of the figures, are decided by the daemon.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch.nn import functional

from sharpend.attempt import AgreementSample, CanarySample
from sharpend.errors import UnavailableError
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.tensors import to_tensor
from sharpend.model import weights
from sharpend.model.networks import GRID_PX
from sharpend.model.sharpener import Sharpener, keep_hidden
from sharpend.model.ssim import WINDOW_PX, compute_ssim
from sharpend.model.trial import FLOAT32, TORCH

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sharpend.imaging.depth import Depth
    from sharpend.model.cues import Cues
    from sharpend.model.device import Placement
    from sharpend.model.weights import Card

_LEVELS = 255
Crop = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Parameters with which both models sharpen the crop; see `SecondOpinion.compare`."""

    strength: float
    overshoot: int
    visible: NDArray[np.bool_] | None
    cues: Cues | None


@dataclass(frozen=True, slots=True)
class Taught:
    """One crop, sharpened by the teacher.

    Attributes:
        rows: rows of the crop in the whole image.
        columns: columns of the crop.
        picture: output of the teacher for the crop, 1 x 3 x H x W in [0, 1].
        strength: strength of the teacher's run.
    """

    rows: slice
    columns: slice
    picture: Tensor
    strength: float

    def compared(self, pixels: NDArray[Depth], sharpened: NDArray[Depth]) -> AgreementSample:
        """Compare a student's result with the teacher's.

        Args:
            pixels: the whole input.
            sharpened: the student's result, the same shape and dtype.
        """
        crop = self.rows, self.columns
        return self.crops_compared(pixels[crop], sharpened[crop])

    def crops_compared(self, given: NDArray[Depth], made: NDArray[Depth]) -> AgreementSample:
        """Compare the crop alone, of the input and of the student's result."""
        return self._compared(to_tensor(given), to_tensor(made))

    def _compared(self, given: Tensor, made: Tensor) -> AgreementSample:
        taught = self.picture
        return AgreementSample(
            student=_ssim(made, taught),
            noop=_ssim(given, taught),
            student_residual=_energy(made, taught),
            noop_residual=_energy(given, taught),
            detail=_energy(given, _smoothed(given)) * self.strength**2,
            values=taught.numel(),
        )


class SecondOpinion:
    """Teacher of a student, as its card names it, loaded on the same device, in float32.

    Args:
        student: the card.
        placement: where the teacher runs.
        beside: the folder of the student's file, where its teacher is looked for first.

    Raises:
        UnavailableError: the card names no teacher, it is missing, or it is another one.
    """

    def __init__(self, student: Card, placement: Placement, *, beside: Path | None = None) -> None:
        if student.teacher is None:
            raise UnavailableError(f"model.name: {student.name}: its card names no teacher")
        teacher = weights.load(student.teacher, beside=beside)
        if teacher.digest != student.teacher_digest:
            raise UnavailableError(
                f"model.name: {student.name} was distilled from another {student.teacher} "
                f"({(student.teacher_digest or '')[:12]}) than the one here "
                f"({teacher.digest[:12]}): install both from one training"
            )
        # The alarm's thresholds were measured in float32, and samples are few.
        self._teacher = Sharpener(teacher, replace(placement, runtime=TORCH, precision=FLOAT32))

    def compare(  # noqa: PLR0913 - all that the student was given
        self,
        pixels: NDArray[Depth],
        sharpened: NDArray[Depth] | Sharpener,
        *,
        crop_px: int,
        strength: float,
        overshoot: int,
        visible: NDArray[np.bool_] | None = None,
        cues: Cues | None = None,
    ) -> AgreementSample | None:
        """Sharpen the most detailed crop again with the teacher, and compare.

        Models are compared without crispness: the same mask on both would hide their difference.

        Args:
            pixels: the input, H x W x C uint8 or uint16.
            sharpened: the student's result, same shape and dtype; or the student, if its result
                includes crispness: it sharpens the crop again without.
            crop_px: side of the crop; a smaller image is compared whole.
            strength: 0..2, strength of the student's run.
            overshoot: 0..255, overshoot of the student's run.
            visible: H x W; where it is False both models' pixels are the input's.
            cues: of the whole image; None measures its pixels if the teacher needs cues.

        Returns:
            The sample, or None for a side below SSIM's window.
        """
        how = _Parameters(strength, overshoot, visible, cues)
        crop = _chosen(pixels, crop_px)
        if crop is None:
            return None
        taught = self._taught(pixels, crop, how)
        if isinstance(sharpened, Sharpener):
            return taught.crops_compared(pixels[crop], _crop_by(sharpened, pixels, crop, how))
        return taught.compared(pixels, sharpened)

    def taught(
        self,
        pixels: NDArray[Depth],
        *,
        crop_px: int,
        strength: float,
        overshoot: int,
        visible: NDArray[np.bool_] | None = None,
        cues: Cues | None = None,
    ) -> Taught | None:
        """Sharpen the most detailed crop with the teacher; takes what `compare` takes.

        The teacher sees the crop with its full halo; only the crop itself is compared.
        """
        how = _Parameters(strength, overshoot, visible, cues)
        crop = _chosen(pixels, crop_px)
        return None if crop is None else self._taught(pixels, crop, how)

    def _taught(self, pixels: NDArray[Depth], crop: Crop, how: _Parameters) -> Taught:
        if how.cues is not None or self._teacher.runtime.cued:
            how = replace(how, cues=self._teacher.measured(pixels, how.visible, how.cues))
        taught = _crop_by(self._teacher, pixels, crop, how)
        return Taught(*crop, to_tensor(taught), how.strength)


@dataclass(frozen=True, slots=True)
class Student:
    """A model with its teacher; two may share one."""

    model: Sharpener
    teacher: SecondOpinion


def compare_both(  # noqa: PLR0913 - as `SecondOpinion.compare`
    pixels: NDArray[Depth],
    used: Student,
    canary: Student,
    *,
    crop_px: int,
    strength: float,
    overshoot: int,
    visible: NDArray[np.bool_] | None = None,
    cues: Cues,
) -> CanarySample | None:
    """Sharpen the most detailed crop with two models, and compare each with its own teacher.

    Args:
        pixels: the input, H x W x C.
        used: the model in use.
        canary: the canary.
        crop_px: as in `SecondOpinion.compare`.
        strength: as there.
        overshoot: as there.
        visible: as there.
        cues: of the whole image, by the model in use.

    Returns:
        The sample, or None for a side below SSIM's window.
    """
    crop = _chosen(pixels, crop_px)
    if crop is None:
        return None
    how = _Parameters(strength, overshoot, visible, cues)
    made, used_ms = _timed(used.model, pixels, crop, how)
    own = replace(how, cues=canary.model.measured(pixels, visible, cues))
    tried, canary_ms = _timed(canary.model, pixels, crop, own)
    by_used = by_canary = used.teacher._taught(pixels, crop, how)  # noqa: SLF001 - of this module
    if canary.teacher is not used.teacher:
        by_canary = canary.teacher._taught(pixels, crop, how)  # noqa: SLF001 - of this module
    energy = _energy(to_tensor(tried), to_tensor(made))
    return CanarySample(
        canary=by_canary.crops_compared(pixels[crop], tried),
        used=by_used.crops_compared(pixels[crop], made),
        difference=math.sqrt(energy / by_used.picture.numel()) * _LEVELS,
        canary_ms=canary_ms,
        used_ms=used_ms,
    )


def _chosen(pixels: NDArray[Depth], crop_px: int) -> Crop | None:
    """Choose the crop with most detail, since flat sky hides damage; None for a small image."""
    height, width = (min(size, crop_px) for size in pixels.shape[:2])
    if min(height, width) < WINDOW_PX:
        return None
    return most_detailed(pixels, height=height, width=width)


def _timed(
    sharpener: Sharpener, pixels: NDArray[Depth], crop: Crop, how: _Parameters
) -> tuple[NDArray[Depth], float]:
    """Sharpen a crop, and measure the milliseconds."""
    started_s = time.perf_counter()
    return _crop_by(sharpener, pixels, crop, how), (time.perf_counter() - started_s) * 1000


def _crop_by(
    sharpener: Sharpener, pixels: NDArray[Depth], crop: Crop, how: _Parameters
) -> NDArray[Depth]:
    """Sharpen an image with a model and cut out the crop."""
    around, inside = zip(
        *(
            _with_halo(span, sharpener.halo_px, size)
            for span, size in zip(crop, pixels.shape[:2], strict=True)
        ),
        strict=True,
    )
    made = sharpener.sharpen(
        pixels[around], strength=how.strength, overshoot=how.overshoot, cues=how.cues
    )[inside]
    return keep_hidden(made, pixels[crop], None if how.visible is None else how.visible[crop])


def _with_halo(span: slice, halo_px: int, size: int) -> tuple[slice, slice]:
    """Widen a span by the halo to whole cells of the folded grid; return it and the inner span."""
    start = max(span.start - halo_px, 0) // GRID_PX * GRID_PX
    stop = min(-(-(span.stop + halo_px) // GRID_PX) * GRID_PX, size)
    return slice(start, stop), slice(span.start - start, span.stop - start)


def _ssim(output: Tensor, target: Tensor) -> float:
    return float(compute_ssim(output, target).item())


def _energy(one: Tensor, other: Tensor) -> float:
    """Sum of the squared difference."""
    return float((one.double() - other.double()).square().sum().item())


def _smoothed(picture: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels, at the border over those that exist."""
    return functional.avg_pool2d(picture.double(), 3, 1, padding=1, count_include_pad=False)
