"""ROC figures of the softness cue as a classifier of sharp and soft images, for `skip_sharp`.

An image with a cue above the threshold is skipped. Pure functions of lists of cues, one a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluation.matrix.cells import CELLS, NOT_SOFT, SHARP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THRESHOLD = -0.8
"""The default of `skip_sharp`; see `sharpend.model.cues.Cues.sharpness`."""
THRESHOLDS = (-1.4, -1.2, -1.0, -0.9, -0.8, -0.7, -0.6, -0.4, -0.2, 0.0)


def area_under_curve(sharp: Sequence[float], soft: Sequence[float]) -> float:
    """The probability that a sharp image has the higher cue, ties by half (Hanley, McNeil 1982)."""
    above = np.subtract.outer(np.asarray(sharp), np.asarray(soft))
    return float((np.sign(above) + 1).mean() / 2)


def share_above(cues: Sequence[float], threshold: float) -> float:
    """The share of images above a threshold, which are skipped."""
    return float(np.mean(np.asarray(cues) > threshold))


def cue_figures(cues: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Figures of the cue by kind.

    Args:
        cues: cell to the cues of its images, all cells.

    Returns:
        threshold; by kind the range of cues, AUC of sharp originals against it, and the error rate
        at the threshold (sharp ones processed, soft ones skipped); by threshold the share of each
        kind that is skipped.
    """
    return {
        "threshold": THRESHOLD,
        "kinds": {cell: _of_kind(cell, cues) for cell in CELLS},
        "left_alone": {
            f"{threshold:g}": {cell: share_above(cues[cell], threshold) for cell in CELLS}
            for threshold in THRESHOLDS
        },
    }


def _of_kind(cell: str, cues: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    own = cues[cell]
    skipped = share_above(own, THRESHOLD)
    return {
        "least": min(own),
        "median": float(np.median(own)),
        "largest": max(own),
        "auc": None if cell == SHARP else area_under_curve(cues[SHARP], own),
        "error": 1 - skipped if cell in NOT_SOFT else skipped,
    }
