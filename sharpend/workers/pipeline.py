"""Image pipeline of a worker: open the input, decode, sharpen, encode, write the staged file.

Owns the order of the steps, and the translation of every error into one of the consequences that
the daemon knows.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

from sharpend import __version__
from sharpend.attempt import Failed, Failure, Staged
from sharpend.errors import (
    FolderFaultError,
    ImageRefusedError,
    Reason,
    SourceChangedError,
    SourceVanishedError,
    TransientError,
    UnavailableError,
)
from sharpend.files.digest import digest_within
from sharpend.imaging import codec, losses, transparency
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.imaging.metadata_policy import finished
from sharpend.model.device import is_out_of_memory
from sharpend.workers import skipping, staging
from sharpend.workers.limits import bytes_at_most
from sharpend.workers.models import Models
from sharpend.workers.observation import Observer, first_of
from sharpend.workers.opening import opened
from sharpend.workers.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.transparency import FilledFrame
    from sharpend.model.cues import Cues
    from sharpend.model.device import Placement
    from sharpend.model.sharpener import Sharpener
    from sharpend.task import Options, Task

_CONSEQUENCES: tuple[tuple[type[Exception], Failure], ...] = (
    (ImageRefusedError, Failure.REFUSED),
    (TransientError, Failure.TRANSIENT),
    (FolderFaultError, Failure.FOLDER),
    (UnavailableError, Failure.FOLDER),
    (SourceChangedError, Failure.CHANGED),
    (SourceVanishedError, Failure.VANISHED),
)


class Pipeline:
    """Processing of single images, with each model loaded once."""

    def __init__(
        self, placement: Placement, *, crop_px: int, memory_bytes: int | None = None
    ) -> None:
        self.models = Models(placement)
        self._memory_bytes = memory_bytes
        self._observer = Observer(self.models, crop_px=crop_px)

    def run(self, task: Task) -> Staged | Failed:
        """Process one task; every failure is returned as a value with its consequence."""
        stages = Stages()
        try:
            return self._run(task, stages)
        except Exception as error:  # noqa: BLE001 - the worker's one catch-all: a bug costs one job
            return _failed(task, error, stages)

    def _run(self, task: Task, stages: Stages) -> Staged:
        sharpener = self.models.sharpener(task.options.model)
        options = task.options
        with stages.stage("decode"), opened(task) as descriptor:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                stages.input_digest = digest_within(file, options.max_bytes)
                stages.is_large = self._is_large(file)
                picture = codec.decode(file, policies=options.policies, **options.limits)
                record = _record(stages.input_digest, sharpener, options)
            original = staging.Original.of(descriptor, options.policies)
        with stages.stage("measure"):
            filled = [transparency.fill(frame) for frame in picture.frames]
            cues = [sharpener.measured(one.pixels, one.visible) for one in filled]
            picture = losses.check(_unless_sharp(task, picture, cues), options.policies)
        with stages.stage("infer"):
            each = zip(picture.frames, filled, cues, strict=False)  # no frames if copied unchanged
            frames = [_sharpened(picture, *one, sharpener, options) for one in each]
            picture, frames = _unless_kept(task, picture, frames)
        first = first_of(picture, frames, filled, cues)
        observed = self._observer.observe(task, first, stages)
        del first
        filled.clear()  # encoding is where an image needs most memory
        # Last, so that nothing can fail while a staged file lies there.
        with stages.stage("encode"):
            picture = finished(picture.with_frames(frames), options.policies, record)
            written = staging.write(task, picture, original)
        return Staged(
            job_id=task.job_id,
            temp_name=task.temp_name,
            fingerprint=written.fingerprint,
            height=picture.size[0],
            width=picture.size[1],
            frames=len(frames),
            pixels=sum(frame.pixels.shape[0] * frame.pixels.shape[1] for frame in frames),
            stages_s=stages.seconds,
            agreement=observed.agreement,
            canary=observed.canary,
            preview=observed.preview,
            model_digest=sharpener.digest,
            tile_px=sharpener.runtime.tile_px,
            notes=(*picture.notes, *written.notes, *observed.notes),
            losses=picture.losses,
            sharpness=cues[0].judged if cues else None,
            input_digest=stages.input_digest,
        )

    def _is_large(self, file: BufferedReader) -> bool:
        """Return whether an image of this size may need more memory than one image may use."""
        if self._memory_bytes is None:
            return False
        try:
            header = codec.probe(file)
        except ImageRefusedError:
            return False
        return bytes_at_most(header.height * header.width, header.bits) > self._memory_bytes


def _record(digest: str | None, sharpener: Sharpener, options: Options) -> Provenance | None:
    """Provenance record of the output, if the folder asks for one."""
    if not options.policies.provenance or digest is None:
        return None
    return Provenance(
        model=sharpener.card.name,
        model_digest=sharpener.digest,
        options_digest=options.digest,
        input_digest=digest,
        version=__version__,
    )


def _unless_sharp(task: Task, picture: Picture, cues: Sequence[Cues]) -> Picture:
    """Return the image, or its unchanged file if it is sharp enough to be skipped."""
    if not skipping.may_skip(cues, task.options):
        return picture
    with opened(task) as fd, os.fdopen(os.dup(fd), "rb") as file:
        return skipping.skipped(file, picture, cues, task.options)


def _unless_kept(task: Task, picture: Picture, frames: list[Frame]) -> tuple[Picture, list[Frame]]:
    """Return the image and its sharpened frames, or the unchanged file and none.

    The file is kept where encoding it again would change it more than sharpening does.
    """
    if not skipping.changes_little(picture, frames, task.options):
        return picture, frames
    with opened(task) as fd, os.fdopen(os.dup(fd), "rb") as file:
        picture = skipping.kept(file, picture, task.options)
    return picture, frames if picture.frames else []


def _sharpened(
    picture: Picture,
    frame: Frame,
    filled: FilledFrame,
    cues: Cues,
    sharpener: Sharpener,
    options: Options,
) -> Frame:
    sharpened = sharpener.sharpen(
        filled.pixels,
        strength=options.strength,
        overshoot=options.overshoot,
        crispness=options.crispness,
        cues=cues,
    )
    if picture.lossy:
        sharpened = filled.calmed(sharpened)
    return filled.stored(frame, sharpened, is_lossy=codec.is_lossy(picture))


def _failed(task: Task, error: Exception, stages: Stages) -> Failed:
    """Choose the consequence of an error by its class; unexpected ones are retried as bugs."""
    stage = stages.current
    if is_out_of_memory(error) or (stages.is_large and _may_be_for_memory(error)):
        message = "there was not enough memory for this image"
        return Failed(task.job_id, Failure.TRANSIENT, Reason.OUT_OF_MEMORY, message, stage=stage)
    for kind, failure in _CONSEQUENCES:
        if isinstance(error, kind):
            reason = getattr(error, "reason", None)
            setting = getattr(error, "setting", None)
            digest = stages.input_digest
            return Failed(task.job_id, failure, reason, str(error), setting, stage, digest)
    message = "".join(traceback.format_exception_only(error)).strip()
    where = traceback.extract_tb(error.__traceback__)[-1]
    message += f" ({os.path.basename(where.filename)}:{where.lineno})"
    return Failed(task.job_id, Failure.TRANSIENT, Reason.INTERNAL, message, stage=stage)


def _may_be_for_memory(error: Exception) -> bool:
    if isinstance(error, ImageRefusedError):
        return error.reason in {Reason.DAMAGED, Reason.INTERNAL}
    return isinstance(error, RuntimeError)
