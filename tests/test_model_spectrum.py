"""The spectrum of an image: power by spatial frequency, the same however the image is stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.model import spectrum as module
from sharpend.model.cues import DIRECTIONS, POWERS, RINGS, WIDE_RINGS, cues_of, turned
from sharpend.model.measuring import measure
from sharpend.model.spectrum import HIGHEST, LOWEST, TILE_PX, WIDE_EDGES, spectrum
from trainer.degradations import blur


def noise(height: int, width: int, *, channels: int = 1) -> np.ndarray:
    """White noise about middle gray, with a standard deviation of a tenth."""
    pixels = np.random.default_rng(0).normal(0.5, 0.1, (height, width, 1)).astype(np.float32)
    return np.repeat(pixels, channels, axis=2)


def test_white_noise_has_its_variance_in_every_part() -> None:
    """Power is normalised, so it depends neither on tile and window nor on the size."""
    assert spectrum(noise(640, 640)) == pytest.approx([0.01] * POWERS, rel=0.15)
    assert spectrum(noise(640, 640, channels=3)) == pytest.approx(spectrum(noise(640, 640)))


@pytest.mark.parametrize("ring", range(RINGS))
def test_a_wave_lies_in_its_ring(ring: int) -> None:
    """A diagonal wave has most power in the ring that its frequency belongs to."""
    step = (HIGHEST - LOWEST) / RINGS
    per_axis = (LOWEST + (ring + 0.5) * step) / np.sqrt(2)
    rows, columns = np.mgrid[:320, :320]
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * per_axis * (rows + columns))
    assert int(np.argmax(spectrum(wave[..., None].astype(np.float32))[:RINGS])) == ring


@pytest.mark.parametrize("direction", range(DIRECTIONS))
@pytest.mark.parametrize("ring", range(WIDE_RINGS))
def test_a_wave_lies_in_its_sector(ring: int, direction: int) -> None:
    """A wave along a direction has most power in that sector of the wide ring of its frequency."""
    frequency = (WIDE_EDGES[ring] + WIDE_EDGES[ring + 1]) / 2
    angle = direction * np.pi / DIRECTIONS
    rows, columns = np.mgrid[:320, :320]
    along = rows * np.sin(angle) + columns * np.cos(angle)
    wave = (0.5 + 0.2 * np.cos(2 * np.pi * frequency * along)).astype(np.float32)
    found = int(np.argmax(spectrum(wave[..., None])[RINGS:]))
    assert divmod(found, DIRECTIONS) == (ring, direction)


def test_motion_takes_power_away_along_its_direction() -> None:
    """Of a motion by five pixels the cues tell the direction; of an even blur they tell none."""
    pixels = np.clip(noise(640, 640, channels=3) * 255, 0, 255).astype(np.uint8)

    def beyond(image: np.ndarray) -> np.ndarray:
        cues = cues_of(measure(image).tensor())[0, -(WIDE_RINGS - 1) * DIRECTIONS :]
        return cues.view(WIDE_RINGS - 1, DIRECTIONS).numpy()

    for direction in range(DIRECTIONS):
        moved = beyond(blur.motion(pixels, 5, direction * np.pi / DIRECTIONS))
        assert int(moved[1].argmax()) == direction
        assert moved[1, direction] > 2
    assert np.abs(beyond(pixels)).max() < 0.5
    assert np.abs(beyond(blur.gaussian(pixels, 0.7))).max() < 0.5


@pytest.mark.parametrize("turn", range(8))
def test_numbers_of_a_turned_image_are_known_without_measuring(turn: int) -> None:
    """Crops are turned in training, the image that they are of was measured as it stands."""
    pixels = blur.motion(data.astronaut()[:480, :352], 5, 0.3)  # type: ignore[no-untyped-call]
    image = np.rot90(pixels, turn % 4)
    image = np.ascontiguousarray(image[:, ::-1] if turn >= 4 else image)
    expected = cues_of(measure(image).tensor())
    measured = measure(pixels).tensor()
    assert (cues_of(turned(measured, torch.tensor([turn]))) - expected).abs().max() < 0.15
    as_it_stood = (cues_of(measured) - expected).abs().max()
    assert as_it_stood > 1 or turn in (0, 2)


def test_a_blur_leaves_the_square_of_its_transfer_function() -> None:
    """A Gaussian of sigma s leaves exp(-(2 pi s f)^2) of the power at frequency f."""
    pixels = np.clip(noise(1024, 512, channels=3) * 255, 0, 255).astype(np.uint8)
    blurred = spectrum(blur.gaussian(pixels, 0.7))
    left = (np.array(blurred) / spectrum(pixels))[:RINGS]
    middles = LOWEST + (np.arange(RINGS) + 0.5) * (HIGHEST - LOWEST) / RINGS
    expected = np.exp(-((2 * np.pi * 0.7 * middles) ** 2))
    assert left[:6] == pytest.approx(expected[:6], rel=0.15)


def test_depth_and_rotation_change_nothing() -> None:
    """16 bits have the spectrum of 8 bits, and a turned image nearly that of the image."""
    pixels = data.astronaut()  # type: ignore[no-untyped-call]
    plain = spectrum(pixels)
    assert spectrum(pixels.astype(np.uint16) * 257) == pytest.approx(plain, rel=1e-4)
    assert spectrum(np.rot90(pixels))[:RINGS] == pytest.approx(plain[:RINGS], rel=0.05)


def test_tiles_of_a_large_image_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an image has more tiles than are transformed, those taken lie all over it."""
    pixels = np.concatenate([noise(1024, 1536), 0.5 + (noise(1024, 1536) - 0.5) / 10], axis=1)
    few = spectrum(pixels)
    monkeypatch.setattr(module, "MOST_TILES", 10**6)
    assert few == pytest.approx(spectrum(pixels), rel=0.15)


def test_hidden_pixels_count_for_nothing() -> None:
    """Tiles with hidden pixels are left out."""
    pixels, visible = noise(96, 96), np.ones((96, 96), np.bool_)
    visible[: TILE_PX + 5] = False
    changed = pixels.copy()
    changed[: TILE_PX + 5] = 0
    assert spectrum(changed, visible) == spectrum(pixels, visible)
    assert spectrum(pixels, visible) == spectrum(pixels[2 * TILE_PX :])


def test_without_a_tile_that_is_visible_as_a_whole_nothing_is_measured() -> None:
    """A text on transparency has as little power as an image in which nothing is visible."""
    pixels, visible = noise(40, 40), np.zeros((40, 40), np.bool_)
    visible[3:9, 3:9] = True
    assert spectrum(pixels, visible) == (0.0,) * POWERS
    assert max(spectrum(pixels[:1, :1])) < 1e-9
