"""Agreement samples whose ratio and measurability are known beforehand."""

from __future__ import annotations

from sharpend.attempt import AgreementSample

VALUES = 64 * 64 * 3


def sample(
    student: float = 0.95,
    noop: float = 0.9,
    *,
    ratio: float = 0.2,
    moved: float = 4.0,
    softness: float = 10.0,
) -> AgreementSample:
    """One crop's sample.

    Args:
        student: SSIM.
        noop: SSIM.
        ratio: residual of the student, as a share of doing nothing's.
        moved: root mean square of teacher - input, in levels of 8 bits.
        softness: the same in multiples of the input's finest detail.
    """
    added = VALUES * (moved / 255) ** 2
    return AgreementSample(student, noop, ratio * added, added, added / softness**2, VALUES)
