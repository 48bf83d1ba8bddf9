"""The networks in the package: whole, described, of the promised sizes, and worth running."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from skimage import data

from sharpend.imaging.filters import degrade
from sharpend.imaging.tensors import to_tensor
from sharpend.model import weights
from sharpend.model.runtime import Placement
from sharpend.model.sharpener import Sharpener
from sharpend.model.shipped import SHIPPED, find, shipped_names
from sharpend.model.ssim import compute_ssim, psnr
from sharpend.settings.load import AUTO_MODEL, AUTO_MODEL_ON_GPU
from trainer.publishing.rewriting import renewed_card
from trainer.training.teacher import count_parameters

SIZES = {
    "lite-x4": (60_000, 70_000),
    "base-x4": (200_000, 300_000),
    "teacher-x4": (1_000_000, 2_500_000),
}
CPU = Placement("cpu", "float32", threads=1)


def test_these_networks_ship() -> None:
    """Three, among them those that `auto` stands for, each with a card for people."""
    assert set(shipped_names()) == set(SIZES) >= {AUTO_MODEL, AUTO_MODEL_ON_GPU}
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
    assert {"validation", "evaluation"} <= set(card.scores)
    assert card.license
    if card.kind == "student":
        assert card.teacher == "teacher-x4"
        assert card.teacher_digest == weights.load("teacher-x4").digest
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
    """Flat pictures of any level come out as they went in, to the bit, up to their edges."""
    sharpener = Sharpener(weights.load(name), CPU)
    for level in range(0, 256, 15):
        flat = np.full((21, 26, 3), (level, 255 - level, level // 2), np.uint8)
        assert np.array_equal(sharpener.sharpen(flat), flat)


@pytest.mark.parametrize("name", SIZES)
def test_they_bring_a_softened_photograph_nearer_to_the_original(name: str) -> None:
    """On a picture that nobody trained on both measures gain clearly."""
    original = data.astronaut()[:256, 128:384]  # type: ignore[no-untyped-call]
    softened = degrade(original)
    sharpened = Sharpener(weights.load(name), CPU).sharpen(softened)
    target, before, after = (to_tensor(one) for one in (original, softened, sharpened))
    assert psnr(after, target) > psnr(before, target) + 1.0
    assert compute_ssim(after, target) > compute_ssim(before, target) + 0.02
