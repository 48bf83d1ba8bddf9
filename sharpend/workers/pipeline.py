"""Image pipeline of a worker: open the input, decode, sharpen, encode, write the staged file.

Owns the order of the steps, the check that the input is still the file that settled, and the
translation of every error into one of the consequences that the daemon knows.
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from sharpend import __version__
from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import (
    FolderFaultError,
    ImageRefusedError,
    Reason,
    SourceChangedError,
    SourceVanishedError,
    TransientError,
    UnavailableError,
)
from sharpend.files import beneath
from sharpend.files.digest import digest_within
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.os_errors import reason_of
from sharpend.imaging import codec, losses, transparency
from sharpend.imaging.finishing import finished
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.model import weights
from sharpend.model.precision import place
from sharpend.model.runtime import is_out_of_memory
from sharpend.model.shipped import find
from sharpend.task import Failed, Failure, Staged, Task
from sharpend.workers import skipping, staging
from sharpend.workers.limits import bytes_at_most

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader

    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.transparency import Seen
    from sharpend.model.cues import Cues
    from sharpend.model.runtime import Placement
    from sharpend.model.sharpener import Sharpener
    from sharpend.task import AgreementSample, Options

_CONSEQUENCES: tuple[tuple[type[Exception], Failure], ...] = (
    (ImageRefusedError, Failure.REFUSED),
    (TransientError, Failure.TRANSIENT),
    (FolderFaultError, Failure.FOLDER),
    (UnavailableError, Failure.FOLDER),
    (SourceChangedError, Failure.CHANGED),
    (SourceVanishedError, Failure.VANISHED),
)


@dataclass(slots=True)
class Stages:
    """Timer for the stages of a task, which knows the stage that is running."""

    current: str = "open"
    seconds: dict[str, float] = field(default_factory=dict)
    is_large: bool = False
    """The image may need more memory than it is allowed; some libraries call it a damaged file
    where an allocation fails, so they are not believed then."""
    input_digest: str | None = None
    """SHA-256 of the input, once it was read."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; if it raises, its name stays the current stage."""
        self.current = name
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


class Pipeline:
    """Processing of single images, with each model loaded once."""

    def __init__(
        self, placement: Placement, *, crop_px: int, memory_bytes: int | None = None
    ) -> None:
        self._placement = placement
        self._memory_bytes = memory_bytes
        self._crop_px = crop_px
        self._sharpeners: dict[str, Sharpener] = {}
        self._opinions: dict[str, SecondOpinion] = {}

    def sharpener(self, model: str) -> Sharpener:
        """Return the model of this name or path, loaded at its first use.

        Raises:
            UnavailableError: it cannot be loaded, or the device is not there.
        """
        if model not in self._sharpeners:
            self._sharpeners[model] = place(weights.load(model), self._placement)
        return self._sharpeners[model]

    def opinion(self, model: str) -> SecondOpinion:
        """Return the teacher of a student, loaded at its first use.

        Raises:
            UnavailableError: there is none, or not the right one.
        """
        if model not in self._opinions:
            # An out-of-memory student has shrunk its tile for its own model only.
            card, folder = self.sharpener(model).card, find(model).parent
            self._opinions[model] = SecondOpinion(card, self._placement, beside=folder)
        return self._opinions[model]

    def run(self, task: Task) -> Staged | Failed:
        """Process one task; every failure is returned as a value with its consequence."""
        stages = Stages()
        try:
            return self._run(task, stages)
        except Exception as error:  # noqa: BLE001 - the worker's one catch-all: a bug costs one job
            return _failed(task, error, stages)

    def _run(self, task: Task, stages: Stages) -> Staged:
        sharpener = self.sharpener(task.options.model)
        options = task.options
        with stages.stage("decode"), _opened(task) as descriptor:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                stages.input_digest = digest_within(file, options.max_bytes)
                stages.is_large = self._is_large(file)
                picture = codec.decode(file, policies=options.policies, **options.limits)
                record = _record(stages.input_digest, sharpener, options)
            original = staging.Original.of(descriptor, options.policies)
        with stages.stage("measure"):
            seen = [transparency.seen(frame) for frame in picture.frames]
            cues = [sharpener.measured(one.pixels, one.visible) for one in seen]
            picture = losses.check(_unless_sharp(task, picture, cues), options.policies)
        with stages.stage("infer"):
            each = zip(picture.frames, seen, cues, strict=False)  # no frames if copied unchanged
            frames = [_sharpened(*one, sharpener, options) for one in each]
        agreement, note = None, ""
        if task.measure_agreement and frames:
            with stages.stage("agree"):
                agreement, note = self._measured(seen[0], frames[0], cues[0], options)
        seen.clear()  # encoding is where an image needs most memory
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
            agreement=agreement,
            model_digest=sharpener.digest,
            tile_px=sharpener.runtime.tile_px,
            notes=(*picture.notes, *written.notes, *filter(None, [note])),
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

    def _measured(
        self, seen: Seen, sharpened: Frame, cues: Cues, options: Options
    ) -> tuple[AgreementSample | None, str]:
        """Compare with the teacher, or return a note on why not: the image never fails by it."""
        try:
            opinion = self.opinion(options.model)
            # The mask and the stored colours of hidden pixels in an output are not the model's.
            again = options.crispness or sharpened.alpha is not None
            return opinion.compare(
                seen.pixels,
                self.sharpener(options.model) if again else sharpened.pixels,
                crop_px=self._crop_px,
                strength=options.strength,
                overshoot=options.overshoot,
                visible=seen.visible,
                cues=cues,
            ), ""
        except Exception as error:  # noqa: BLE001 - a failed comparison must not fail the image
            return None, f"agreement was not measured: {error or type(error).__name__}"


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
    with _opened(task) as fd, os.fdopen(os.dup(fd), "rb") as file:
        return skipping.skipped(file, picture, cues, task.options)


def _sharpened(
    frame: Frame, seen: Seen, cues: Cues, sharpener: Sharpener, options: Options
) -> Frame:
    sharpened = sharpener.sharpen(
        seen.pixels,
        strength=options.strength,
        overshoot=options.overshoot,
        crispness=options.crispness,
        cues=cues,
    )
    return seen.stored(frame, sharpened)


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


@contextmanager
def _opened(task: Task) -> Iterator[int]:
    """Open the input; check before and after the block that it is still the settled file."""
    try:
        descriptor = beneath.open_file(task.input_root, task.relative)
    except OSError as error:
        _raise_for_input(task, error)
    try:
        if not task.fingerprint.is_same_file(Fingerprint.of(os.fstat(descriptor))):
            raise SourceChangedError("it changed after it had settled")
        try:
            yield descriptor
        finally:  # errors of decoders are ignored if the file was being written
            _require_unchanged(task)
    except OSError as error:
        _raise_for_input(task, error)
    finally:
        os.close(descriptor)


def _raise_for_input(task: Task, error: OSError) -> NoReturn:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        if not os.path.isdir(task.input_root):
            message = f"folder.input: {display(task.input_root)}: {error.strerror}"
            raise FolderFaultError(message) from error
        raise SourceVanishedError(f"{display(task.relative)} is gone") from error
    reason, text = reason_of(error), f"reading failed: {error.strerror}"
    if reason is Reason.PERMISSION_DENIED:
        text = f"cannot be read ({error.strerror}); let the user that runs sharpend read it"
    raise TransientError(reason, text) from error


def _require_unchanged(task: Task) -> None:
    parent, name = os.path.split(task.relative)
    with beneath.directory(task.input_root, parent) as parent_fd:
        if not task.fingerprint.is_same_file(beneath.fingerprint_at(parent_fd, name)):
            raise SourceChangedError("it changed while it was read")
