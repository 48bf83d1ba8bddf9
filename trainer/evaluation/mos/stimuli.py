"""Preparation of a study: crops of every image by every condition, and the trials.

Owns the choice of crops, anchors, pairs, controls and training trials. Models see whole images;
raters see the most detailed crop at 100 %. One image, which the study does not rate, is for
training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from sharpend.errors import UsageError
from sharpend.imaging.crops import most_detailed
from trainer.evaluation.matrix.cells import degraded
from trainer.evaluation.mos.study import (
    CROPS,
    DEGRADED,
    ORIGINAL,
    Content,
    Stimulus,
    Study,
    crop_path,
)
from trainer.evaluation.unsharp import Unsharp
from trainer.training.dataset import read_image, write_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from trainer.degradations.mixture import Pixels

    Condition = Callable[[Pixels], Pixels]
    """The degraded image, H x W x 3 uint8, to the one that is shown."""

STRONG = Unsharp(2.0, 400)
STRONG_MASK = f"mask {STRONG.radius:g}/{STRONG.percent}"
"""Anchor: an unsharp mask with bright lines beside every edge, by radius/per cent."""
ANCHORS: Mapping[str, Mapping[str, object]] = {
    ORIGINAL: {"role": "hidden reference"},
    DEGRADED: {"role": "anchor", "is": "the input of the models"},
    STRONG_MASK: {"role": "anchor", "radius": STRONG.radius, "percent": STRONG.percent},
}
FEWEST_IMAGES = 3
"""One for training, two to rate: an interval over images needs two."""
_CONTENTS_A_CONTROL = 4
_FEWEST_CONTROLS = 4
"""So that the mean over them distinguishes a rater who guesses from one who wavers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A study to prepare.

    Attributes:
        title: shown to raters.
        contact: shown to raters.
        images: files, no two of one name.
        kinds: of softness, keys of `CELLS`.
        crop_px: side of the crops; smaller images are shown whole.
        seed: of ids, controls, the training image, and the raters' orders.
    """

    title: str
    contact: str
    images: Sequence[Path]
    kinds: Sequence[str]
    crop_px: int
    seed: int


@dataclass(frozen=True, slots=True)
class _Made:
    """The crops of one content: its description, and ids with stimuli by condition."""

    content: Content
    shown: Mapping[str, tuple[str, Stimulus]]


def check_images(images: Sequence[Path]) -> None:
    """Check the number and the names of images.

    Raises:
        UsageError: too few, or two of one name.
    """
    if len(images) < FEWEST_IMAGES:
        raise UsageError(f"--set: {len(images)} images; a study needs {FEWEST_IMAGES} or more")
    names = [path.name for path in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--set: two images are named {twice[0]}")


def prepare(
    plan: Plan,
    models: Mapping[str, Condition],
    facts: Mapping[str, Mapping[str, object]],
    folder: Path,
    *,
    over: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Study:
    """Write the crops, and describe the study.

    Args:
        plan: images and kinds.
        models: by name, which is no name of an anchor.
        facts: of each model, for the study's file.
        folder: for the crops.
        over: shows progress over the images.

    Raises:
        UsageError: too few images, or two of one name.
        InputMissingError, ImageRefusedError: an image cannot be read.
        OSError: a crop cannot be written.
    """
    check_images(plan.images)
    chance = np.random.default_rng(plan.seed)
    trained = plan.images[int(chance.integers(len(plan.images)))]
    conditions: dict[str, Condition] = {
        ORIGINAL: lambda pixels: pixels,  # is given the original itself
        DEGRADED: lambda pixels: pixels,
        STRONG_MASK: lambda pixels: STRONG(pixels, pixels),
        **models,
    }
    (folder / CROPS).mkdir(parents=True, exist_ok=True)
    made: list[_Made] = []
    for path in over(plan.images):
        kinds = plan.kinds[:1] if path == trained else plan.kinds
        made += _contents(plan, path, kinds, conditions, folder, trained=path == trained)
    return _described(plan, made, {**ANCHORS, **facts}, chance)


def _contents(
    plan: Plan,
    path: Path,
    kinds: Sequence[str],
    conditions: Mapping[str, Condition],
    folder: Path,
    *,
    trained: bool,
) -> Iterator[_Made]:
    """Make the crops of one image in every kind of softness."""
    original = read_image(path)
    height, width = (min(plan.crop_px, side) for side in original.shape[:2])
    window = most_detailed(original, height=height, width=width)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for kind in kinds:
        soft = degraded(kind, original, name=path.name)
        content = Content(
            path.name, kind, digest, int(window[0].start), int(window[1].start), trained
        )
        shown = {}
        for name, condition in conditions.items():
            pixels = condition(original if name == ORIGINAL else soft)
            number = hashlib.sha256(f"{plan.seed}:{path.name}:{kind}:{name}".encode()).hexdigest()
            shown[name] = number[:16], (name, np.ascontiguousarray(pixels[window]))
        yield _Made(content, {name: _written(*one, folder) for name, one in shown.items()})


def _written(number: str, shown: tuple[str, Pixels], folder: Path) -> tuple[str, Stimulus]:
    """Write a crop; its place among the contents is filled in later."""
    condition, pixels = shown
    path = crop_path(folder, number)
    write_image(pixels, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return number, Stimulus(-1, condition, pixels.shape[1], pixels.shape[0], digest)


def _described(
    plan: Plan,
    made: Sequence[_Made],
    conditions: Mapping[str, Mapping[str, object]],
    chance: np.random.Generator,
) -> Study:
    stimuli = {
        number: Stimulus(at, one.condition, one.width, one.height, one.sha256)
        for at, each in enumerate(made)
        for number, one in each.shown.values()
    }
    ids = [{name: number for name, (number, _) in each.shown.items()} for each in made]
    rated = [own for own, each in zip(ids, made, strict=True) if not each.content.training]
    trained = next(own for own, each in zip(ids, made, strict=True) if each.content.training)
    compared = [name for name in conditions if name not in (ORIGINAL, STRONG_MASK)]
    pairs = [(own[one], own[other]) for own in rated for one, other in combinations(compared, 2)]
    return Study(
        title=plan.title,
        contact=plan.contact,
        seed=plan.seed,
        conditions=conditions,
        contents=tuple(each.content for each in made),
        stimuli=stimuli,
        acr=tuple(own[name] for own in rated for name in conditions),
        ccr=(*pairs, *_controls(rated, compared, chance)),
        training=_training(trained, compared),
    )


def _controls(
    rated: Sequence[Mapping[str, str]], compared: Sequence[str], chance: np.random.Generator
) -> list[tuple[str, str]]:
    """Pairs of one stimulus with itself; of different contents as far as there are enough."""
    by_turns = [own[name] for name in compared for own in rated]
    order = chance.permutation(len(rated))
    count = max(_FEWEST_CONTROLS, len(rated) // _CONTENTS_A_CONTROL)
    chosen = [int(order[at % len(rated)]) + at // len(rated) * len(rated) for at in range(count)]
    return [(by_turns[at], by_turns[at]) for at in chosen if at < len(by_turns)]


def _training(own: Mapping[str, str], compared: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Trials that show the whole range of quality, single images first (P.910)."""
    model = own[compared[-1]]
    return (
        (own[DEGRADED],),
        (own[ORIGINAL],),
        (own[STRONG_MASK],),
        (model,),
        (own[DEGRADED], own[ORIGINAL]),
        (own[ORIGINAL], own[STRONG_MASK]),
        (model, model),
    )
