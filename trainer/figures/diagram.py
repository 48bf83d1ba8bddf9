"""The report's figure 1: a training step of a student, drawn with a real image.

Owns the positions of images, networks and losses. Images and numbers are computed for the figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.imaging.tensors import to_tensor
from sharpend.model.ssim import compute_ssim
from trainer.figures import canvas
from trainer.figures.drawing import BOX, LINE, PLUS, THUMB, At, Drawing, fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainer.degradations.mixture import Pixels
    from trainer.figures.scene import Scene

WIDTH, HEIGHT = 15.0, 8.4
_TOP, _MIDDLE, _BOTTOM, _FLOOR = 6.95, 4.45, 2.35, 0.55
_ORIGINAL, _SMALL, _DEGRADED = At(1.65, _MIDDLE), At(4.35, _MIDDLE), At(7.05, _MIDDLE)
_TEACHER, _STUDENT = At(9.95, _TOP), At(9.95, _BOTTOM)
_TARGET, _OUTPUT = At(13.2, _TOP), At(13.2, _BOTTOM)
_CLEAR = THUMB[1] / 2 + 0.4
"""Distance from the middle of an image to beyond the text above or below it."""
_AIR = 0.07
"""Gap at the ends of an arrow."""
_HALF_TITLE = 0.42
"""Half the width of the small image's title, which is wider than the image."""
_DETAIL_SHARE = 7
"""An image's width over that of its enlarged detail."""
_TIMES, _MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"
_LOSS = canvas.ORANGE
_LEGEND = (
    "How a student learns from a teacher",
    "SSIM and PSNR under an image are to the original;",
    "SSIM beside the loss is to the teacher's target.",
    "Dashed: what training compares.",
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One image with the outputs and descriptions of teacher and student."""

    scene: Scene
    target: Pixels
    """The teacher's image, H x W x 3 uint8."""
    output: Pixels
    """The student's image, H x W x 3 uint8."""
    teacher: tuple[str, ...]
    """Lines about it, for example its name and its size."""
    student: tuple[str, ...]
    teacher_upscales: bool = False
    """The teacher takes the small image, as pretrained networks do, not the degraded one."""


def draw_pipeline(lesson: Lesson) -> Figure:
    """Draw one training step from the original to the losses.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    drawing = Drawing(WIDTH, HEIGHT)
    _stations(drawing, lesson)
    _networks(drawing, lesson)
    _losses(drawing, lesson)
    for number, line in enumerate(_LEGEND):
        drawing.text(At(0.35, HEIGHT - 0.45 - LINE * number), line, title=number == 0, left=True)
    return drawing.figure


def _stations(drawing: Drawing, lesson: Lesson) -> None:
    """The five images, and the two resizes between the first three."""
    scene = lesson.scene
    detail = scene.detail(scene.original.shape[1] // _DETAIL_SHARE)
    drawing.image(_ORIGINAL, scene.original, ("original", _size(scene.original)), detail=detail)
    drawing.image(_SMALL, scene.small, ("reduced", _size(scene.small)), scale=0.25)
    for at, pixels, title in (
        (_DEGRADED, scene.degraded, "degraded"),
        (_TARGET, lesson.target, "target"),
        (_OUTPUT, lesson.output, "output"),
    ):
        drawing.image(at, pixels, (title, scene.fidelity(pixels)), detail=detail)
    beside = _beside(scene.original)
    beside_small = max(fitted(scene.small)[1] / 8, _HALF_TITLE) + _AIR
    for start, end, text in (
        (_ORIGINAL.x + beside, _SMALL.x - beside_small, f"bicubic\n{_TIMES} 1/4"),
        (_SMALL.x + beside_small, _DEGRADED.x - beside, f"bicubic\n{_TIMES} 4"),
    ):
        drawing.arrow(At(start, _MIDDLE), At(end, _MIDDLE))
        drawing.text(At((start + end) / 2, _MIDDLE + 0.33), text)


def _networks(drawing: Drawing, lesson: Lesson) -> None:
    """Both networks with inputs and outputs, and the student's skip connection."""
    taught_from = _SMALL if lesson.teacher_upscales else _DEGRADED
    above = 0.6 if lesson.teacher_upscales else _CLEAR
    entry = BOX[0] / 2 + _AIR
    drawing.arrow(
        At(taught_from.x, taught_from.y + above),
        At(taught_from.x, _TOP),
        At(_TEACHER.x - entry, _TOP),
        colour=canvas.BLUE,
    )
    drawing.arrow(
        At(_DEGRADED.x, _MIDDLE - _CLEAR),
        At(_DEGRADED.x, _BOTTOM),
        At(_STUDENT.x - entry, _BOTTOM),
    )
    drawing.box(_TEACHER, "teacher", (*lesson.teacher, "frozen, inference mode"), canvas.BLUE)
    drawing.box(_STUDENT, "student", (*lesson.student, "learns"), canvas.INK)
    beside = _beside(lesson.target)
    drawing.arrow(At(_TEACHER.x + entry, _TOP), At(_TARGET.x - beside, _TOP), colour=canvas.BLUE)
    _skip(drawing, At(_OUTPUT.x - beside, _BOTTOM))


def _skip(drawing: Drawing, end: At) -> None:
    """The skip: the output of the student is added to its input."""
    before, sum_x = _STUDENT.x - BOX[0] / 2 - 0.45, _STUDENT.x + BOX[0] / 2 + 0.33
    below = _BOTTOM - BOX[1] / 2 - 0.25
    drawing.arrow(At(_STUDENT.x + BOX[0] / 2 + 0.02, _BOTTOM), At(sum_x - PLUS, _BOTTOM))
    drawing.arrow(
        At(before, _BOTTOM), At(before, below), At(sum_x, below), At(sum_x, _BOTTOM - PLUS)
    )
    drawing.plus(At(sum_x, _BOTTOM))
    drawing.arrow(At(sum_x + PLUS, _BOTTOM), end)
    drawing.text(At(_STUDENT.x, below - 0.18), "skip: detail is added to the input")


def _losses(drawing: Drawing, lesson: Lesson) -> None:
    """The losses: output against target, output against original."""
    agreement = (_ssim(one, lesson.target) for one in (lesson.output, lesson.scene.degraded))
    between = (_TOP + _BOTTOM) / 2
    drawing.text(
        At(_TARGET.x, between + 0.26), f"MSE + (1 {_MINUS} SSIM)", title=True, colour=_LOSS
    )
    drawing.text(At(_TARGET.x, between), "SSIM {:.4f}; degraded {:.4f}".format(*agreement))
    for start, end in ((_TOP - _CLEAR, between + 0.45), (_BOTTOM + _CLEAR, between - 0.2)):
        drawing.arrow(At(_TARGET.x, start), At(_TARGET.x, end), colour=_LOSS, dashed=True)
    drawing.arrow(
        At(_ORIGINAL.x, _MIDDLE - _CLEAR),
        At(_ORIGINAL.x, _FLOOR),
        At(_OUTPUT.x - 1.0, _FLOOR),
        colour=_LOSS,
        dashed=True,
    )
    drawing.arrow(
        At(_OUTPUT.x, _BOTTOM - _CLEAR), At(_OUTPUT.x, _FLOOR + 0.2), colour=_LOSS, dashed=True
    )
    drawing.text(At(_OUTPUT.x, _FLOOR), "L1", title=True, colour=_LOSS)


def _beside(pixels: Pixels) -> float:
    """From an image's middle to where an arrow at its side begins or ends."""
    return fitted(pixels)[1] / 2 + _AIR


def _ssim(pixels: Pixels, target: Pixels) -> float:
    return compute_ssim(to_tensor(pixels), to_tensor(target)).item()


def _size(pixels: Pixels) -> str:
    """Width x height as text."""
    return f"{pixels.shape[1]} {_TIMES} {pixels.shape[0]}"
