"""Degradations: known answers of each step, and what a mixture promises of every example."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

import trainer
from sharpend.imaging.filters import degrade
from sharpend.model.measuring import measure
from sharpend.model.networks import StudentNet
from sharpend.model.weights import REDUCTION, Card, Weights
from tests.conftest import psnr
from trainer.degradations import blur, camera, lights, photo, photo_mixtures, reduction
from trainer.degradations.drawing import drawing
from trainer.degradations.mixture import Degradation, Degraded, residual_target
from trainer.degradations.registry import DEGRADATIONS
from trainer.publishing.model_card import model_card
from trainer.publishing.weights_card import kinds_for
from trainer.training.recipe import parsed
from trainer.training.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@cache
def photograph() -> Pixels:
    """A sharp photograph, 192 x 208."""
    picture: Pixels = data.astronaut()[:192, 150:358]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture)


@cache
def part() -> Pixels:
    """A part of it, 80 x 88, for tests of many draws."""
    return np.ascontiguousarray(photograph()[60:140, 60:148])


def chance(seed: int = 0) -> np.random.Generator:
    """A generator."""
    return np.random.default_rng(seed)


STEPS: dict[str, Callable[[Pixels], Pixels]] = {
    "resized": lambda pixels: blur.resized(pixels, 2.3, down="box", up="lanczos"),
    "aliased": lambda pixels: blur.resized(pixels, 2.3, antialias=False),
    "nearest": lambda pixels: blur.resized(pixels, 2.0, down="box", antialias=False),
    "gaussian": lambda pixels: blur.gaussian(pixels, 1.3),
    "gaussian in light": lambda pixels: blur.gaussian(pixels, 1.3, linear=True),
    "defocus": lambda pixels: blur.defocus(pixels, 2.2),
    "defocus in light": lambda pixels: blur.defocus(pixels, 2.2, linear=True),
    "motion": lambda pixels: blur.motion(pixels, 6.5, 0.7),
    "noisy": lambda pixels: camera.noisy(pixels, 3.0, chance(), shot=0.5, grain_px=0.6),
    "denoised": lambda pixels: camera.denoised(pixels, 3.0),
    "sharpened": lambda pixels: camera.sharpened(pixels, 1.2, 80),
    "jpeg": lambda pixels: camera.jpeg(pixels, 75),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_a_pure_function(step: str) -> None:
    """Same pixels and seed, same result; the shape stays and the input is not touched."""
    before = photograph().copy()
    first, again = STEPS[step](before), STEPS[step](before)
    assert np.array_equal(before, photograph())
    assert np.array_equal(first, again)
    assert first.shape == before.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, before)


@pytest.mark.parametrize("step", ["gaussian", "defocus", "motion"])
def test_blurs_leave_flat_images_flat(step: str) -> None:
    """A kernel's weights sum to one, in encoded values and in light."""
    flat = np.full((40, 40, 3), (10, 128, 250), np.uint8)
    assert np.array_equal(STEPS[step](flat), flat)


def test_a_gaussian_is_that_of_scipy() -> None:
    """Encoded values, mirrored edges: within the rounding of a level."""
    expected = ndimage.gaussian_filter(
        photograph().astype(float), (1.3, 1.3, 0), mode="mirror", truncate=3.0
    )
    assert abs(blur.gaussian(photograph(), 1.3) - expected).max() < 1.2


def test_light_spreads_brighter_than_values() -> None:
    """A bright point out of focus covers more in linear light, as a lens makes it."""
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    in_light = blur.defocus(point, 3, linear=True)[10, 10, 0]
    assert in_light > 2 * blur.defocus(point, 3)[10, 10, 0]


def test_kernels_have_their_size() -> None:
    """A disk covers pi r squared pixels; a line is as long as it says, in its direction."""
    assert np.count_nonzero(blur.disk(3.0) == blur.disk(3.0).max()) <= np.pi * 9
    assert 1 / blur.disk(3.0).max() == pytest.approx(np.pi * 9, rel=0.02)
    line = blur.line(5.0, 0.0)
    assert line.sum() == pytest.approx(1)
    assert np.count_nonzero(line.sum(axis=1) > 1e-6) == 1
    assert 5 <= np.count_nonzero(line.sum(axis=0) > 1e-6) <= 7


def test_noise_has_its_deviation() -> None:
    """White or grainy, at middle gray; the share of shot noise grows with the signal."""
    gray = np.full((200, 200, 3), 128, np.uint8)
    for grain in (0.0, 1.0):
        noise = camera.noisy(gray, 4.0, chance(), grain_px=grain).astype(float) - 128
        assert noise.std() == pytest.approx(4, rel=0.05)
    dark, bright = (np.full((200, 200, 3), level, np.uint8) for level in (32, 200))
    quiet, loud = (camera.noisy(one, 4.0, chance(), shot=1.0).std() for one in (dark, bright))
    assert loud / quiet == pytest.approx((200 / 32) ** 0.5, rel=0.1)


def test_noise_reduction_takes_noise_and_leaves_edges() -> None:
    """On a noisy step the deviation falls by a third at least, the step's height by nothing."""
    step = np.full((64, 64, 3), 80, np.uint8)
    step[:, 32:] = 180
    noisy = camera.noisy(step, 4.0, chance())
    calm = camera.denoised(noisy, 4.0)
    assert calm[:, 4:24].std() < 0.67 * noisy[:, 4:24].std()
    assert np.abs(np.diff(calm[:, 30:34].mean(axis=(0, 2)))).max() > 90


def test_the_report_mixture_is_the_report_degradation() -> None:
    """What `data.degradation = "bicubic"` makes is what every x4 model was trained with."""
    example = reduction.bicubic(photograph(), chance())
    assert np.array_equal(example.input, degrade(photograph()))
    assert np.array_equal(example.target, photograph())


def test_the_photo_mixture_keeps_its_promises() -> None:
    """Every kind comes up; sharp ones are their own target, others only ask for lost detail."""
    seen = Counter[str]()
    again = partial(camera.sharpened, radius=1.0, percent=50)
    for seed in range(150):
        example = photo_mixtures.photo(part(), chance(seed), again)
        repeated = photo_mixtures.photo(part(), chance(seed), again)
        assert np.array_equal(example.input, repeated.input)
        seen[example.kind] += 1
        if example.kind in photo.SHARP:
            assert np.array_equal(example.input, example.target)
        else:
            assert not np.array_equal(example.input, example.target)
    assert set(seen) == set(photo.KINDS)


def test_the_target_asks_for_lost_detail_only() -> None:
    """Noise of the input is in the target, too: target - input is original - softened."""
    soft = blur.gaussian(photograph(), 1.0)
    given = camera.noisy(soft, 3.0, chance())
    target = residual_target(given, photograph(), soft).astype(int)
    inside = (target > 0) & (target < 255)
    lost = photograph().astype(int) - soft
    assert np.array_equal((target - given)[inside], lost[inside])


def test_a_second_pass_is_to_restore_what_the_first_one_left() -> None:
    """The target of a model's own outputs is the original, not the output."""
    passed = []
    for seed in range(150):
        one = photo_mixtures.photo(
            part(), chance(seed), lambda soft: camera.sharpened(soft, 1.0, 50)
        )
        if one.kind == photo.SECOND_PASS:
            passed.append(one)
    differences = [np.abs(one.target.astype(int) - part()).max() for one in passed]
    assert 0.06 * 150 < len(passed) < 0.18 * 150
    assert min(differences) == 0  # where nothing else was done to the image
    assert all(not np.array_equal(one.input, one.target) for one in passed)


def test_slight_blurs_are_followed_by_no_further_step() -> None:
    """Of each optical kind some images are slight and clean; their target is the original."""
    mixture = photo_mixtures.PHOTO_SLIGHT.mixture
    assert isinstance(mixture, photo.PhotoMixture)
    slight = replace(mixture, drawn=0.0)
    seen = [slight(part(), chance(seed), lambda soft: soft) for seed in range(300)]
    optical = [one for one in seen if one.kind in ("gaussian", "defocus", "motion")]
    clean = [one for one in optical if np.array_equal(one.target, part())]
    assert 0.3 < len(clean) / len(optical) < 0.65
    assert {one.kind for one in clean} == {"gaussian", "defocus", "motion"}


def test_what_a_camera_made_of_an_image_stays() -> None:
    """After noise, its reduction, sharpening and JPEG only the detail lost to blur is asked for."""
    mixture = photo_mixtures.PHOTO_IN_CAMERA.mixture
    assert isinstance(mixture, photo.PhotoMixture)
    taken = replace(mixture, in_camera=1.0, drawn=0.0)
    seen = [taken(part(), chance(seed), lambda soft: soft) for seed in range(120)]
    sharp = [one for one in seen if one.kind == "none"]
    blurred = [one for one in seen if one.kind in ("gaussian", "defocus", "motion")]
    assert len(sharp) > 5
    for one in sharp:
        assert np.array_equal(one.target, one.input)
        assert not np.array_equal(one.input, part())
    near = partial(psnr, part(), data_range=255)
    gains = [near(one.target) - near(one.input) for one in blurred]
    assert np.median(gains) > 1
    assert {one.kind for one in blurred} == {"gaussian", "defocus", "motion"}


@pytest.mark.slow
def test_drawings_are_seeded_and_stand_on_sheets_or_images() -> None:
    """Each has text at least, and some leave the image visible around it."""
    made = [drawing(photograph(), chance(seed)) for seed in range(40)]
    assert all(np.array_equal(one, drawing(photograph(), chance(n))) for n, one in enumerate(made))
    assert all(one.shape == photograph().shape for one in made)
    assert all(len(np.unique(one.reshape(-1, 3), axis=0)) > 1 for one in made)
    kept = [float((one == photograph()).all(axis=2).mean()) for one in made]
    assert 4 <= sum(share > 0.3 for share in kept) <= 24
    drawn = replace(photo_mixtures.photo, drawn=1.0)
    assert not np.array_equal(
        drawn(part(), chance(3)).target, photo_mixtures.photo(part(), chance(3)).target
    )


def test_lights_above_white_stay_white_when_they_are_blurred() -> None:
    """Blurred before it is clipped, a light keeps an even top; a blur of its image leaves none."""
    scene = torch.full((3, 1, 33, 33), 0.01)
    scene[:, :, 14:19, 14:19] = 10.0
    sharp = blur.exposed(scene)
    before = blur.exposed(blur.filtered(scene, blur.bell(1.5)))
    after = blur.gaussian(sharp, 1.5)
    assert (before == 255).all(axis=2).sum() > (sharp == 255).all(axis=2).sum()
    assert not (after == 255).any()


def test_scenes_with_lights_are_dark_and_have_clipped_parts() -> None:
    """Each is seeded; most of an image is darker than its original, and some of it white."""
    lit = partial(lights.scene, part())
    scenes = [lit(chance(seed)) for seed in range(24)]
    assert all(torch.equal(one, lit(chance(seed))) for seed, one in enumerate(scenes))
    images = [blur.exposed(one) for one in scenes]
    assert all(one.shape == part().shape for one in images)
    assert np.median([np.median(one) for one in images]) < np.median(part())
    assert sum((one == 255).any() for one in images) > 20


def test_blurred_lights_are_to_be_restored() -> None:
    """The target of a blurred image with lights is sharper than the input."""
    mixture = photo_mixtures.PHOTO_BLOOMING.mixture
    assert isinstance(mixture, photo.PhotoMixture)
    every = replace(mixture, blooming=1.0, drawn=0.0)
    seen = [every(part(), chance(seed), lambda soft: soft) for seed in range(60)]
    optical = [one for one in seen if one.kind in ("gaussian", "defocus", "motion")]
    assert {one.kind for one in optical} == {"gaussian", "defocus", "motion"}
    softer = [measure(one.input).sharpness < measure(one.target).sharpness for one in optical]
    assert np.mean(softer) > 0.9


def test_the_ablation_draws_no_sharpened_image() -> None:
    """The other kinds keep their proportions."""
    mixture = photo_mixtures.PHOTO_UNSHARPENED.mixture
    seen = Counter(mixture(part(), chance(seed), lambda soft: soft).kind for seed in range(150))
    assert set(seen) == set(photo.KINDS) - {photo.SHARPENED, photo.SECOND_PASS}


def test_the_ablation_draws_no_exact_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 images half are resized by an exact factor in the mixture, and none without them."""
    drawn: list[float] = []
    resized = blur.resized

    def spy(
        pixels: NDArray[np.uint8], factor: float, *, down: str, up: str, antialias: bool
    ) -> NDArray[np.uint8]:
        drawn.append(factor)
        return resized(pixels, factor, down=down, up=up, antialias=antialias)

    monkeypatch.setattr(blur, "resized", spy)
    for exact, least, most in ((0.5, 30, 70), (0.0, 0, 0)):
        drawn.clear()
        for seed in range(100):
            photo.PhotoMixture(exact=exact).softened(part(), photo.RESIZE, chance(seed))
        assert least <= sum(factor in (1.5, 2, 3, 4) for factor in drawn) <= most


@pytest.mark.parametrize("kind", ["x4", "resize", "gaussian", "defocus", "motion"])
def test_every_softener_softens(kind: str) -> None:
    """On the mean of several draws the finest band loses against the next one."""
    sharp = measure(photograph()).sharpness
    drawn = (
        photo_mixtures.photo.softened(photograph(), kind, chance(number)) for number in range(8)
    )
    cues = [measure(one).sharpness for one in drawn]
    assert np.mean(cues) < sharp - 0.1


def test_a_new_mixture_needs_a_line_of_the_registry_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recipes, alarm thresholds and model cards take it, each with its own texts."""

    def haze(pixels: Pixels, *_: object) -> Degraded:
        return Degraded("haze", pixels // 2 + 100, pixels)

    added = Degradation(haze, "Hazy photographs, of the mixture `{degradation}`.", "- Not fog.")
    monkeypatch.setitem(cast("dict[str, Degradation]", DEGRADATIONS), "haze", added)
    values = {"name": "x", "network": {"kind": "student", "channels": 4}, "schedule": {"steps": 1}}
    taught = {"teacher_l1": 0.0, "target_l1": 1.0}
    recipe = parsed({**values, "data": {"degradation": "haze", "pool": "p"}, "loss": taught}, "x")
    assert recipe.data.degradation == "haze"
    network = StudentNet(4, 1)
    card = Card("n", "student", 4, 1, network.halo_px, degradation="haze", recipe={"steps": 1})
    assert next(iter(kinds_for(card))) == "g1"
    record = Record("run", ({"step": 2, "psnr": 20.0},))
    text = model_card(Weights(network, card, "d" * 64), [], "e" * 64, record)
    assert "Hazy photographs, of the mixture `haze`." in text
    assert "- Not fog." in text


def test_mixtures_are_named_in_the_registry_alone() -> None:
    """No other module of the trainer asks for a mixture of many kinds by its name."""
    names = DEGRADATIONS.keys() - {REDUCTION}
    root = Path(trainer.__file__).parent
    naming = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert naming == {"degradations/registry.py"}
