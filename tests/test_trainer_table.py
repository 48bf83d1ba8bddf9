"""Tables: gains are paired, intervals are everywhere, what was not measured is not shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conftest import photograph
from trainer.evaluation.contact_sheet import best_median_worst, contact_sheet
from trainer.evaluation.measurements import ORIGINAL, WHOLE, MeasuredImage
from trainer.evaluation.scores import Score
from trainer.evaluation.speed import Cost
from trainer.evaluation.tables import (
    DEGRADED,
    UNSHARP,
    Evaluation,
    SetScores,
    as_json,
    as_markdown,
    summarise,
)

ROWS = (DEGRADED, UNSHARP, "lite", "teacher")
GAINS = {DEGRADED: 0.0, UNSHARP: 0.01, "lite": 0.02, "teacher": 0.04}


def scored(name: str, start: float, times: float = 1.0) -> MeasuredImage:
    """An image whose rows gain what GAINS says, times a factor."""
    scores = {
        row: Score(start + times * GAINS[row], 30.0, None, 31.0, 0.8, 0.9, shift=times * GAINS[row])
        for row in ROWS
    }
    crops = {row: photograph(20, 24) for row in (ORIGINAL, *ROWS)}
    return MeasuredImage(name, 40, 60, scores, {WHOLE: photograph(30, 40), **crops})


PICTURES = [scored("a.png", 0.5), scored("b.png", 0.9, 3.0), scored("c.png", 0.6, 2.0)]


def evaluation(*, paired: bool = False, costs: dict[str, Cost] | None = None) -> Evaluation:
    """One set of three images."""
    return Evaluation(
        machine={"device": "cpu", "threads": 1},
        sets=[SetScores("hd", paired, PICTURES)],
        models={"lite": {"name": "lite-x4", "digest": "1", "kind": "student", "parameters": 64720}},
        unsharp={"radius": 2.5, "percent": 60, "chosen": "as given"},
        student="lite",
        teacher="teacher",
        costs=costs or {},
    )


def cells(markdown: str, row: str) -> dict[str, str]:
    """A row of the only table, by its titles."""
    lines = [line.strip("|").split("|") for line in markdown.splitlines() if line.startswith("|")]
    titles = [cell.strip() for cell in lines[0]]
    [found] = [line for line in lines if line[0].strip() == row]
    return dict(zip(titles, (cell.strip() for cell in found), strict=True))


def test_figures_are_means_over_pictures() -> None:
    """Each image counts once; the rows keep their order."""
    figures = summarise(PICTURES, teacher="teacher")
    assert list(figures) == list(ROWS)
    expected = np.mean([0.52, 0.96, 0.64])
    assert figures["lite"]["ssim"].mean == pytest.approx(expected)
    assert "ms_ssim" not in figures["lite"]


def test_gains_are_paired_and_shares_are_of_the_teachers() -> None:
    """A student with half of its teacher's gain on every image has half, for certain."""
    figures = summarise(PICTURES, teacher="teacher")["lite"]
    gain, share = figures["ssim_gain"], figures["ssim_gain_share"]
    assert gain.mean == pytest.approx(0.04)
    assert (gain.low, gain.high) == pytest.approx((0.02, 0.06))
    assert (share.low, share.mean, share.high) == pytest.approx((0.5, 0.5, 0.5))


def test_without_a_teacher_or_the_degraded_picture_there_is_less() -> None:
    """Ready outputs have scores alone."""
    assert "ssim_gain_share" not in summarise(PICTURES)["lite"]
    alone = [MeasuredImage(p.image, 40, 60, {"outputs": p.scores["lite"]}, {}) for p in PICTURES]
    columns = summarise(alone)["outputs"]
    assert set(columns) == {
        *("ssim", "psnr", "psnr_y", "ssim_y", "agreement"),
        *("shift", "shift_largest"),
    }


def test_a_score_that_one_picture_lacks_is_left_out() -> None:
    """A mean over some of the images would stand beside means over all."""
    large = MeasuredImage("d.png", 200, 200, {"x": Score(0.5, 30, 0.9, 31, 0.6)}, {})
    small = MeasuredImage("e.png", 40, 40, {"x": Score(0.5, 30, None, 31, 0.6)}, {})
    assert "ms_ssim" in summarise([large])["x"]
    assert "ms_ssim" not in summarise([large, small])["x"]


def test_the_json_has_everything() -> None:
    """Estimates by set, row and column; each image's scores; costs by row; no bare infinity."""
    flawless = MeasuredImage("f.png", 40, 60, {DEGRADED: Score(1, np.inf, None, np.inf, 1)}, {})
    costs = {"lite": Cost(64720, 8.4, {1: 4.0, 2: 7.5}, 300.0, "cpu")}
    whole = evaluation(costs=costs)
    told = json.loads(as_json(whole))
    lite = told["sets"]["hd"]["rows"]["lite"]
    assert set(lite["ssim"]) == {"mean", "low", "high"}
    assert told["models"]["lite"]["digest"] == "1"
    assert told["sets"]["hd"]["each"][1]["scores"]["teacher"]["ssim"] == pytest.approx(1.02)
    assert told["costs"]["lite"]["fps"] == {"1": 4.0, "2": 7.5}
    assert (told["student"], told["teacher"]) == ("lite", "teacher")
    bare = json.loads(as_json(Evaluation({}, [SetScores("s", paired=False, measured=[flawless])])))
    assert bare["sets"]["s"]["rows"][DEGRADED]["psnr"] == {"mean": None, "low": None, "high": None}


def test_the_markdown_shows_intervals_and_words() -> None:
    """Figures with their intervals in brackets; what has no entry has no column."""
    text = as_markdown(evaluation())
    lite = cells(text, "lite")
    assert lite["SSIM"] == "0.7067 [0.5200, 0.9600]"
    assert lite["SSIM gain"] == "+0.0400 [+0.0200, +0.0600]"
    assert lite["of the teacher's gain"] == "50% [50%, 50%]"
    assert lite["parameters"] == "64,720"
    assert (lite["colour shift"], lite["largest"]) == ("0.040 [0.020, 0.060]", "0.060")
    assert cells(text, DEGRADED)["SSIM gain"] == ""
    assert not {"MS-SSIM", "GMAC", "peak MiB", "Y-PSNR dB"} & set(lite)
    assert "Unsharp mask: radius 2.5 px, 60 per cent, as given." in text
    assert "3 images, softened here" in text


def test_nothing_gained_has_no_sign_of_loss() -> None:
    """A loss that rounds to nothing is reported as nothing."""
    scores = {DEGRADED: Score(0.5, 30, None, 31, 0.8), "x": Score(0.49999, 30, None, 31, 0.8)}
    scores["t"] = Score(0.6, 30, None, 31, 0.8)
    one = SetScores("s", paired=False, measured=[MeasuredImage("a.png", 40, 60, scores, {})])
    found = cells(as_markdown(Evaluation({}, [one], teacher="t")), "x")
    assert (found["SSIM gain"], found["of the teacher's gain"]) == ("+0.0000", "0%")


def test_the_fields_convention_is_first_on_given_pairs() -> None:
    """Y-PSNR and Y-SSIM are shown where the set is one of the benchmarks."""
    lite = cells(as_markdown(evaluation(paired=True)), "lite")
    assert list(lite)[1:3] == ["Y-PSNR dB", "Y-SSIM"]
    assert lite["Y-PSNR dB"].startswith("31.00 ")


def test_costs_stand_beside_the_scores() -> None:
    """A column for each number of threads, and the device by name; nothing where nothing ran."""
    costs = {
        "lite": Cost(
            64720, 8.432, {1: 4.0, 2: 7.512}, 300.4, "Xeon, float32", times={1: 20.04, 2: 21.5}
        ),
        "teacher": Cost(1_079_568, None, {1: 0.2, 2: 0.35}, 900.0, "Xeon, float32"),
    }
    text = as_markdown(evaluation(costs=costs))
    lite, teacher = cells(text, "lite"), cells(text, "teacher")
    assert (lite["GMAC"], teacher["GMAC"]) == ("8.432", "")
    assert (lite["FPS, 1 thread"], lite["FPS, 2 threads"]) == ("4", "7.51")
    assert (lite["times the teacher, 1 thread"], lite["peak MiB"]) == ("20", "300")
    assert cells(text, UNSHARP)["peak MiB"] == ""
    assert "on Xeon, float32" in text


def test_one_picture_has_no_interval() -> None:
    """A mean of one is reported without brackets."""
    one = Evaluation({}, [SetScores("s", paired=False, measured=PICTURES[:1])])
    assert cells(as_markdown(one), "lite")["PSNR dB"] == "30.00"


def test_the_telling_pictures_are_best_median_and_worst() -> None:
    """By the gain of the row that judges; of fewer images none is shown twice."""
    chosen = [(what, one.image) for what, one in best_median_worst(PICTURES, "lite")]
    assert chosen == [("best", "b.png"), ("median", "c.png"), ("worst", "a.png")]
    assert [what for what, _ in best_median_worst(PICTURES[:1], "lite")] == ["best"]
    assert [what for what, _ in best_median_worst(PICTURES[:2], "lite")] == ["best", "worst"]


def test_a_sheet_shows_every_column_enlarged() -> None:
    """The whole image, the original and each row, twice as large; as wide as they need."""
    sheet = contact_sheet("hd", PICTURES, [DEGRADED, UNSHARP, "lite", "teacher"], by="lite")
    less = contact_sheet("hd", PICTURES, [DEGRADED, "lite"], by="lite")
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] >= less.shape[1] + 2 * 24 * 2
    crop = photograph(20, 24).repeat(2, axis=0).repeat(2, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], crop.shape[:2])
    assert (windows[:, :, 0, 0] == crop[0, 0, 0]).any()
