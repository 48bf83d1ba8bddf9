"""The models in the package: whole, described, of the promised sizes, and worth running."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from sharpend.imaging.filters import blur, degrade
from sharpend.imaging.tensors import to_tensor
from sharpend.model import weights
from sharpend.model.automatic import LARGER, SMALLER
from sharpend.model.device import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.model.shipped import SHIPPED, find, shipped_names
from sharpend.model.ssim import compute_ssim, psnr
from trainer.publishing.rewriting import renewed_card
from trainer.training.teacher import count_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = {
    "lite-x4": (60_000, 70_000),
    "base-x4": (200_000, 300_000),
    "teacher-x4": (1_000_000, 2_500_000),
    "lite-photo": (60_000, 75_000),
    "base-photo": (200_000, 300_000),
    "teacher-photo": (1_000_000, 2_500_000),
}
CPU = Placement("cpu", "float32", threads=1)


@cache
def sharpener(name: str) -> Sharpener:
    """A model of the package on the CPU, loaded once."""
    return Sharpener(weights.load(name), CPU)


def test_these_networks_ship() -> None:
    """Two families, `auto` among them, each with a card for people."""
    assert set(shipped_names()) == set(SIZES) >= {LARGER, SMALLER}
    for name in SIZES:
        assert (SHIPPED / f"{name}.md").read_text().count(weights.load(name).digest) == 1
        assert find(name).stat().st_size <= 6_000_000


@pytest.mark.parametrize("name", SIZES)
def test_their_cards_say_what_they_are(name: str) -> None:
    """Size, halo, recipe, data, licence and scores; a student's teacher is the shipped one."""
    loaded = weights.load(name)
    least, most = SIZES[name]
    assert least <= count_parameters(loaded.network) <= most
    card = loaded.card
    assert (card.name, card.bias_free, card.halo_px) == (name, True, loaded.network.halo_px)
    assert {"network", "data", "loss", "schedule", "seed", "reached", "trained_on"} <= set(
        card.recipe
    )
    family = name.rpartition("-")[2]
    assert {"validation", "matrix" if family == "photo" else "evaluation"} <= set(card.scores)
    assert card.license
    if card.kind == "student":
        assert card.teacher == f"teacher-{family}"
        assert card.teacher_digest == weights.load(card.teacher).digest
        assert card.alarm_below is not None
        assert card.residual_above is not None
        assert card.measurable_from is not None
        assert 0 < card.residual_above < 1


@pytest.mark.parametrize("name", SIZES)
def test_their_cards_for_people_are_those_of_their_files(name: str) -> None:
    """What `trainer line` would write today, to the letter: digest, lines and figures."""
    sha256 = hashlib.sha256(find(name).read_bytes()).hexdigest()
    text = (SHIPPED / f"{name}.md").read_text()
    assert sha256 in text
    assert renewed_card(text, weights.load(name), sha256) == text


@pytest.mark.parametrize("name", SIZES)
def test_what_is_flat_stays_flat(name: str) -> None:
    """Flat images of any level come out as they went in, to the bit, up to their edges."""
    used = sharpener(name)
    for level in range(0, 256, 15):
        flat = np.full((21, 26, 3), (level, 255 - level, level // 2), np.uint8)
        assert np.array_equal(used.sharpen(flat), flat)


@pytest.mark.parametrize("name", SIZES)
def test_they_bring_a_softened_photograph_nearer_to_the_original(name: str) -> None:
    """On an image that nobody trained on both measures gain clearly."""
    original = data.astronaut()[:256, 128:384]  # type: ignore[no-untyped-call]
    softened = degrade(original)
    sharpened = sharpener(name).sharpen(softened)
    target, before, after = (to_tensor(one) for one in (original, softened, sharpened))
    assert psnr(after, target) > psnr(before, target) + 1.0
    assert compute_ssim(after, target) > compute_ssim(before, target) + 0.02


PHOTO = [name for name in SIZES if name.endswith("-photo")]


def photograph() -> NDArray[np.uint8]:
    """A sharp photograph that nobody trained on, 256 x 256."""
    return np.ascontiguousarray(data.astronaut()[:256, 128:384])  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", PHOTO)
def test_a_sharp_photograph_stays(name: str) -> None:
    """The photo family leaves it at 50 dB and more; the x4 family does not."""
    sharp = photograph()
    kept = sharpener(name).sharpen(sharp)
    assert psnr(to_tensor(kept), to_tensor(sharp)) > 50
    specialist = sharpener("lite-x4").sharpen(sharp)
    assert psnr(to_tensor(specialist), to_tensor(sharp)) < 40


@pytest.mark.parametrize("name", PHOTO)
@pytest.mark.parametrize("sigma", [0.8, 1.2, 2.0])
def test_a_soft_photograph_gains(name: str, sigma: float) -> None:
    """Whatever the blur, the photo family brings it nearer to the original."""
    sharp = photograph()
    soft = blur(sharp, sigma=sigma)
    gained = sharpener(name).sharpen(soft)
    assert psnr(to_tensor(gained), to_tensor(sharp)) > psnr(to_tensor(soft), to_tensor(sharp)) + 0.8


@pytest.mark.parametrize("name", PHOTO)
def test_an_enlarged_photograph_is_the_specialist_s(name: str) -> None:
    """The family's own x4 model of the same size does the work, to the bit."""
    enlarged = degrade(photograph())
    specialist = sharpener(f"{name.partition('-')[0]}-x4")
    assert np.array_equal(sharpener(name).sharpen(enlarged), specialist.sharpen(enlarged))


def drawings() -> dict[str, tuple[NDArray[np.uint8], float]]:
    """Sharp images that no camera makes, with the PSNR to themselves that they keep at least."""
    step = np.full((256, 256), 60, np.uint8)
    step[:, 128:] = 190
    text = Image.new("L", (512, 384), 255)
    for row in range(14):
        line = "The quick brown fox jumps over 1234567890"
        font = ImageFont.load_default(18)
        ImageDraw.Draw(text).text((10, 8 + row * 26), line, fill=0, font=font)
    return {"step": (step, 50), "text": (np.asarray(text), 50)}


@pytest.mark.parametrize("name", PHOTO)
@pytest.mark.parametrize("drawing", drawings())
def test_drawings_stay_nearly_as_they_are(name: str, drawing: str) -> None:
    """Steps and text are sharp already."""
    gray, least = drawings()[drawing]
    pixels = np.repeat(gray[..., None], 3, axis=2)
    change = sharpener(name).sharpen(pixels).astype(np.float64) - pixels
    assert 10 * np.log10(255**2 / max(np.square(change).mean(), 1e-9)) > least


def patterns() -> dict[str, NDArray[np.bool_]]:
    """Periodic patterns, 256 x 256, of a kind that no photograph is full of."""
    rows, columns = np.indices((256, 256))
    found = {"grid": (rows % 8 == 0) | (columns % 8 == 0)}
    for side in (2, 4, 8):
        found[f"chequerboard {side}"] = (rows // side + columns // side) % 2 > 0
        found[f"bars {side}"] = columns // side % 2 > 0
        found[f"diagonal {side}"] = (rows + columns) // side % 2 > 0
    return found


@pytest.mark.parametrize("name", PHOTO)
@pytest.mark.parametrize("pattern", patterns())
def test_a_pattern_unlike_photographs_is_not_turned_round(name: str, pattern: str) -> None:
    """Its spectrum lies out of what models are trained with, so that hardly anything is added."""
    gray = np.where(patterns()[pattern], 220, 20).astype(np.uint8)
    pixels = np.repeat(gray[..., None], 3, axis=2)
    change = sharpener(name).sharpen(pixels).astype(np.float64) - pixels
    assert 10 * np.log10(255**2 / max(np.square(change).mean(), 1e-9)) > 50
