"""Results of an evaluation, as JSON for programs and as Markdown tables for people.

Owns the columns, their order and titles. Every figure over images carries its 95 % interval;
gains are paired, image by image, so their intervals are much narrower than those of scores.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluation.scores import LEVEL, RESAMPLES, Estimate, estimate_mean, estimate_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.evaluation.measurements import MeasuredImage
    from trainer.evaluation.speed import Cost

    Estimates = Mapping[str, Estimate]
    Cell = Callable[["Evaluation", str, Estimates], str]

DEGRADED, UNSHARP = "degraded", "unsharp mask"
_SCORES = ("ssim", "psnr", "ms_ssim", "psnr_y", "ssim_y", "agreement", "shift")
_GAINS = ("ssim", "psnr", "psnr_y", "ssim_y")
_NOTHING = ""


@dataclass(frozen=True, slots=True)
class SetScores:
    """Scores of the images of one set by every row.

    Attributes:
        name: of the set.
        paired: whether the small images were given.
        measured: at least one, all with the same rows.
        as_they_come: whether the originals themselves were sharpened.
    """

    name: str
    paired: bool
    measured: Sequence[MeasuredImage]
    as_they_come: bool = False


@dataclass(frozen=True)
class Evaluation:
    """All results of an evaluation, and the machine.

    Attributes:
        machine: device, precision, threads and torch, as plain values.
        sets: in the order given.
        models: each model's name, digest, kind and parameters, by its row.
        unsharp: radius, percent, and the reason for them.
        student: the row that contact sheets show.
        teacher: the row that agreements refer to.
        costs: by row, where speed was measured.
    """

    machine: Mapping[str, object]
    sets: Sequence[SetScores]
    models: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    unsharp: Mapping[str, object] = field(default_factory=dict)
    student: str | None = None
    teacher: str | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)

    @cached_property
    def figures(self) -> Mapping[str, Mapping[str, Estimates]]:
        """Estimates by set and row, resampled once for JSON and Markdown."""
        return {one.name: summarise(one.measured, teacher=self.teacher) for one in self.sets}


def summarise(
    measured: Sequence[MeasuredImage], *, teacher: str | None = None
) -> dict[str, dict[str, Estimate]]:
    """Every row's figures over a set: scores, gains over DEGRADED, share of the teacher's gain.

    Args:
        measured: images with the same rows.
        teacher: the row whose gain is the whole of `ssim_gain_share`.

    Returns:
        Row to column to estimate. A score that one image lacks is left out; without DEGRADED
        there are no gains. `shift_largest` is of the one image whose colours moved most.
    """
    values = {row: _values(measured, row) for row in measured[0].scores}
    figures = {
        row: {column: estimate_mean(own) for column, own in columns.items()}
        for row, columns in values.items()
    }
    for row, columns in values.items():
        if "shift" in columns:
            largest = float(columns["shift"].max())
            figures[row]["shift_largest"] = Estimate(largest, math.nan, math.nan)
    gains = {row: _gains(columns, values) for row, columns in values.items() if row != DEGRADED}
    for row, gained in gains.items():
        figures[row] |= {f"{column}_gain": estimate_mean(own) for column, own in gained.items()}
        if gained and teacher:
            share = estimate_ratio(gained["ssim"], gains[teacher]["ssim"])
            figures[row]["ssim_gain_share"] = share
    return figures


def _values(measured: Sequence[MeasuredImage], row: str) -> dict[str, NDArray[np.float64]]:
    """Each score that every image has, one value an image."""
    columns = {column: [getattr(one.scores[row], column) for one in measured] for column in _SCORES}
    return {
        column: np.array(values, np.float64)
        for column, values in columns.items()
        if None not in values
    }


def _gains(
    own: Mapping[str, NDArray[np.float64]], values: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> dict[str, NDArray[np.float64]]:
    """Gains of a row over the degraded image, one value an image."""
    nothing = values.get(DEGRADED)
    if nothing is None:
        return {}
    with np.errstate(invalid="ignore"):  # a flat image's PSNR is infinite in both
        return {column: own[column] - nothing[column] for column in _GAINS}


def as_json(evaluation: Evaluation) -> bytes:
    """Serialise all results, single images under "each"; values that are not finite become null."""
    values = {
        "machine": evaluation.machine,
        "models": evaluation.models,
        "student": evaluation.student,
        "teacher": evaluation.teacher,
        "unsharp": evaluation.unsharp,
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "method": "percentile bootstrap"},
        "costs": {row: asdict(cost) for row, cost in evaluation.costs.items()},
        "sets": {
            one.name: _values_of(one, evaluation.figures[one.name]) for one in evaluation.sets
        },
    }
    return json.dumps(finite(values), indent=1).encode()


def _values_of(one: SetScores, rows: Mapping[str, Estimates]) -> dict[str, object]:
    return {
        "pictures": len(one.measured),
        "paired": one.paired,
        "as_they_come": one.as_they_come,
        "rows": {
            row: {column: asdict(estimate) for column, estimate in columns.items()}
            for row, columns in rows.items()
        },
        "each": [
            {
                "picture": image.image,
                "height": image.height,
                "width": image.width,
                "scores": {row: asdict(score) for row, score in image.scores.items()},
            }
            for image in one.measured
        ],
    }


def finite(value: Any) -> Any:  # noqa: ANN401 - of JSON
    """Replace values that JSON lacks, such as the PSNR of equal images, by null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_markdown(evaluation: Evaluation) -> str:
    """A section for each set, rows in the order given."""
    sections = [_section(one, evaluation) for one in evaluation.sets]
    return "\n\n".join(["# Evaluation", _preamble(evaluation), *sections]) + "\n"


def _preamble(evaluation: Evaluation) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in evaluation.machine.items())
    lines = [
        f"Measured with {machine}. Figures are means over the images of a set, in brackets the "
        f"{LEVEL:.0%} interval over images (percentile bootstrap, {RESAMPLES:,} resamples). "
        "SSIM and PSNR are of R, G and B against the sharp original; gains are over the degraded "
        "image, paired image by image; Y is BT.601 without a border of four pixels. Colour "
        "shift is how far the mean of a channel left that of the input, in levels of 8 bit, on the "
        "mean and in the image that it is largest in."
    ]
    if evaluation.unsharp:
        values = evaluation.unsharp
        lines.append(
            f"Unsharp mask: radius {values['radius']:g} px, {values['percent']} per cent, "
            f"{values['chosen']}."
        )
    devices = sorted({cost.device for cost in evaluation.costs.values()})
    if devices:
        lines.append(f"Cost at 1920 x 1080, codecs not counted, on {', '.join(devices)}.")
    return "\n\n".join(lines)


def _section(one: SetScores, evaluation: Evaluation) -> str:
    how = "the small images given" if one.paired else "softened here, bicubically by 4"
    if one.as_they_come:
        how = "the originals themselves sharpened"
    rows = evaluation.figures[one.name]
    cells = {
        title: [cell(evaluation, row, figures) for row, figures in rows.items()]
        for title, cell in _columns(evaluation, paired=one.paired)
    }
    columns = {title: column for title, column in cells.items() if any(column)}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for number, row in enumerate(rows):
        lines.append(f"| {row} | {' | '.join(column[number] for column in columns.values())} |")
    return "\n".join([f"## {one.name}", "", f"{len(one.measured)} images, {how}.", "", *lines])


def _columns(evaluation: Evaluation, *, paired: bool) -> list[tuple[str, Cell]]:
    """Titles and cells of the columns; a column without any entry is not shown."""
    in_print = [("Y-PSNR dB", _figure("psnr_y", ".2f")), ("Y-SSIM", _figure("ssim_y", ".4f"))]
    threads = sorted({number for cost in evaluation.costs.values() for number in cost.fps})
    return [
        *(in_print if paired else []),
        ("SSIM", _figure("ssim", ".4f")),
        ("SSIM gain", _figure("ssim_gain", "+z.4f")),
        ("of the teacher's gain", _figure("ssim_gain_share", "z.0%")),
        ("PSNR dB", _figure("psnr", ".2f")),
        ("SSIM to teacher", _figure("agreement", ".4f")),
        ("MS-SSIM", _figure("ms_ssim", ".4f")),
        ("colour shift", _figure("shift", ".3f")),
        ("largest", _figure("shift_largest", ".3f")),
        ("parameters", _parameters),
        ("GMAC", _cost(lambda cost: cost.gmac_1080p, ".4g")),
        *(
            (f"FPS, {number} thread{'s' * (number > 1)}", _cost(_fps(number), ".3g"))
            for number in threads
        ),
        *(
            (
                f"times the teacher, {number} thread{'s' * (number > 1)}",
                _cost(_times(number), ".3g"),
            )
            for number in threads
        ),
        ("peak MiB", _cost(lambda cost: cost.peak_mib, ".0f")),
    ]


def _figure(column: str, digits: str) -> Cell:
    def cell(_: Evaluation, __: str, figures: Estimates) -> str:
        one = figures.get(column)
        if one is None:
            return _NOTHING
        if not math.isfinite(one.low):
            return f"{one.mean:{digits}}"
        return f"{one.mean:{digits}} [{one.low:{digits}}, {one.high:{digits}}]"

    return cell


def _parameters(evaluation: Evaluation, row: str, _: Estimates) -> str:
    parameters = evaluation.models.get(row, {}).get("parameters")
    return _NOTHING if parameters is None else f"{parameters:,}"


def _fps(threads: int) -> Callable[[Cost], float | None]:
    return lambda cost: cost.fps.get(threads)


def _times(threads: int) -> Callable[[Cost], float | None]:
    return lambda cost: cost.times.get(threads)


def _cost(part: Callable[[Cost], float | None], digits: str) -> Cell:
    def cell(evaluation: Evaluation, row: str, _: Estimates) -> str:
        value = part(evaluation.costs[row]) if row in evaluation.costs else None
        return _NOTHING if value is None else f"{value:{digits}}"

    return cell
