"""Evaluation: right numbers, right pairs, a table that people can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from sharpend.errors import InputMissingError, UsageError
from trainer.dataset import write_picture
from trainer.evaluate import (
    BASELINES,
    DEGRADED,
    TEACHER,
    Measured,
    Score,
    commonest_size,
    compare,
    measure,
    pair_outputs,
    sheet,
    summarise,
    table,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def blobs(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    return coarse.repeat(6, axis=0).repeat(6, axis=1)[:height, :width].astype(np.uint8)


def test_scores_are_those_of_the_references() -> None:
    """PSNR is RGB at data range 1; Y is BT.601 studio range without a border of four pixels."""
    original, output = blobs(30, 40), blobs(30, 40, 1) // 4 + blobs(30, 40) // 4 * 3
    score = compare(output, original, Path("x.png"))
    expected = peak_signal_noise_ratio(original, output)  # type: ignore[no-untyped-call]
    assert score.psnr == pytest.approx(expected, abs=1e-3)
    ours, theirs = (rgb2ycbcr(p)[4:-4, 4:-4, 0] for p in (output, original))
    expected = peak_signal_noise_ratio(theirs, ours, data_range=255)  # type: ignore[no-untyped-call]
    assert score.psnr_y == pytest.approx(expected, abs=1e-3)
    assert compare(original, original, Path("x.png")).ssim == 1


@pytest.mark.parametrize("size", [(10, 40), (40, 41)])
def test_what_cannot_be_compared_is_refused(size: tuple[int, int]) -> None:
    """Another size, or a side below SSIM's window, names the picture."""
    with pytest.raises(UsageError, match=r"x\.png: cannot compare"):
        compare(blobs(*size), blobs(size[0], 40), Path("x.png"))


def test_each_method_sees_original_and_degraded(tmp_path: Path) -> None:
    """The teacher is the reference of every agreement; doing nothing stands beside it."""
    write_picture(blobs(30, 40), tmp_path / "x.png")
    perfect = {**BASELINES, TEACHER: lambda original, _: original}
    measured, outputs = measure(tmp_path / "x.png", perfect)
    scores = measured.scores
    assert scores[TEACHER].ssim == scores[TEACHER].agreement == 1
    assert scores[DEGRADED].agreement == pytest.approx(scores[DEGRADED].ssim)
    assert list(outputs) == ["degraded", "unsharp mask", "teacher", "original"]
    assert sheet([(measured, outputs)], crop_px=20).shape[1] > 4 * 2 * 20


def scored(height: int, seconds: float | None, ssim: float = 0.5) -> Measured:
    """A picture with one method."""
    return Measured(Path("x"), height, 40, {"student": Score(ssim, 30.0, 31.0, None, seconds)})


def test_speed_is_the_median_at_the_commonest_size_after_a_warm_up() -> None:
    """The first picture of that size and those of other sizes do not count."""
    measured = [
        scored(30, 9.0),
        scored(30, 0.5),
        scored(50, 100.0),
        scored(30, 0.25),
        scored(30, 0.5),
    ]
    assert commonest_size(measured) == (30, 40)
    assert summarise(measured)["student"].fps == pytest.approx(2)
    assert summarise([scored(30, 0.2)])["student"].fps == pytest.approx(5)
    assert summarise([scored(30, None)])["student"].fps is None


def test_means_are_over_pictures() -> None:
    """Each picture counts once, whatever its size."""
    summary = summarise([scored(30, 1, 0.4), scored(90, 1, 0.8)])["student"]
    assert summary.ssim == pytest.approx(0.6)
    line = table({"student": summary}).splitlines()[1].split()
    assert line == ["student", "0.6000", "30.00", "31.00", "-", "1"]


def test_outputs_are_paired_by_relative_name(tmp_path: Path) -> None:
    """Folders are kept apart, the very name wins over another suffix, doubt is an error."""
    originals, outputs = tmp_path / "originals", tmp_path / "outputs"
    for folder, names in (
        (originals, ("a/x.png", "b/x.jpg", "b/x.png")),
        (outputs, ("a/x.jpg", "b/x.png")),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    paired = pair_outputs(outputs, originals)
    assert [(a.parent.name, b.parent.name, b.name) for a, b in paired] == [
        ("a", "a", "x.png"),
        ("b", "b", "x.png"),
    ]
    (outputs / "b" / "x.webp").touch()
    with pytest.raises(UsageError, match="several originals"):
        pair_outputs(outputs, originals)
    (originals / "b" / "x.jpg").unlink()
    (outputs / "c.png").touch()
    with pytest.raises(InputMissingError, match="has no original of"):
        pair_outputs(outputs, originals)
