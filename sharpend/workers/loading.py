"""Options that workers start with, and a worker's report of a model that it has loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError
from sharpend.model.trial import TORCH

if TYPE_CHECKING:
    from sharpend.model.trial import Trial


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Start options of every worker: plain values from the settings."""

    device: str
    precision: str
    tile_px: int | None
    threads: int | None
    crop_px: int
    job_timeout_s: float = 600.0
    memory_bytes: int | None = None
    """Memory limit of one image; None: no limit."""
    trials: tuple[Trial, ...] = ()
    """Trials of forms that are known; all workers of a pool follow the same ones."""
    runtime: str = TORCH
    """torch, openvino or auto."""


@dataclass(frozen=True, slots=True)
class HealthyRatio:
    """Residual ratio of a healthy model on validation crops of one kind of softness."""

    kind: str
    ratio: float


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Facts about a model, after a worker loaded and ran it once."""

    model: str
    """The name on its card."""
    digest: str
    device: str
    """Device and precision, for example `cpu float32`."""
    tile_px: int
    softened_by: int | None
    """The factor of reduction that these weights undo; None where they undo any softness."""
    alarm_below: float | None
    teacher: str | None
    """The teacher that was loaded beside it; None where the card names none or none was wanted."""
    resident_bytes: int | None = None
    """Memory of the worker with this model and no image; None if unknown."""
    confined_by: tuple[str, ...] = ()
    """Active parts of the sandbox: see `sharpend.workers.sandbox.enter`."""
    residual_above: float | None = None
    measurable_from: float | None = None
    """As the card has them, like `alarm_below`."""
    precision: str = "float32"
    """float32, bfloat16, float16 or int8."""
    trial: Trial | None = None
    """The trial that chose runtime and precision; None where the settings leave no choice."""
    teacher_digest: str | None = None
    """Of the teacher that the card names; None where it names none."""
    runtime: str = TORCH
    """torch or openvino."""
    healthy: tuple[HealthyRatio, ...] = ()
    """Of the card, where it has them."""


def require_teacher(loaded: LoadedModel) -> LoadedModel:
    """Return a model that was loaded with its teacher.

    Raises:
        UnavailableError: its card names none.
    """
    if loaded.teacher is None:
        advice = 'set it to "none", or use models with a teacher'
        raise UnavailableError(f"the card of {loaded.model} names no teacher; {advice}")
    return loaded


def of_canary(error: UnavailableError) -> UnavailableError:
    """Name the setting of the canary in an error of it, in place of that of the main model."""
    return UnavailableError(f"canary.model: {str(error).removeprefix('model.name: ')}")
