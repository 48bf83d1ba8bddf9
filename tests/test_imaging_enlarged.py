"""Images enlarged by four are recognised, and nothing else is taken for one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage import data

from sharpend.imaging import enlarged
from sharpend.imaging.backprojection import (
    COMPILED,
    CompiledFit,
    PlainFit,
    enlarging,
    fit_of,
    reducing,
)
from sharpend.imaging.enlarged import is_enlarged
from sharpend.imaging.filters import degrade, recompress, resize, unsharp_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sharpend.imaging.backprojection import Fit

    Pixels = NDArray[np.uint8]


@cache
def photographs() -> list[Pixels]:
    """Three sharp photographs of sizes that are and are not multiples of four."""
    makers: list[Callable[[], Pixels]] = [data.astronaut, data.coffee, data.chelsea]
    return [make() for make in makers]


def recognised(pixels: Pixels) -> bool:
    """By the green channel."""
    return is_enlarged(pixels[..., 1].astype(np.float32))


def reduced(pixels: Pixels, factor: float, kernel: str = "bicubic") -> Pixels:
    """Reduced and enlarged again."""
    height, width = pixels.shape[:2]
    small = resize(pixels, height=round(height / factor), width=round(width / factor))
    return resize(small, height=height, width=width, kernel=kernel)


def test_the_report_degradation_is_recognised() -> None:
    """Of any size, whatever was reduced before it was enlarged."""
    for pixels in photographs():
        assert recognised(degrade(pixels))
        cut = pixels[:301, :397]
        assert recognised(degrade(cut))


OTHERS: dict[str, Callable[[Pixels], Pixels]] = {
    "as it came": lambda pixels: pixels,
    "by two": lambda pixels: reduced(pixels, 2),
    "by three": lambda pixels: reduced(pixels, 3),
    "by 3.9": lambda pixels: reduced(pixels, 3.9),
    "by five": lambda pixels: reduced(pixels, 5),
    "by eight": lambda pixels: reduced(pixels, 8),
    "by four, with another kernel": lambda pixels: reduced(pixels, 4, "lanczos"),
    "by four, then JPEG": lambda pixels: recompress(degrade(pixels), quality=80),
    "by four, then sharpened": lambda pixels: unsharp_mask(degrade(pixels)),
    "by four, then cut off the grid": lambda pixels: degrade(pixels)[2:-2, 2:-2],
    "flat": lambda pixels: np.full_like(pixels, 120),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_images_are_not(kind: str) -> None:
    """As soft or softer, but not by this: the general model has them."""
    for pixels in photographs():
        assert not recognised(OTHERS[kind](pixels))


def test_an_image_of_one_pixel_is_not() -> None:
    """Nothing to tell."""
    assert not recognised(np.full((1, 1, 3), 7, np.uint8))


def test_hidden_pixels_are_not_judged() -> None:
    """An enlargement is recognised by its visible part, whatever lies beside it."""
    random = np.random.default_rng(0)
    for pixels in photographs():
        enlarged = degrade(pixels)
        visible = np.ones(enlarged.shape[:2], bool)
        visible[:, :100] = False
        enlarged[:, :100] = random.integers(0, 256, (len(enlarged), 100, 3))
        channel = enlarged[..., 1].astype(np.float32)
        assert is_enlarged(channel, visible)
        assert not is_enlarged(channel)
        assert not is_enlarged(channel, np.zeros_like(visible))


def test_parts_refute_nothing_that_the_whole_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in one part of an enlargement, or on all of it, parts only save time."""
    random = np.random.default_rng(0)
    changed = []
    for pixels in photographs()[:2]:
        channel = degrade(pixels)[..., 1].astype(np.float32)
        for deviation in (0.2, 0.3, 0.5, 1.0, 2.0, 4.0):
            noise = np.rint(random.normal(0, deviation, channel.shape)).astype(np.float32)
            changed.append((channel + noise).clip(0, 255))
            noise[:, :-40] = 0
            changed.append((channel + noise).clip(0, 255))
    found = [is_enlarged(one) for one in changed]
    monkeypatch.setattr(enlarged, "PART_PX", 10_000)
    assert found == [is_enlarged(one) for one in changed]
    assert 0 < sum(found) < len(found)


def test_most_images_are_refuted_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of a compressed enlargement is not solved for: that takes most of the time."""
    solved = []

    def noted(channel: NDArray[np.float32], judged: NDArray[np.bool_]) -> Fit:
        solved.append(channel.shape)
        return fit_of(channel, judged)

    monkeypatch.setattr(enlarged, "fit_of", noted)
    for kind in ("as it came", "by three", "by four, then JPEG"):
        assert not recognised(OTHERS[kind](photographs()[0]))
    assert set(solved) == {(enlarged.PART_PX, enlarged.PART_PX)}


@pytest.mark.skipif(COMPILED is None, reason="no C compiler was here")
def test_compiled_steps_are_those_of_pillow() -> None:
    """At every size down to one pixel, enlarged or not, with pixels that do not count."""
    assert COMPILED is not None
    random = np.random.default_rng(0)
    for height, width in [(4, 4), (4, 40), (8, 4), (12, 20), (64, 36), (300, 400)]:
        cut = photographs()[1][:height, :width]
        for pixels in (cut, degrade(cut)):
            channel = pixels[..., 1].astype(np.float32)
            judged = random.random(channel.shape) < 0.8
            plain, compiled = PlainFit(channel, judged), CompiledFit(channel, judged, COMPILED)
            for _ in range(4):
                left = plain.difference(channel.size)
                assert compiled.difference(channel.size) == pytest.approx(left, abs=1e-4)
                plain.correct()
                compiled.correct()


@pytest.mark.skipif(COMPILED is None, reason="no C compiler was here")
def test_wrong_sizes_are_refused() -> None:
    """The compiled step reads and writes no array that is too short."""
    assert COMPILED is not None
    small, large = np.zeros((2, 3), np.float32), np.zeros((8, 12), np.float32)
    weights = tuple(map(enlarging, small.shape)), tuple(map(reducing, small.shape))
    judged = np.ones(large.shape, bool)
    for short in (large[:-1], small):
        with pytest.raises(ValueError, match="values"):
            COMPILED.missing(short, judged, small, *weights, small.copy(), small.shape)
    with pytest.raises(ValueError, match="values"):
        COMPILED.missing(large, judged, small, *weights, small.copy(), (2, 4))
    with pytest.raises(ValueError, match="at least one pixel"):
        COMPILED.missing(large, judged, small, *weights, small.copy(), (0, 3))
