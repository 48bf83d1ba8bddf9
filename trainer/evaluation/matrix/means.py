"""Means and extremes of the matrix, as plain values for JSON, tables and cards.

Owns the names of the figures. PSNR of equal images counts as 100 dB; gains of the sharp cell are
left out, because it is the reference itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluation.matrix.cells import CELLS, SHARP, SOFT
from trainer.evaluation.matrix.comparison import NOOP, PASSED
from trainer.evaluation.matrix.roc import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.evaluation.matrix.comparison import ImageFigures

    Table = dict[str, Any]

WORST = 5
"""Number of sharp originals that are named and drawn for each method."""


def cell_figures(images: Sequence[ImageFigures], row: str) -> Table:
    """A row's figures by cell: scores, gains over the no-op, distance to the input, agreement."""
    return {cell: _of_cell(images, row, cell) for cell in CELLS}


def _of_cell(images: Sequence[ImageFigures], row: str, cell: str) -> Table:
    own = {score: _values(images, row, cell, score) for score in ("psnr", "ssim", "distance")}
    figures: Table = {
        "psnr": own["psnr"].mean(),
        "ssim": own["ssim"].mean(),
        "distance": own["distance"].mean(),
        "distance_worst": own["distance"].min(),
    }
    if cell != SHARP:
        for score in ("psnr", "ssim"):
            gains = own[score] - _values(images, NOOP, cell, score)
            figures |= {f"{score}_gain": gains.mean(), f"{score}_gain_worst": gains.min()}
            figures[f"{score}_gain_worst_image"] = images[int(gains.argmin())].name
    return _plain({**figures, **_agreement(images, row, cell)})


def _agreement(images: Sequence[ImageFigures], row: str, cell: str) -> Table:
    """SSIM to the teacher beside the no-op's, and the pooled residual ratio."""
    if images[0].rows[row].cells[cell].agreement is None:
        return {}
    residual, nothing = (_values(images, one, cell, "residual").sum() for one in (row, NOOP))
    return {
        "agreement": _values(images, row, cell, "agreement").mean(),
        "agreement_noop": _values(images, NOOP, cell, "agreement").mean(),
        "residual_ratio": residual / nothing if nothing else None,
    }


def _values(images: Sequence[ImageFigures], row: str, cell: str, score: str) -> NDArray[np.float64]:
    """One value an image."""
    return np.array([getattr(image.rows[row].cells[cell], score) for image in images], np.float64)


def soft_figures(cells: Mapping[str, Mapping[str, Any]]) -> Table:
    """The mean of the fourteen soft cells, and the one that gains least."""
    least = min(SOFT, key=lambda cell: float(cells[cell]["psnr_gain"]))
    return {
        "psnr_gain": float(np.mean([cells[cell]["psnr_gain"] for cell in SOFT])),
        "ssim_gain": float(np.mean([cells[cell]["ssim_gain"] for cell in SOFT])),
        "least": least,
        "least_psnr_gain": cells[least]["psnr_gain"],
    }


def sharp_figures(images: Sequence[ImageFigures], row: str) -> Table:
    """Distance of outputs to sharp originals: all of them, and those with a sharp cue."""
    distances = _values(images, row, SHARP, "distance")
    cues = np.array([image.cues[SHARP] for image in images])
    really = distances[cues > THRESHOLD]
    worst = [
        {
            "set": images[at].set_name,
            "image": images[at].name,
            "cue": float(cues[at]),
            "distance": float(distances[at]),
        }
        for at in np.argsort(distances, kind="stable")[:WORST]
    ]
    return {
        **_extent(distances),
        "worst_images": worst,
        "cue_above": {"threshold": THRESHOLD, **_extent(really)},
    }


def _extent(distances: NDArray[np.float64]) -> Table:
    if not len(distances):
        return {"images": 0, "mean": None, "worst": None}
    mean, worst = float(distances.mean()), float(distances.min())
    return {"images": len(distances), "mean": mean, "worst": worst}


def pass_figures(images: Sequence[ImageFigures], row: str) -> Table:
    """Mean PSNR to the original after each pass, by cell."""
    return {
        cell: np.mean([image.rows[row].passes[cell] for image in images], axis=0).tolist()
        for cell in PASSED
    }


def block_ratio(images: Sequence[ImageFigures], row: str) -> float | None:
    """Excess at block edges over that of the input, pooled over images; None where it has none."""
    own, given = (sum(image.rows[one].blocks for image in images) for one in (row, NOOP))
    return own / given if given > 0 else None


def set_figures(images: Sequence[ImageFigures], row: str) -> Table:
    """The short form for one set: means of soft cells, and sharp originals."""
    cells = cell_figures(images, row)
    return {
        "soft": soft_figures(cells),
        "psnr_gain": {cell: cells[cell].get("psnr_gain") for cell in CELLS},
        "sharp": _extent(_values(images, row, SHARP, "distance")),
    }


def _plain(figures: Mapping[str, Any]) -> Table:
    """Numbers of numpy as Python's own."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in figures.items()
    }
