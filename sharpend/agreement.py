"""The teacher's second opinion: SSIM between student and teacher on one crop of a real picture.

Runs inside a worker. Owns the choice of the crop and the comparison; how often it is asked for,
and what follows from the numbers, is the daemon's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError
from sharpend.imaging.sheet import most_detailed
from sharpend.imaging.tensors import to_tensor
from sharpend.job import AgreementSample
from sharpend.model import weights
from sharpend.model.cues import measure
from sharpend.model.networks import GRID_PX
from sharpend.model.ssim import WINDOW_PX, compute_ssim
from sharpend.sharpener import Sharpener

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Depth
    from sharpend.model.cues import Cues
    from sharpend.model.runtime import Placement
    from sharpend.model.weights import Card


class SecondOpinion:
    """The teacher that a student's card names, placed beside it.

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
        self._teacher = Sharpener(teacher, placement)

    def compare(
        self,
        pixels: NDArray[Depth],
        sharpened: NDArray[Depth] | Sharpener,
        *,
        crop_px: int,
        strength: float,
        overshoot: int,
        cues: Cues | None = None,
    ) -> AgreementSample | None:
        """Sharpen the most detailed crop again with the teacher, and compare.

        Flat sky hides damage, so the crop with most detail is taken. The teacher sees the crop
        with its full halo; only the crop itself is compared. Networks are compared: a mask that
        both would bear makes them alike, and doing nothing unlike.

        Args:
            pixels: the input, H x W x C uint8 or uint16.
            sharpened: the student's result, same shape and dtype; or the student, where its
                result bears crispness: it sharpens the crop again without.
            crop_px: side of the crop; a smaller picture is compared whole.
            strength: 0..2, what the student was run with.
            overshoot: 0..255, likewise.
            cues: of the whole image; None measures its pixels if the teacher has use for that.

        Returns:
            SSIM of student and of input to the teacher, or None for a side below SSIM's window.
        """
        height, width = (min(size, crop_px) for size in pixels.shape[:2])
        if min(height, width) < WINDOW_PX:
            return None
        rows, columns = most_detailed(pixels, height=height, width=width)
        if cues is None and self._teacher.runtime.cued:
            cues = measure(pixels)

        def crop_by(sharpener: Sharpener) -> NDArray[Depth]:
            around, inside = zip(
                _with_halo(rows, sharpener.halo_px, pixels.shape[0]),
                _with_halo(columns, sharpener.halo_px, pixels.shape[1]),
                strict=True,
            )
            return sharpener.sharpen(
                pixels[around], strength=strength, overshoot=overshoot, cues=cues
            )[inside]

        taught = crop_by(self._teacher)
        made = crop_by(sharpened) if isinstance(sharpened, Sharpener) else sharpened[rows, columns]
        return AgreementSample(
            student=_ssim(made, taught), noop=_ssim(pixels[rows, columns], taught)
        )


def _with_halo(span: slice, halo_px: int, size: int) -> tuple[slice, slice]:
    """The span widened by the halo to whole cells of the folded grid, and the span inside of it."""
    start = max(span.start - halo_px, 0) // GRID_PX * GRID_PX
    stop = min(-(-(span.stop + halo_px) // GRID_PX) * GRID_PX, size)
    return slice(start, stop), slice(span.start - start, span.stop - start)


def _ssim(output: NDArray[Depth], target: NDArray[Depth]) -> float:
    return float(compute_ssim(to_tensor(output), to_tensor(target)).item())
