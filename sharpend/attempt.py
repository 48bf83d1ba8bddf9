"""Results of an attempt: staged, failed, died with its worker, or lost with its node.

Plain values only: they are sent between processes (see `sharpend.workers.messages`, which lists the
fields with their bounds), and measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.errors import Reason
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.files.preview_layout import Layout


@dataclass(frozen=True, slots=True)
class AgreementSample:
    """Distances to the teacher on one crop, of the student's result and of the input.

    Sums are over R, G and B of finished pixels scaled to [0, 1], in double precision.
    """

    student: float
    """SSIM to the teacher, RGB mean, data range 1.0."""
    noop: float
    """The same of the input."""
    student_residual: float
    """Sum of |student - teacher|²."""
    noop_residual: float
    """Sum of |input - teacher|²: what the teacher adds."""
    detail: float
    """Sum of |input - its mean over 3 x 3 pixels|², times the square of the strength, as what
    models add is: the finest detail that was there already."""
    values: int
    """Numbers in each sum: pixels times three."""

    @property
    def event_values(self) -> dict[str, float | None]:
        """Return SSIM of student and input, and the crop's residual ratio, for log and page."""
        moved = self.noop_residual
        return {
            "ssim": round(self.student, 4),
            "noop_ssim": round(self.noop, 4),
            "residual_ratio": round(self.student_residual / moved, 4) if moved else None,
        }


@dataclass(frozen=True, slots=True)
class CanarySample:
    """A canary and the model in use on one crop."""

    canary: AgreementSample
    used: AgreementSample
    """The model in use on the same crop."""
    difference: float
    """Root mean square of canary - model in use, levels of 8 bit."""
    canary_ms: float
    """Milliseconds in which the canary sharpened the crop, with its halo."""
    used_ms: float


@dataclass(frozen=True, slots=True)
class Staged:
    """Result of a successful task: the output is durable under its temporary name."""

    job_id: int
    temp_name: bytes
    """Name of the staged file, as the task gave it."""
    fingerprint: Fingerprint
    """Of the staged file: a rename keeps it, so it proves whose output a file is."""
    height: int
    width: int
    pixels: int
    """Of all frames or pages together; none of a file that was passed on as it is."""
    frames: int = 1
    stages_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent by stage: decode, measure, infer, agree, canary, preview, encode."""
    agreement: AgreementSample | None = None
    canary: CanarySample | None = None
    preview: Layout | None = None
    """The preview that was written; None: none was asked for, or `notes` say why there is none."""
    model_digest: str = ""
    tile_px: int = 0
    notes: tuple[str, ...] = ()
    """Notes on changes, for example a palette written as RGB."""
    losses: tuple[str, ...] = ()
    """Content of the input that the output does not hold, for example a depth map."""
    sharpness: float | None = None
    """Sharpness of the first frame's input (`Cues.judged`); None without frames, too."""
    input_digest: str | None = None
    """SHA-256 of the input file's bytes, lower-case hexadecimal."""
    node: str = ""
    """Name of the node of a cluster that did it; empty for this machine. The pool enters it."""


class Failure(StrEnum):
    """Kinds of failure; each has one consequence."""

    REFUSED = "refused"
    TRANSIENT = "transient"
    FOLDER = "folder"
    CHANGED = "changed"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Failed:
    """Result of a failed task."""

    job_id: int
    failure: Failure
    reason: Reason | None
    message: str
    setting: str | None = None
    stage: str = ""
    input_digest: str | None = None
    """SHA-256 of the input file's bytes, lower-case hexadecimal; None if it was not read whole."""
    node: str = ""
    """As of `Staged`."""


@dataclass(frozen=True, slots=True)
class Died:
    """Result of a task whose worker ended, was killed, or was stopped."""

    job_id: int
    cause: str
    """For example `SIGSEGV`, `exit status 1`, `timed out after 600 s`."""
    setting: str | None = None
    """The setting whose limit it was stopped for."""
    node: str = ""
    """As of `Staged`."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Result of a task whose worker was lost with its fork server or its node.

    That is no fault of the image.
    """

    job_id: int
    node: str
    """Name of the node, or of this machine; empty where the whole cluster was out of reach."""
    cause: str


WorkerResult = Staged | Failed | Died
"""Result of a worker that could be reached until its end."""
AttemptResult = WorkerResult | Lost
"""Result of an attempt."""
