"""Result of the matrix: one table of plain values for JSON.

Owns its keys; Markdown and model card are made from it. Figures of all sets together are
means over images, so a set counts by its number of images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trainer.evaluation.matrix import means
from trainer.evaluation.matrix.cells import CELLS
from trainer.evaluation.matrix.harm import noise_ratios, overshoots
from trainer.evaluation.matrix.real_photos import over_images
from trainer.evaluation.matrix.roc import cue_figures
from trainer.evaluation.matrix.targets import check, column_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.degradations.mixture import Pixels
    from trainer.evaluation.lineup import Lineup
    from trainer.evaluation.matrix.cell_masks import CellMasks
    from trainer.evaluation.matrix.comparison import CellMethod, ImageFigures
    from trainer.evaluation.matrix.real_photos import RealImage
    from trainer.evaluation.unsharp import Unsharp
    from trainer.training.models import Model

    Table = dict[str, Any]


@dataclass(frozen=True)
class MatrixMeasurements:
    """Measurements before any mean.

    Attributes:
        machine: device, precision, threads and torch.
        options: crop_px, limit and crispness.
        lineup: the models.
        masks: of the cells.
        images: at least one, all with the same rows.
        harm: by row, from `measure_harm`.
        real: real photographs, where there are any.
    """

    machine: Mapping[str, object]
    options: Mapping[str, object]
    lineup: Lineup
    masks: CellMasks
    images: Sequence[ImageFigures]
    harm: Mapping[str, Table]
    real: Sequence[RealImage] = ()


def measure_harm(method: CellMethod) -> Table:
    """Noise and overshoot of one method on test patterns."""

    def sharpen(pixels: Pixels) -> Pixels:
        return method(pixels, "g1")  # a row of one mask a cell takes that of g1

    noise = noise_ratios(sharpen)
    return {"noise": noise, "noise_worst": max(noise.values()), "overshoot": overshoots(sharpen)}


def build_result(measured: MatrixMeasurements, *, column: str | None = None) -> Table:
    """All means.

    Args:
        measured: the measurements.
        column: of the targets, for every student; None judges blind models by size.
    """
    images = measured.images
    cues = {cell: [image.cues[cell] for image in images] for cell in CELLS}
    rows = {row: _row(measured, row) for row in images[0].rows}
    for row, targets in _targets(measured.lineup, rows, column).items():
        rows[row]["targets"] = targets
    return {
        "machine": measured.machine,
        "options": measured.options,
        "models": _models(measured.lineup),
        "teacher": measured.lineup.teacher,
        "sets": {name: {"images": len(own)} for name, own in _by_set(images).items()},
        "images": len(images),
        "masks": _masks(measured.masks),
        "rows": rows,
        "order": _order(measured.lineup, rows),
        "cue": cue_figures(cues),
        "real": [
            {"image": image.name, "cue": image.cue, "rows": image.rows} for image in measured.real
        ],
        "each": [asdict(image) for image in images],
    }


def _row(measured: MatrixMeasurements, row: str) -> Table:
    images = measured.images
    cells = means.cell_figures(images, row)
    found: Table = {
        "cells": cells,
        "soft": means.soft_figures(cells),
        "sharp": means.sharp_figures(images, row),
        "passes": means.pass_figures(images, row),
        "harm": {**measured.harm[row], "blocks": means.block_ratio(images, row)},
        "sets": {name: means.set_figures(own, row) for name, own in _by_set(images).items()},
    }
    if measured.real and row in measured.real[0].rows:
        found["real"] = over_images(measured.real, row)
    return found


def _by_set(images: Sequence[ImageFigures]) -> dict[str, list[ImageFigures]]:
    sets: dict[str, list[ImageFigures]] = {}
    for image in images:
        sets.setdefault(image.set_name, []).append(image)
    return sets


def _models(lineup: Lineup) -> Table:
    """Identity of each model, with its family and size."""
    models: Table = {}
    for row, identity in lineup.identities.items():
        card = lineup.models[row].card
        family = {"degradation": card.degradation, "channels": card.channels} if card else {}
        models[row] = {**identity, **family}
    return models


def _masks(masks: CellMasks) -> Table:
    def values(mask: Unsharp) -> str:
        return f"{mask.radius:g}/{mask.percent}"

    by_cell = {cell: values(mask) for cell, mask in masks.by_cell.items()}
    return {"by_cell": by_cell, "best_single": values(masks.single)}


def _targets(lineup: Lineup, rows: Mapping[str, Table], column: str | None) -> Table:
    """Column and targets by row: of blind students, or of all students if `column` is given."""
    found: Table = {}
    for row, model in lineup.models.items():
        card = model.card
        if card is None or card.kind == "teacher" or not (column or _is_blind(model)):
            continue
        own = column or column_of(card)
        specialist = next(iter(_specialists(lineup, row)), None)
        checks = check(rows[row], own, specialist=rows[specialist] if specialist else None)
        values = [{**asdict(target), "met": target.met} for target in checks]
        found[row] = {"column": own, "checks": values}
    return found


def _is_blind(model: Model) -> bool:
    """True if the model undoes any softness, not one factor."""
    return model.card is not None and model.card.undoes_factor is None


def _specialists(lineup: Lineup, row: str) -> list[str]:
    """Students that undo one factor, with as many channels and blocks."""
    own = lineup.models[row].card
    return [
        other
        for other, model in lineup.models.items()
        if own
        and model.card
        and model.card.undoes_factor is not None
        and (model.card.kind, model.card.channels, model.card.blocks)
        == (own.kind, own.channels, own.blocks)
    ]


def _order(lineup: Lineup, rows: Mapping[str, Table]) -> list[Table]:
    """Blind models, best first, by the mean of the soft cells."""
    blind = [row for row, model in lineup.models.items() if _is_blind(model)]
    ranked = sorted(blind, key=lambda row: -float(rows[row]["soft"]["psnr_gain"]))
    return [{"row": row, "psnr_gain": rows[row]["soft"]["psnr_gain"]} for row in ranked]
