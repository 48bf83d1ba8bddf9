"""Observations of a sharpened image: comparison with the teacher, canary, preview for people.

None changes the output, and none fails the image: what could not be observed is a note.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.agreement.opinion import compare_both
from sharpend.errors import UnavailableError
from sharpend.files.preview_layout import Layout
from sharpend.files.previews import write_images
from sharpend.imaging import preview
from sharpend.workers.loading import of_canary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.attempt import AgreementSample, CanarySample
    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.transparency import FilledFrame
    from sharpend.model.cues import Cues
    from sharpend.task import Options, Task
    from sharpend.workers.models import Models
    from sharpend.workers.stages import Stages


@dataclass(frozen=True, slots=True)
class Subject:
    """A sharpened image; of several frames or pages the first is observed."""

    before: Picture
    after: Frame
    filled: FilledFrame
    """Colours of the input's first frame that the model was given."""
    cues: Cues
    """Of the same."""


def first_of(
    before: Picture, after: Sequence[Frame], filled: Sequence[FilledFrame], cues: Sequence[Cues]
) -> Subject | None:
    """Take the first frame or page of an image; None of a file that is copied unchanged."""
    return Subject(before, after[0], filled[0], cues[0]) if after else None


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations of one image; None: not asked for, or see `notes`."""

    agreement: AgreementSample | None = None
    canary: CanarySample | None = None
    preview: Layout | None = None
    notes: tuple[str, ...] = ()


class Observer:
    """Observer of images in one worker process.

    Args:
        models: loaded ones, and teachers.
        crop_px: side of the crop that is compared.
    """

    def __init__(self, models: Models, *, crop_px: int) -> None:
        self._models = models
        self._crop_px = crop_px

    def observe(self, task: Task, subject: Subject | None, stages: Stages) -> Observed:
        """Make the observations that a task asks for; none of a file that is copied unchanged."""
        if subject is None:
            return Observed()
        notes: list[str] = []
        agreement = canary = layout = None
        if task.measure_agreement:
            with stages.stage("agree"), _noted("agreement was not measured", notes):
                agreement = self._compared(subject, task.options)
        if task.canary is not None:
            with stages.stage("canary"), _noted("the canary was not measured", notes):
                canary = self._tried(task.canary, subject, task.options)
        if task.preview is not None:
            with stages.stage("preview"), _noted("no preview was made", notes):
                layout = _drawn(task.preview, subject)
        return Observed(agreement, canary, layout, tuple(notes))

    def _compared(self, subject: Subject, options: Options) -> AgreementSample | None:
        """Compare the output with the teacher."""
        opinion, filled, after = self._models.opinion(options.model), subject.filled, subject.after
        # The mask and the stored colours of hidden pixels in an output are not the model's.
        again = options.crispness or after.alpha is not None
        return opinion.compare(
            filled.pixels,
            self._models.sharpener(options.model) if again else after.pixels,
            crop_px=self._crop_px,
            strength=options.strength,
            overshoot=options.overshoot,
            visible=filled.visible,
            cues=subject.cues,
        )

    def _tried(self, model: str, subject: Subject, options: Options) -> CanarySample | None:
        """Try a canary on a crop, beside the model in use; each is judged by its own teacher."""
        try:
            canary = self._models.student(model)
        except UnavailableError as error:
            raise of_canary(error) from error
        sample = compare_both(
            subject.filled.pixels,
            self._models.student(options.model),
            canary,
            crop_px=self._crop_px,
            strength=options.strength,
            overshoot=options.overshoot,
            visible=subject.filled.visible,
            cues=subject.cues,
        )
        if sample is not None and not math.isfinite(sample.difference):
            raise ValueError("its pixels are no finite numbers")
        return sample


@contextmanager
def _noted(what: str, notes: list[str]) -> Iterator[None]:
    """Turn any error of the block into a note, as no observation may fail the image."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        notes.append(f"{what}: {error or type(error).__name__}")


def _drawn(folder: bytes, subject: Subject) -> Layout:
    """Draw a preview and write it into a new folder."""
    drawn = preview.draw(subject.before, subject.after, subject.filled.pixels)
    return Layout(drawn.crop, drawn.width, drawn.height, write_images(folder, drawn.images))
