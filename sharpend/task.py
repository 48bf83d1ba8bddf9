"""Tasks: one attempt at one job, the options it is made with, and the results of workers.

Plain values only: everything here is sent between processes (see `sharpend.workers.messages`, which
lists the fields with their bounds). Paths are bytes, because a file's name
on Linux is bytes; `relative` paths are below a folder's root.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from sharpend.files.access import Access
from sharpend.policies import Compression, Policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.errors import Reason
    from sharpend.files.fingerprint import Fingerprint
    from sharpend.files.previews import Layout

OVERSHOOT = 48
"""Default: the smallest bound that was found to cost no fidelity."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options for sharpening and writing one folder's images, as workers need them."""

    model: str
    """A shipped model's name or the path of a weights file."""
    strength: float = 1.0
    """0..2, scales what the model adds to the image."""
    crispness: float = 0.0
    """0..1, how much of a mask is laid over that; see `sharpend.model.crispness`."""
    skip_sharp_above: float | None = None
    """The sharpness (`Cues.sharpness`) above which a file passes as it is; None: none does."""
    policies: Policies = field(default_factory=Policies)
    overshoot: int = OVERSHOOT
    """0..255, levels of 8 bit by which a channel may leave its values around a pixel."""
    max_pixels: int = 200_000_000
    max_bytes: int = 1_000_000_000
    max_scans: int = 500
    """Scans of a progressive JPEG."""

    @property
    def limits(self) -> dict[str, int]:
        """Return the limits of decoding by their names."""
        return {
            "max_pixels": self.max_pixels,
            "max_bytes": self.max_bytes,
            "max_scans": self.max_scans,
        }

    @property
    def shown_options(self) -> dict[str, object]:
        """Return the options of sharpening that a person has set, for the status page."""
        return {
            "model": self.model,
            "strength": self.strength,
            "crispness": self.crispness,
            "overshoot": self.overshoot,
            "skip_sharp_above": self.skip_sharp_above,
            **{
                key: value if isinstance(value, bool) else str(value)
                for key, value in asdict(self.policies).items()
            },
        }

    @property
    def digest(self) -> str:
        """Compute a digest of all options, model excepted, that change an output.

        What is at its default and came later is left out: it makes no finished image outdated.
        """
        text = f"{self.strength:g} {self.overshoot} {self.policies}"
        if self.crispness:
            text += f" crispness {self.crispness:g}"
        if self.skip_sharp_above is not None:
            text += f" skip_sharp_above {self.skip_sharp_above:g}"
        if self.policies.compression is not Compression.FAST:
            text += f" compression {self.policies.compression}"
        if self.policies.cmyk_profile:
            text += f" cmyk_profile {self.policies.cmyk_profile}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one job, handed to a worker."""

    job_id: int
    input_root: bytes
    output_root: bytes
    relative: bytes
    """The input, below `input_root`."""
    output_parent: bytes
    """The directory of the output, below `output_root` (b"" for the root itself)."""
    temp_name: bytes
    """Name of the staged file inside `output_parent`; unique to this attempt."""
    fingerprint: Fingerprint
    options: Options
    measure_agreement: bool = False
    access: Access = field(default_factory=Access)
    """Group and mode of the staged file, set before anybody can open it."""
    canary: str | None = None
    """Name or path of the canary, to be tried on a crop; None: none is."""
    output_name: bytes = b""
    """Name of the output in its directory, unless it is taken later; an upload needs it."""
    preview: bytes | None = None
    """Folder to make for a preview, by `Previews.new_folder`; None: none is wanted."""


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


@dataclass(frozen=True, slots=True)
class Died:
    """Result of a task whose worker ended, was killed, or was stopped."""

    job_id: int
    cause: str
    """For example `SIGSEGV`, `exit status 1`, `timed out after 600 s`."""
    setting: str | None = None
    """The setting whose limit it was stopped for."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Result of a task whose node of a cluster was lost, which is no fault of the image."""

    job_id: int
    node: str
    """Name of the node; empty where the whole cluster was out of reach."""
    cause: str


WorkerResult = Staged | Failed | Died
"""Result of a worker that could be reached until its end."""
AttemptResult = WorkerResult | Lost
"""Result of an attempt."""
