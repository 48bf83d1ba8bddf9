"""Observations of a sharpened image: comparison with the teacher, and a preview for people.

None changes the output, and none fails the image: what could not be observed is a note.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.files.previews import Layout, write_images
from sharpend.imaging import preview

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.imaging.picture import Frame, Picture
    from sharpend.imaging.transparency import Seen
    from sharpend.model.cues import Cues
    from sharpend.task import AgreementSample, Options, Task
    from sharpend.workers.models import Models
    from sharpend.workers.stages import Stages


@dataclass(frozen=True, slots=True)
class Subject:
    """A sharpened image; of several frames or pages the first is observed."""

    before: Picture
    after: Frame
    seen: Seen
    """Colours of the input's first frame that the model was given."""
    cues: Cues
    """Of the same."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations of one image; None: not asked for, or see `notes`."""

    agreement: AgreementSample | None = None
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

    def observe(self, task: Task, subject: Subject, stages: Stages) -> Observed:
        """Make the observations that a task asks for."""
        notes: list[str] = []
        agreement = layout = None
        if task.measure_agreement:
            with stages.stage("agree"), _noted("agreement was not measured", notes):
                agreement = self._compared(subject, task.options)
        if task.preview is not None:
            with stages.stage("preview"), _noted("no preview was made", notes):
                layout = _drawn(task.preview, subject)
        return Observed(agreement, layout, tuple(notes))

    def _compared(self, subject: Subject, options: Options) -> AgreementSample | None:
        """Compare the output with the teacher."""
        opinion, seen, after = self._models.opinion(options.model), subject.seen, subject.after
        # The mask and the stored colours of hidden pixels in an output are not the model's.
        again = options.crispness or after.alpha is not None
        return opinion.compare(
            seen.pixels,
            self._models.sharpener(options.model) if again else after.pixels,
            crop_px=self._crop_px,
            strength=options.strength,
            overshoot=options.overshoot,
            visible=seen.visible,
            cues=subject.cues,
        )


@contextmanager
def _noted(what: str, notes: list[str]) -> Iterator[None]:
    """Turn any error of the block into a note, as no observation may fail the image."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        notes.append(f"{what}: {error or type(error).__name__}")


def _drawn(folder: bytes, subject: Subject) -> Layout:
    """Draw a preview and write it into a new folder."""
    drawn = preview.draw(subject.before, subject.after, subject.seen.pixels)
    return Layout(drawn.crop, drawn.width, drawn.height, write_images(folder, drawn.images))
