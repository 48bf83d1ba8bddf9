"""Trial of a precision: times of float32 and bfloat16, their likeness, and what follows from them.

Plain values, for processes without torch; `sharpend.model.precision` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
LEAST_GAIN = 1.1
"""Times as fast as float32 that bfloat16 must be to be chosen by itself; less may be noise."""
LEAST_SSIM = 0.999
"""SSIM of finished pixels in bfloat16 to those in float32 below which bfloat16 is refused."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Measurement of one model in both precisions on one machine."""

    key: str
    """SHA-256 of all that the answer depends on: machine, torch, weights, version."""
    float32_ms: float | None
    """Median time of one tile; on a CPU, of one thread. None if bfloat16 does not run."""
    bfloat16_ms: float | None
    """The same in bfloat16."""
    ssim: float | None
    """SSIM of finished pixels, bfloat16 to float32; None as above."""
    remembered: bool = False
    """True if an earlier start measured it."""

    @property
    def is_alike(self) -> bool:
        """True if bfloat16 gives the same image, by `LEAST_SSIM`."""
        return self.ssim is not None and self.ssim >= LEAST_SSIM

    @property
    def gain(self) -> float:
        """Times as fast as float32 that bfloat16 is; 0 if it does not run."""
        if not (self.float32_ms and self.bfloat16_ms):
            return 0.0
        return self.float32_ms / self.bfloat16_ms

    def chosen(self, wanted: str) -> str:
        """Choose the precision: bfloat16 only where it is alike, and wanted or faster."""
        is_worth_it = wanted == BFLOAT16 or (wanted == AUTO and self.gain >= LEAST_GAIN)
        return BFLOAT16 if is_worth_it and self.is_alike else FLOAT32

    def __str__(self) -> str:
        if self.float32_ms is None or self.bfloat16_ms is None or self.ssim is None:
            return "bfloat16 does not run on this device"
        return (
            f"bfloat16 is {self.gain:.2f} times as fast as float32 ({self.bfloat16_ms:.1f} and "
            f"{self.float32_ms:.1f} ms), SSIM {self.ssim:.5f}"
            f"{', remembered' if self.remembered else ''}"
        )
