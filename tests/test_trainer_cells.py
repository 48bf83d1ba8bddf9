"""The cells of the matrix, the errors of the cue, and the targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sharpend.model.weights import Card
from tests.conftest import photograph
from trainer.evaluation.matrix import cell_masks
from trainer.evaluation.matrix.cells import CELLS, NOT_SOFT, SHARP, SOFT, degraded
from trainer.evaluation.matrix.roc import area_under_curve, cue_figures, share_above
from trainer.evaluation.matrix.targets import COLUMNS, Target, check, column_of
from trainer.evaluation.unsharp import Unsharp


def test_fourteen_are_soft() -> None:
    """The names are those that cards and tables show."""
    assert list(SOFT) == [
        *("bic1.5", "bic2", "bic3", "bic4", "g0.7", "g1", "g1.5", "g2", "g3"),
        *("disk1.5", "disk3", "mot5", "x2+q75", "g1+n3+q88"),
    ]
    assert [*CELLS][14:] == ["sharp", "sharp+q75", "sharp+n5", "g1+n5"]
    assert set(NOT_SOFT) < set(CELLS)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_seeded_by_the_image_alone(cell: str) -> None:
    """The same name gives the same pixels; only the original itself is left as it is."""
    original = photograph(48, 56)
    soft = degraded(cell, original, name="a.png")
    assert soft.shape == original.shape
    assert soft.dtype == np.uint8
    assert np.array_equal(soft, degraded(cell, original, name="a.png"))
    assert np.array_equal(soft, original) == (cell == SHARP)
    drawn = not np.array_equal(soft, degraded(cell, original, name="b.png"))
    assert drawn == (cell == "mot5" or "+n" in cell)


def test_the_area_under_the_curve() -> None:
    """One for sets apart, a half for equal ones, zero the wrong way round."""
    assert area_under_curve([0.1, 0.2], [-1.0, -2.0, -3.0]) == 1
    assert area_under_curve([-1.0, -2.0], [0.0]) == 0
    assert area_under_curve([1.0, 1.0], [1.0, 1.0, 1.0]) == 0.5
    assert area_under_curve([0.0, 2.0], [1.0]) == 0.5
    assert share_above([-1.0, -0.8, -0.5, 0.0], -0.8) == 0.5


def test_errors_are_sharp_processed_and_soft_skipped() -> None:
    """At the threshold, by kind."""
    cues: dict[str, list[float]] = {cell: [-1.5, -1.4, -1.0, -0.5] for cell in CELLS}
    cues[SHARP] = [-0.9, -0.1, 0.0, 0.3]
    found: Any = cue_figures(cues)
    assert found["kinds"][SHARP]["error"] == 0.25
    assert found["kinds"][SHARP]["auc"] is None
    assert found["kinds"]["g1"]["error"] == 0.25
    assert found["kinds"]["sharp+n5"]["error"] == 0.75
    assert found["left_alone"]["-0.8"][SHARP] == 0.75
    assert found["kinds"]["g1"]["auc"] == pytest.approx(15 / 16)


def test_the_best_mask_of_a_cell() -> None:
    """What is sharp asks for the weakest mask, a mask beats doing nothing where it can."""
    found = cell_masks.search_cell_masks(
        [("a.png", photograph(64, 72)), ("b.png", photograph(64, 72, seed=1))]
    )
    weakest = Unsharp(0.7, 30)
    assert found.by_cell[SHARP] == weakest
    assert found.by_cell["g1"].percent > 30
    assert len(cell_masks.MASKS) == 20
    assert found.single in cell_masks.MASKS
    soft = degraded("g1", photograph(64, 72), name="a.png")
    assert np.array_equal(found(soft, "g1"), found.by_cell["g1"](soft, soft))


def test_crops_lie_on_the_grid_of_blocks() -> None:
    """The middle, moved to a multiple of eight pixels; smaller images are whole."""
    pixels = photograph(100, 70)
    crop = cell_masks.middle(pixels, 50)
    assert np.array_equal(crop, pixels[24:74, 8:58])
    assert np.array_equal(cell_masks.middle(pixels, 200), pixels)


def row(*, gain: float, distance: float, worst: float = 45.0) -> dict[str, Any]:
    """A row of which every cell gains the same."""
    cells = {cell: {"psnr_gain": gain} for cell in CELLS if cell != SHARP}
    soft = {"psnr_gain": gain, "ssim_gain": gain / 40, "least_psnr_gain": gain}
    sharp = {"mean": distance, "worst": worst, "cue_above": {"threshold": -0.8, "worst": worst}}
    return {
        "cells": cells,
        "soft": soft,
        "sharp": sharp,
        "passes": {"g1": [30.0, 32.0, 32.0, 31.9]},
        "harm": {"noise_worst": 1.0, "blocks": 1.0},
    }


def test_targets_met_and_missed() -> None:
    """A model that gains three decibels meets all; what is not measured is neither."""
    found = {one.what: one for one in check(row(gain=3.0, distance=60.0), "base")}
    assert {one.met for one in found.values()} == {True, None}
    below = found["bic4 below the x4 network of its size, dB"]
    assert below.met is None
    found = {one.what: one for one in check(row(gain=0.4, distance=49.0), "lite")}
    assert found["bic1.5, dB"].met is True
    assert found["bic4, dB"].met is False
    assert found["sharp originals to the input, mean, dB"].met is False
    assert found["sharp+q75, dB"].met is True


def test_the_specialist_of_its_size() -> None:
    """At most so much below, the limit included."""
    own, specialist = row(gain=3.0, distance=60.0), row(gain=3.25, distance=30.0)
    found = {one.what: one for one in check(own, "base", specialist=specialist)}
    assert found["bic4 below the x4 network of its size, dB"].found == pytest.approx(0.25)
    assert Target("x", 0.25, "below", 0.25).met
    assert not Target("x", 0.25, "below", 0.2501).met


def test_real_photographs_count_where_they_were_measured() -> None:
    """Two more targets."""
    real = {"real": {"noise_worst": 1.1, "overshoot_worst": 2.0}}
    found = {one.what: one.met for one in check({**row(gain=3.0, distance=60.0), **real}, "base")}
    assert found["real: noise, worst ratio"] is False
    assert found["real: overshoot, worst, levels"] is True


def test_columns_by_size() -> None:
    """`lite` has 32 channels; both columns name every soft cell."""
    assert column_of(Card("a", "student", 32, 2, 52)) == "lite"
    assert column_of(Card("a", "student", 48, 4, 84)) == "base"
    assert {len(column.cells) for column in COLUMNS.values()} == {len(SOFT)}
