"""Trial of a model's forms: times, likeness to torch in float32, and what follows from them.

A form is a runtime and a precision. Plain values, for processes without torch;
`sharpend.model.precision` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

AUTO = "auto"
TORCH, OPENVINO = "torch", "openvino"
FLOAT32, BFLOAT16, FLOAT16, INT8 = "float32", "bfloat16", "float16", "int8"
RUNTIMES, PRECISIONS = (TORCH, OPENVINO), (FLOAT32, BFLOAT16, FLOAT16, INT8)
LEAST_GAIN = 1.1
"""Times as fast as a simpler form that one must be to be chosen by itself; less may be noise."""
LEAST_SSIM = {FLOAT32: 0.999, BFLOAT16: 0.999, FLOAT16: 0.999, INT8: 0.998}
"""SSIM of finished pixels to those of torch in float32 below which a form is refused."""


@dataclass(frozen=True, slots=True)
class Form:
    """A runtime and a precision, as measured on one machine."""

    runtime: str
    precision: str
    ms: float | None = None
    """Median time of one tile; on a CPU, of one thread. None if it does not run here."""
    ssim: float | None = None
    """SSIM of finished pixels to those of torch in float32; None as above."""

    @property
    def is_alike(self) -> bool:
        """True if it gives the same image, by `LEAST_SSIM`."""
        return self.ssim is not None and self.ssim >= LEAST_SSIM[self.precision]

    def fits(self, runtime: str, precision: str) -> bool:
        """Return whether the settings allow it; `auto` allows all."""
        return runtime in (AUTO, self.runtime) and precision in (AUTO, self.precision)

    def __str__(self) -> str:
        return self.precision if self.runtime == TORCH else f"{self.runtime} {self.precision}"


@dataclass(frozen=True, slots=True)
class Trial:
    """Measurement of one model in several forms on one machine."""

    key: str
    """SHA-256 of all that the answer depends on: machine, runtimes, weights, version."""
    float32_ms: float | None
    """Median time of one tile by torch in float32; None if no other form runs."""
    others: tuple[Form, ...]
    """The other forms that the settings allow, the simplest first."""
    remembered: bool = False
    """True if an earlier start measured it."""

    def form(self, precision: str, runtime: str = TORCH) -> Form:
        """Return a form as measured; without numbers if it was not."""
        found = (one for one in self.others if (one.runtime, one.precision) == (runtime, precision))
        return next(found, Form(runtime, precision))

    def refused(self, runtime: str, precision: str) -> tuple[Form, ...]:
        """Return the forms that settings allow and whose pixels are another image."""
        return tuple(
            one
            for one in self.others
            if one.fits(runtime, precision) and one.ssim is not None and not one.is_alike
        )

    def chosen(self, runtime: str, precision: str) -> Form:
        """Choose the fastest form of those that are alike and allowed, else torch in float32.

        A form that is less simple must be faster by `LEAST_GAIN`.
        """
        exact = Form(TORCH, FLOAT32, self.float32_ms, 1.0)
        allowed = [one for one in (exact, *self.others) if one.fits(runtime, precision)]
        return reduce(_faster, (one for one in allowed if one.is_alike), None) or exact

    def __str__(self) -> str:
        measured = "; ".join(self._told(one) for one in self.others)
        return f"{measured}{', remembered' if self.remembered else ''}"

    def _told(self, form: Form) -> str:
        if form.ms is None or form.ssim is None or not self.float32_ms:
            return f"{form} does not run on this device"
        return (
            f"{form} is {self.float32_ms / form.ms:.2f} times as fast as float32 ({form.ms:.1f} "
            f"and {self.float32_ms:.1f} ms), SSIM {form.ssim:.5f}"
        )


def _faster(best: Form | None, other: Form) -> Form:
    if best is None or not (best.ms and other.ms):
        return best or other
    return other if other.ms * LEAST_GAIN <= best.ms else best
