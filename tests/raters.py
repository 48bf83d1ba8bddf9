"""Simulated raters with known preferences, who rate a study through its real page.

`python -m tests.raters --studies 100` counts in how many studies the report recovers the order of
the conditions and its intervals cover the truth, and how many spammers are screened.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from tests.asgi import Asking
from tests.conftest import photograph
from trainer.evaluation.mos.app import rating_page
from trainer.evaluation.mos.forms import COOKIE, rater_of
from trainer.evaluation.mos.order import trials_of
from trainer.evaluation.mos.protocol import LABELS, Method
from trainer.evaluation.mos.raters import Raters
from trainer.evaluation.mos.ratings import ratings_of
from trainer.evaluation.mos.results import results_of
from trainer.evaluation.mos.stimuli import STRONG_MASK, Plan, prepare
from trainer.evaluation.mos.study import DEGRADED, ORIGINAL, VOTES, write_study
from trainer.evaluation.mos.votes import VoteLog, read_votes
from trainer.evaluation.unsharp import Unsharp
from trainer.training.dataset import write_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.applications import Starlette

    from trainer.evaluation.mos.order import Trial
    from trainer.evaluation.mos.study import Study

QUALITY = {DEGRADED: 2.0, STRONG_MASK: 2.5, "mild": 3.0, "heavy": 3.6, ORIGINAL: 4.3}
"""Mean quality of each condition before rounding to the scale; the truth of a simulation."""
OF_IMAGE, OF_IMAGE_AND_CONDITION, OF_RATER, NOISE = 0.35, 0.25, 0.4, 0.6
"""Standard deviations: images, their own effect on each condition, raters, single votes."""
PAIR_NOISE = 0.7
SPAM = ("random", "straight", "inverted")
_TRIAL = re.compile(r'name="trial" value="(\d+)"')
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{32})"')
SCREEN = {"dpr": "2.0000", "width": "1200", "height": "800", "shown_ms": "2500"}


def small_study(folder: Path, *, images: int = 8) -> Study:
    """A study of small images with two masks for models; one of the images is for training."""
    paths = [folder / f"image-{number}.png" for number in range(images)]
    for seed, path in enumerate(paths):
        write_image(photograph(24, 32, seed=seed), path)
    models = {"mild": Unsharp(1.0, 50), "heavy": Unsharp(1.5, 120)}
    plan = Plan("A study", "Test", paths, ["g1.5"], 24, seed=1)
    conditions = {name: _of(mask) for name, mask in models.items()}
    study = prepare(plan, conditions, {name: {"role": "model"} for name in models}, folder)
    write_study(study, folder)
    return study


def _of(mask: Unsharp) -> Any:  # noqa: ANN401 - a condition
    return lambda pixels: mask(pixels, pixels)


def mean_score(quality: float, deviation: float, method: Method) -> float:
    """The mean of votes whose value before rounding is normal: exact, by the scale's steps."""
    scores = sorted(LABELS[method])
    steps = [(low + high) / 2 for low, high in pairwise(scores)]
    return scores[0] + float(ndtr((quality - np.array(steps)) / deviation).sum())


@dataclass
class World:
    """One draw of images; raters vote on what they see of it.

    Attributes:
        study: what is rated.
        chance: draws everything.
    """

    study: Study
    chance: np.random.Generator
    effects: dict[tuple[int, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the images."""
        for at in range(len(self.study.contents)):
            of_image = self.chance.normal(0, OF_IMAGE)
            for name in QUALITY:
                own = self.chance.normal(0, OF_IMAGE_AND_CONDITION)
                self.effects[at, name] = of_image + own

    def quality(self, stimulus: str) -> float:
        """Quality of a stimulus for the mean rater, before rounding."""
        one = self.study.stimuli[stimulus]
        return QUALITY[one.condition] + self.effects[one.content, one.condition]

    def item_mean(self, stimulus: str) -> float:
        """The mean vote of all people on a stimulus."""
        deviation = float(np.hypot(OF_RATER, NOISE))
        return mean_score(self.quality(stimulus), deviation, Method.ACR)


@dataclass
class Person:
    """One rater.

    Attributes:
        world: what is seen.
        kind: `honest` or one of SPAM.
        bias: added to every single image.
    """

    world: World
    kind: str
    bias: float

    def score(self, trial: Trial) -> int:
        """The vote on a trial."""
        scores, chance = sorted(LABELS[trial.method]), self.world.chance
        if self.kind == "random":
            return int(chance.choice(scores))
        if self.kind == "straight":
            return scores[-1]
        seen = [self.world.quality(one) for one in trial.stimuli]
        if trial.method is Method.ACR:
            value = seen[0] + self.bias + chance.normal(0, NOISE)
        else:
            value = seen[1] - seen[0] + chance.normal(0, PAIR_NOISE)
        score = int(np.clip(np.floor(value + 0.5), scores[0], scores[-1]))
        return scores[0] + scores[-1] - score if self.kind == "inverted" else score


async def take_part(browser: Asking, study: Study, person: Person) -> str:
    """Go through the page from consent to the end, and return the rater's id."""
    page = await browser.get("/")
    page = await browser.post("/consent", {"csrf": csrf_in(page.text), "agree": "yes"})
    rater = rater_of(browser.cookies[COOKIE])
    trials = trials_of(study, rater)
    while page.path != "/end":
        number = trial_in(page.text)
        score = person.score(trials[number])
        form = vote_form(page.text, score)
        page = await browser.post("/vote", form)
        assert page.status == 200, page.text
    return rater


def csrf_in(page: str) -> str:
    """The token in the form of a page."""
    found = _CSRF.search(page)
    assert found is not None, page
    return found[1]


def trial_in(page: str) -> int:
    """The number of the trial on a page."""
    found = _TRIAL.search(page)
    assert found is not None, page
    return int(found[1])


def vote_form(page: str, score: int) -> dict[str, str]:
    """What the script of a trial's page sends."""
    trial = str(trial_in(page))
    return {"csrf": csrf_in(page), "trial": trial, "score": str(score), **SCREEN}


@dataclass(frozen=True)
class Outcome:
    """A simulated study: its world, the report, and the kind of each rater by id."""

    world: World
    results: Mapping[str, Any]
    kinds: Mapping[str, str]


def simulate(
    study: Study, folder: Path, *, seed: int, honest: int = 16, spam: Sequence[str] = SPAM
) -> Outcome:
    """Let raters take part in a study through its page, and report it.

    Args:
        study: what is rated.
        folder: of the study; the votes are in a file of their own.
        seed: of images and raters.
        honest: raters who vote by what they see.
        spam: kinds of the others.
    """
    world = World(study, np.random.default_rng(seed))
    people = [
        Person(world, kind, world.chance.normal(0, OF_RATER)) for kind in ["honest"] * honest
    ] + [Person(world, kind, 0.0) for kind in spam]
    votes = folder / f"{seed}-{VOTES}"
    with VoteLog(votes) as log:
        raters = Raters(study, log)
        app = rating_page(folder, raters, token=lambda: world.chance.bytes(16).hex())
        kinds = asyncio.run(_all(app, study, people))
    results = results_of(study, ratings_of(study, read_votes(votes)))
    return Outcome(world, results, kinds)


async def _all(app: Starlette, study: Study, people: Sequence[Person]) -> dict[str, str]:
    kinds = {}
    for person in people:
        kinds[await take_part(Asking(app), study, person)] = person.kind
    return kinds


def truths() -> dict[str, float]:
    """The mean of all people on all images, by name of the figure."""
    one = float(np.sqrt(OF_IMAGE**2 + OF_IMAGE_AND_CONDITION**2 + OF_RATER**2 + NOISE**2))
    two = float(np.sqrt(2 * OF_IMAGE_AND_CONDITION**2 + PAIR_NOISE**2))
    scores = {name: mean_score(mean, one, Method.ACR) for name, mean in QUALITY.items()}
    found = {f"MOS of {name}": score for name, score in scores.items()}
    found |= {f"DMOS of {name}": score - scores[ORIGINAL] + 5 for name, score in scores.items()}
    found |= {f"gain of {name}": score - scores[DEGRADED] for name, score in scores.items()}
    for first, second in product(QUALITY, QUALITY):
        difference = mean_score(QUALITY[second] - QUALITY[first], two, Method.CCR)
        found[f"{second} over {first}"] = difference
    return found


def estimates(results: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The figures of a report with intervals over raters and images, by the names of `truths`."""
    found = {}
    for one in results["conditions"]:
        for part, name in (("mos", "MOS"), ("dmos", "DMOS"), ("gain", "gain")):
            if one[part] is not None:
                found[f"{name} of {one['condition']}"] = one[part]
    for one in results["pairs"]:
        found[f"{one['condition']} over {one['compared_with']}"] = one["score"]
    return found


def covers(estimate: Mapping[str, float], truth: float) -> bool:
    """Whether the interval covers the truth."""
    return estimate["low"] <= truth <= estimate["high"]


@dataclass
class Tally:
    """What many studies have shown."""

    studies: int = 0
    covered: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    widths: Counter[str] = field(default_factory=Counter)
    in_order: int = 0
    items: Counter[bool] = field(default_factory=Counter)
    screened: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one study."""
        self.studies += 1
        truth = truths()
        for name, estimate in estimates(outcome.results).items():
            self.seen[name] += 1
            self.covered[name] += covers(estimate, truth[name])
            self.widths[name] += estimate["high"] - estimate["low"]  # type: ignore[assignment]
        found = [one["condition"] for one in outcome.results["conditions"]]
        self.in_order += found == sorted(QUALITY, key=QUALITY.__getitem__, reverse=True)
        for item in outcome.results["items"]:
            mean = outcome.world.item_mean(item["stimulus"])
            self.items[covers(item["mos"], mean)] += 1
        for rater in outcome.results["raters"]["each"]:
            self.screened[outcome.kinds[rater["rater"]], bool(rater["reasons"])] += 1

    def told(self) -> str:
        """The counts as text."""
        lines = [f"{self.studies} studies, the order recovered in {self.in_order}"]
        lines += [
            f"{name}: covered in {self.covered[name]} of {count}, mean width "
            f"{self.widths[name] / count:.2f}"
            for name, count in self.seen.items()
        ]
        lines.append(f"single images: {self.items[True]} of {self.items.total()} covered")
        for kind in ("honest", *SPAM):
            out, kept = self.screened[kind, True], self.screened[kind, False]
            lines.append(f"{kind}: {out} of {out + kept} screened")
        return "\n".join(lines)


def main() -> None:
    """Simulate studies, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        study = small_study(Path(folder))
        for seed in range(options.seed, options.seed + options.studies):
            tally.add(simulate(study, Path(folder), seed=seed))
    print(tally.told())  # noqa: T201 - a program


if __name__ == "__main__":
    main()
