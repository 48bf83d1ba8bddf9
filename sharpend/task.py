"""Tasks: one attempt at one job, and the options it is made with.

Plain values only: all of it is sent between processes (see `sharpend.workers.messages`, which lists
the fields with their bounds). Paths are bytes, because a file's name on Linux is bytes; `relative`
paths are below a folder's root.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from sharpend.files.access import Access
from sharpend.policies import Compression, Policies

if TYPE_CHECKING:
    from sharpend.files.fingerprint import Fingerprint

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

        Options added later are left out at their default, so that no finished image becomes
        outdated.
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
    """One attempt at one job, sent to a worker."""

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
