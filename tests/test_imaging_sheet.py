"""Sheets show the pixels they are given, and images by path come and go unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError
from sharpend.imaging.crops import most_detailed
from sharpend.imaging.files import load_rgb, save_png
from sharpend.imaging.sheet import Panel, labelled_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels that occur nowhere else."""
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def found(sheet: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Where on the sheet the image lies, as (top, left)."""
    height, width = pixels.shape[:2]
    hits = np.argwhere((sheet[: 1 - height or None, : 1 - width or None] == pixels[0, 0]).all(2))
    return [
        (int(top), int(left))
        for top, left in hits
        if np.array_equal(sheet[top : top + height, left : left + width], pixels)
    ]


@pytest.mark.parametrize("zoom", [1, 3])
def test_sheet_shows_each_panel_once_enlarged_without_smoothing(zoom: int) -> None:
    """Panels stand in rows and columns, each pixel repeated `zoom` times."""
    rows = [[noise(20, 30), noise(24, 31)], [noise(26, 32), noise(20, 33)]]
    panels = [[Panel(pixels, f"SSIM 0.{row}") for row, pixels in enumerate(line)] for line in rows]
    sheet = labelled_sheet(["original", "sharpened"], panels, heading="a heading", zoom=zoom)
    places = [
        [found(sheet, pixels.repeat(zoom, 0).repeat(zoom, 1)) for pixels in line] for line in rows
    ]
    assert all(len(place) == 1 for line in places for place in line)
    (((upper_left,), (upper_right,)), ((lower_left,), (lower_right,))) = places
    assert upper_left[0] == upper_right[0] < lower_left[0] == lower_right[0]
    assert upper_left[1] == lower_left[1] < upper_right[1] == lower_right[1]


def test_labels_and_titles_are_written_inside_their_column() -> None:
    """Text is there, and a long text becomes smaller instead of running into its neighbour."""
    blank = np.full((40, 210, 3), 250, np.uint8)
    plain = labelled_sheet(["", ""], [[Panel(blank), Panel(blank)]])
    long = "sharpened  SSIM 0.893  30.12 dB"
    written = labelled_sheet(["", ""], [[Panel(blank, long), Panel(blank)]])
    changed = np.argwhere((plain != written).any(axis=2))
    assert plain.shape == written.shape
    assert len(changed) > 50
    assert changed[:, 1].max() < 28 + 210 + 2


def test_gray_panels_are_shown_gray() -> None:
    """One channel is repeated over three."""
    pixels = noise(20, 20, 1)
    sheet = labelled_sheet(["gray"], [[Panel(pixels)]])
    assert len(found(sheet, np.repeat(pixels, 3, axis=2))) == 1


def test_ragged_rows_are_a_mistake() -> None:
    """Each row must have a panel for each column."""
    with pytest.raises(ValueError, match="zip"):
        labelled_sheet(["a", "b"], [[Panel(noise(5, 5))] * 2, [Panel(noise(5, 5))]])


def test_most_detailed_window_holds_the_detail() -> None:
    """Of a flat image with one busy corner, the corner is chosen."""
    pixels = np.full((200, 300, 3), 128, np.uint8)
    pixels[150:, 250:] = noise(50, 50)
    rows, columns = most_detailed(pixels, height=50, width=50)
    assert (rows, columns) == (slice(150, 200), slice(250, 300))
    window = most_detailed(pixels, height=999, width=999)
    assert np.array_equal(pixels[window], pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_save_and_load(tmp_path: Path, channels: int) -> None:
    """What is saved is what is loaded, gray as three equal channels."""
    pixels = noise(9, 11, channels)
    save_png(pixels, tmp_path / "a.png")
    loaded = load_rgb(tmp_path / "a.png")
    assert loaded.shape == (9, 11, 3)
    assert np.array_equal(loaded, np.broadcast_to(pixels, (9, 11, 3)))


def test_load_leaves_alpha_out(tmp_path: Path) -> None:
    """Transparency is not blended into the colours."""
    pixels = noise(9, 11, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(load_rgb(tmp_path / "a.png"), pixels[..., :3])


def test_load_refuses_what_is_no_picture(tmp_path: Path) -> None:
    """The codec's refusals come through."""
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(ImageRefusedError):
        load_rgb(tmp_path / "a.png")
