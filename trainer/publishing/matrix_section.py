"""The matrix in the cards of a model: the part in the weights file, and the Markdown section.

Owns the keys of `scores["matrix"]`. Only the row of the model is kept, with the scores of the no-op
and the gains of the best mask of each cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpend.errors import UsageError
from trainer.evaluation.matrix.cells import SHARP
from trainer.evaluation.matrix.comparison import BEST_MASK, NOOP
from trainer.evaluation.matrix.tables import cue_tables, number, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    Table = Mapping[str, Any]

MATRIX = "matrix"
"""Key among a card's scores."""


def matrix_of(matrix: Table, digest: str) -> dict[str, Any]:
    """Extract the part of a matrix for the card of one model.

    Args:
        matrix: the parsed matrix.json.
        digest: of the network's tensors.

    Raises:
        UsageError: it is no such file, or does not contain this model.
    """
    try:
        rows = [row for row, model in matrix["models"].items() if model["digest"] == digest]
        if not rows:
            raise UsageError("--matrix: does not contain this model")
        own, others = matrix["rows"][rows[0]], matrix["rows"]
        sharp = {key: own["sharp"][key] for key in ("images", "mean", "worst", "cue_above")}
        return {
            "sets": {name: one["images"] for name, one in matrix["sets"].items()},
            "machine": matrix["machine"],
            "options": matrix["options"],
            "teacher": matrix["teacher"],
            "soft": own["soft"],
            "cells": own["cells"],
            "noop": {cell: one["psnr"] for cell, one in others[NOOP]["cells"].items()},
            "best_mask": {
                cell: one["psnr_gain"]
                for cell, one in others[BEST_MASK]["cells"].items()
                if cell != SHARP
            },
            "sharp": sharp,
            "harm": own["harm"],
            "passes": own["passes"],
            "cue": matrix["cue"],
            **{key: own[key] for key in ("real", "targets") if key in own},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("--matrix: not a matrix.json of `trainer evaluate --matrix`") from error


def matrix_section(matrix: Table) -> str:
    """A card's section: by cell, sharp originals and harm, and the cue."""
    sets = ", ".join(f"{name} ({images})" for name, images in matrix["sets"].items())
    soft = matrix["soft"]
    text = (
        f"`trainer evaluate --matrix` on {sets}: gain over the input by kind of softness, means "
        f"over images. Mean of the fourteen soft cells {soft['psnr_gain']:+.2f} dB and "
        f"{soft['ssim_gain']:+.4f} SSIM; the least gains {soft['least_psnr_gain']:+.2f} dB "
        f"({soft['least']}). bic = bicubic reduction and enlargement by a factor, g = Gaussian "
        "sigma, disk = defocus radius, mot = motion line in pixels, n = noise sigma, q = JPEG "
        "quality; the best mask is the best of twenty unsharp masks of each cell."
    )
    cue = "How well the softness cue tells sharp images from soft ones, for `skip_sharp`. "
    return "\n\n".join([text, _cells(matrix), _harm(matrix), cue + cue_tables(matrix["cue"])])


def _cells(matrix: Table) -> str:
    titles = ["cell", "input, dB", "gain, dB", "worst image", "best mask", "gain, SSIM"]
    more = ["to the input, dB: mean / worst", "SSIM to teacher", "residual ratio"]
    lines = [
        [
            cell,
            "" if cell == SHARP else number(matrix["noop"][cell], ".2f"),
            number(one.get("psnr_gain"), "+z.2f"),
            number(one.get("psnr_gain_worst"), "+z.2f"),
            number(matrix["best_mask"].get(cell), "+z.2f"),
            number(one.get("ssim_gain"), "+z.4f"),
            f"{one['distance']:.1f} / {one['distance_worst']:.1f}",
            number(one.get("agreement"), ".4f"),
            number(one.get("residual_ratio"), ".3f"),
        ]
        for cell, one in matrix["cells"].items()
    ]
    return table([*titles, *more], lines)


def _harm(matrix: Table) -> str:
    sharp, harm, passes = matrix["sharp"], matrix["harm"], matrix["passes"]
    really = sharp["cue_above"]
    over = ", ".join(f"{value:.0f} ({blur} px)" for blur, value in harm["overshoot"].items())
    rows = [
        ["sharp originals to the input, mean / worst", f"{_db(sharp)} of {sharp['images']}"],
        [f"those with a cue above {really['threshold']:g}", f"{_db(really)} of {really['images']}"],
        ["noise on flat gray, worst ratio", number(harm["noise_worst"], ".3f")],
        ["JPEG blocks of quality 75, ratio", number(harm["blocks"], ".3f")],
        ["overshoot of a step, per cent of it (its blur)", over],
    ]
    rows += [
        [f"{cell}: dB after no, one, two, three passes", ", ".join(f"{db:.2f}" for db in after)]
        for cell, after in passes.items()
    ]
    return table(["harm", ""], rows)


def _db(extent: Table) -> str:
    return f"{number(extent['mean'], '.1f')} / {number(extent['worst'], '.1f')} dB"
