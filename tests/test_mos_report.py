"""The report of a study: intervals, screening, and what simulated raters show."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sharpend.errors import InputMissingError, UsageError
from tests.raters import QUALITY, SPAM, Outcome, Tally, simulate, small_study
from tests.test_mos_study import run
from trainer.evaluation.mos import intervals
from trainer.evaluation.mos.intervals import bootstrap, student_interval
from trainer.evaluation.mos.order import trials_of
from trainer.evaluation.mos.protocol import Method, ScreeningRules
from trainer.evaluation.mos.ratings import ratings_of
from trainer.evaluation.mos.results import results_of
from trainer.evaluation.mos.screening import screen
from trainer.evaluation.mos.study import DEGRADED, ORIGINAL, VOTES, read_study
from trainer.evaluation.mos.tables import RULES, as_markdown, escaped
from trainer.evaluation.mos.votes import Consent, Screen, Vote, VoteLog, Withdrawal, read_votes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trainer.evaluation.mos.order import Trial
    from trainer.evaluation.mos.study import Study
    from trainer.evaluation.mos.votes import Record

    Voting = Callable[[Trial], int]

SEEN = Screen(1.0, 1000, 800, 2000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared study."""
    made = tmp_path_factory.mktemp("study")
    small_study(made)
    return made


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """What is in it."""
    return read_study(folder)


@pytest.fixture(scope="module")
def outcome(folder: Path, study: Study) -> Outcome:
    """Sixteen raters and one spammer of each kind, who have rated it through its page."""
    return simulate(study, folder, seed=7)


def records_of(study: Study, raters: Sequence[Voting], *, trials: int = 1000) -> list[Record]:
    """The records of raters who vote by a rule, on their first trials."""
    records: list[Record] = []
    for number, score in enumerate(raters):
        rater = f"rater-{number}"
        records.append(Consent(rater, study.digest, 0.0))
        for at, one in enumerate(trials_of(study, rater)[:trials]):
            records.append(Vote(rater, at, one.stimuli, score(one), one.training, SEEN, 1.0))
    return records


def by_quality(study: Study, *, noise: float = 0.0, seed: int = 0) -> Voting:
    """A rater who sees the quality of conditions."""
    chance = np.random.default_rng(seed)

    def score(trial: Trial) -> int:
        seen = [QUALITY[study.stimuli[one].condition] for one in trial.stimuli]
        value = seen[0] if trial.method is Method.ACR else seen[1] - seen[0]
        low, high = (1, 5) if trial.method is Method.ACR else (-3, 3)
        return int(np.clip(round(value + chance.normal(0, noise) if noise else value), low, high))

    return score


def reported(study: Study, records: Sequence[Record]) -> dict[str, Any]:
    """The results of records."""
    return results_of(study, ratings_of(study, records))


# Intervals


def test_the_interval_of_an_item_is_students() -> None:
    """Four votes: mean, and the quantile with three degrees of freedom times the standard error."""
    found = student_interval(np.array([2.0, 3.0, 3.0, 4.0, np.nan]))
    half = 3.182446 * np.sqrt(2 / 3) / 2
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), abs=1e-6)
    assert np.isnan(student_interval(np.array([2.0])).low)
    assert np.isnan(student_interval(np.array([np.nan])).mean)


@pytest.mark.parametrize(
    ("of_raters", "of_images"),
    [
        pytest.param(1.0, 0.0, marks=pytest.mark.slow),
        pytest.param(0.0, 1.0, marks=pytest.mark.slow),
        (0.7, 0.7),
    ],
)
def test_the_bootstrap_covers_both_kinds_of_chance(
    of_raters: float, of_images: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether raters or images differ, the interval covers the truth about as often as it says."""
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)
    chance, covered = np.random.default_rng(1), 0
    for _ in range(200):
        raters, images = chance.normal(0, of_raters, 16), chance.normal(0, of_images, 8)
        votes = raters[:, None] + images + chance.normal(0, 0.5, (16, 8))
        interval = bootstrap(votes[:, :, None])[0]
        covered += interval.low <= 0 <= interval.high
    assert covered >= 0.92 * 200


def test_the_bootstrap_is_not_much_wider_than_needed() -> None:
    """Where images alone differ, it is about as wide as Student's interval over images."""
    chance, ratios = np.random.default_rng(2), []
    for _ in range(30):
        images = chance.normal(0, 1, 12)
        votes = np.tile(images, (16, 1))[:, :, None]
        interval = bootstrap(votes)[0]
        wanted = 2 * 2.200985 * images.std(ddof=1) / np.sqrt(12)  # t of 11 degrees of freedom
        ratios.append((interval.high - interval.low) / wanted)
    assert 0.9 < np.median(ratios) < 1.1


def test_missing_votes_shift_no_mean() -> None:
    """Each image counts alike, however many have voted on it."""
    votes = np.tile(np.array([1.0, 5.0]), (6, 1))
    votes[:5, 0] = np.nan
    assert bootstrap(votes[:, :, None])[0].mean == 3.0


def test_one_rater_or_image_has_no_such_interval() -> None:
    """One rater gives no interval; one image gives that over raters."""
    assert np.isnan(bootstrap(np.ones((1, 4, 1)))[0].low)
    votes = np.random.default_rng(0).normal(3, 1, (12, 1, 1))
    interval, wanted = bootstrap(votes)[0], student_interval(votes[:, 0, 0])
    assert interval.low == pytest.approx(wanted.low, abs=0.15)


# Scores


def test_scores_are_those_of_the_votes(study: Study) -> None:
    """MOS, DMOS, gain and comparisons of raters who agree are exact."""
    results = reported(study, records_of(study, [by_quality(study)] * 3))
    found = {one["condition"]: one for one in results["conditions"]}
    assert [found[name]["mos"]["mean"] for name in ("heavy", "mild", DEGRADED)] == [4, 3, 2]
    assert found["heavy"]["dmos"]["mean"] == 4 - 4 + 5
    assert found["mild"]["dmos"]["mean"] == 3 - 4 + 5
    assert found["heavy"]["gain"]["mean"] == 2
    assert (found[ORIGINAL]["dmos"], found[DEGRADED]["gain"]) == (None, None)
    pairs = {(one["condition"], one["compared_with"]): one for one in results["pairs"]}
    assert pairs["heavy", DEGRADED]["score"]["mean"] == 2
    assert pairs["mild", DEGRADED]["score"]["mean"] == 1
    assert pairs["heavy", "mild"]["votes"] == 7 * 3
    item = next(one for one in results["items"] if one["condition"] == "heavy")
    assert (item["mos"]["mean"], item["dmos"]["mean"], item["votes"]) == (4, 5, 3)


def test_a_pair_counts_in_the_order_that_it_was_shown(study: Study) -> None:
    """The vote on a pair that was turned is turned back."""
    first, second = study.ccr[0]
    for stimuli, score in (((first, second), 2), ((second, first), -2)):
        records: list[Record] = [Consent("r", study.digest, 0)]
        records.append(Vote("r", 0, stimuli, score, False, SEEN, 1))
        assert ratings_of(study, records).ccr[0, 0] == 2


def test_training_and_withdrawn_raters_do_not_count(study: Study) -> None:
    """Their votes are in no figure; withdrawals are counted."""
    records = records_of(study, [by_quality(study)] * 4)
    records.append(Withdrawal("rater-1", 2.0))
    ratings = ratings_of(study, records)
    assert ratings.raters == ("rater-0", "rater-2", "rater-3")
    assert len(ratings.votes) == 3 * study.trials
    assert results_of(study, ratings)["raters"]["withdrawn"] == 1
    fewer = ratings_of(study, records, without=["rater-0"])
    assert (fewer.raters, fewer.withdrawn) == (("rater-2", "rater-3"), 2)
    with pytest.raises(UsageError, match="no such rater"):
        ratings_of(study, records, without=["rater-9"])


def test_a_vote_on_nothing_is_refused(study: Study) -> None:
    """A stimulus that the study does not have is an error, not a gap."""
    for stimuli in (("0" * 16,), (study.acr[0], study.acr[1])):
        records: list[Record] = [Consent("r", study.digest, 0)]
        records.append(Vote("r", 0, stimuli, 1, False, SEEN, 1))
        with pytest.raises(UsageError, match="no trial"):
            ratings_of(study, records)


def test_kinds_of_softness_are_distinguished(study: Study) -> None:
    """With several kinds there are scores of each, and images stay the unit that is drawn."""
    contents = tuple(
        replace(one, kind=("g1", "g2")[at % 2], image=f"image-{at // 2}")
        for at, one in enumerate(study.contents)
    )
    both = replace(study, contents=contents)
    results = reported(both, records_of(both, [by_quality(both)] * 3))
    assert set(results["kinds"]) == {"g1", "g2"}
    assert results["conditions"][0]["kinds"]["g1"]["mos"]["mean"] == 4
    assert "## By kind of softness" in as_markdown(results)


# Screening


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (lambda trial: 4 if trial.method is Method.ACR else 0, "gives one score almost always"),
        (None, "rates the hidden reference no better than the degraded image"),
        (lambda _: 3, "finds equal images different"),
    ],
)
def test_each_rule_finds_its_rater(study: Study, score: Voting | None, reason: str) -> None:
    """A rater who breaks one rule is left out, with that reason."""
    honest = by_quality(study)
    spammer = score or (lambda trial: 6 - honest(trial) if trial.method is Method.ACR else 0)
    raters = [by_quality(study, noise=0.5, seed=at) for at in range(6)]
    judged = screen(study, ratings_of(study, records_of(study, [*raters, spammer])))
    assert [bool(one.reasons) for one in judged] == [False] * 6 + [True]
    assert reason in judged[-1].reasons


def test_a_rater_who_guesses_does_not_agree(study: Study) -> None:
    """Votes at random, but for reference and controls, are found by their correlation."""
    chance = np.random.default_rng(3)

    def guesses(trial: Trial) -> int:
        if trial.method is Method.CCR:
            return 0
        names = {ORIGINAL: 4, DEGRADED: 3}
        return names.get(study.stimuli[trial.stimuli[0]].condition, int(chance.integers(1, 6)))

    raters = [by_quality(study, noise=0.5, seed=at) for at in range(6)]
    judged = screen(study, ratings_of(study, records_of(study, [*raters, guesses])))
    assert judged[-1].reasons == ("does not agree with the others",)
    assert judged[-1].correlation_stimuli is not None
    assert judged[-1].correlation_stimuli < 0.75
    assert not any(one.reasons for one in judged[:-1])


def test_the_report_lists_every_rule() -> None:
    """In words, with its limit."""
    assert all(f"{{{rule.name}:" in RULES for rule in fields(ScreeningRules))


def test_an_unfinished_rater_is_left_out(study: Study) -> None:
    """A rater with fewer than nine tenths of the votes is reported as that."""
    records = records_of(study, [by_quality(study)], trials=20)
    judged = screen(study, ratings_of(study, records))
    assert judged[0].reasons == ("is not finished",)
    records += [Consent("another", study.digest, 0.0)]
    results = reported(study, records)
    assert results["conditions"] == []
    assert json.loads(json.dumps(results, allow_nan=False))["items"] == []
    assert as_markdown(results).startswith("# Pilot, n = 0")


def test_rules_are_those_of_the_study(study: Study) -> None:
    """Another study may have other rules; nothing else decides."""
    lenient = ScreeningRules(0, -1, -1, -5, 3, 1)
    records = records_of(study, [lambda _: 3] * 3)
    strict = screen(study, ratings_of(study, records))
    judged = screen(replace(study, rules=lenient), ratings_of(study, records))
    assert [bool(one.reasons) for one in (*strict, *judged)] == [True] * 3 + [False] * 3


# The whole way


def test_spammers_are_screened_and_others_kept(outcome: Outcome) -> None:
    """Each kind of spammer is left out with a reason, and nearly nobody else."""
    out = {
        kind: [
            bool(rater["reasons"])
            for rater in outcome.results["raters"]["each"]
            if outcome.kinds[rater["rater"]] == kind
        ]
        for kind in ("honest", *SPAM)
    }
    assert all(all(out[kind]) for kind in SPAM)
    assert sum(out["honest"]) <= 1


def test_the_report_of_few_raters_is_a_pilot(study: Study) -> None:
    """Below fifteen raters who are kept, title and figure say so."""
    for count in (14, 15):
        raters = [by_quality(study, noise=0.5, seed=at) for at in range(count)]
        results = reported(study, records_of(study, raters))
        assert results["raters"]["kept"] == count
        assert as_markdown(results).startswith("# Pilot, n = 14" if count == 14 else "# mean")


def test_the_command_writes_tables_and_a_plot(folder: Path, outcome: Outcome) -> None:
    """Markdown, JSON and PNG; a study without votes has no score."""
    with pytest.raises(InputMissingError, match="nobody has voted"):
        run("report", folder)
    (folder / f"7-{VOTES}").rename(folder / VOTES)
    run("report", folder)
    told = json.loads((folder / "report/mos.json").read_text())
    assert told == json.loads(json.dumps(outcome.results))
    text = (folder / "report/mos.md").read_text()
    assert all(escaped(name) in text for name in QUALITY)
    assert (folder / "report/mos.png").read_bytes().startswith(b"\x89PNG")
    (folder / VOTES).unlink()


def test_windows_that_are_too_small_are_counted(study: Study) -> None:
    """A vote on an image that did not fit at one image pixel to a device pixel is reported."""
    records = records_of(study, [by_quality(study)] * 2)
    small = Screen(2.0, 10, 800, 100)
    changed = [
        replace(one, screen=small) if isinstance(one, Vote) and one.rater == "rater-0" else one
        for one in records
    ]
    seen = reported(study, changed)["seen"]
    assert seen["window_too_small"] == study.trials
    assert seen["device_pixel_ratios"] == [1.0, 2.0]


def test_votes_are_read_as_they_were_written(tmp_path: Path, study: Study) -> None:
    """Every record comes back from the file as it was."""
    records = [*records_of(study, [by_quality(study)]), Withdrawal("rater-0", 3.5)]
    with VoteLog(tmp_path / VOTES) as log:
        for one in records:
            log.append(one)
    assert read_votes(tmp_path / VOTES) == records


@pytest.mark.slow
def test_the_report_recovers_what_raters_prefer(folder: Path, study: Study) -> None:
    """In 20 simulated studies through the page: order, coverage of intervals, and spammers.

    `python -m tests.raters` simulates 100; trainer/README.md has the counts.
    """
    tally = Tally()
    for seed in range(1, 21):
        tally.add(simulate(study, folder, seed=seed))
    assert tally.in_order >= 19
    assert min(tally.covered.values()) >= 18, tally.told()
    assert tally.covered.total() >= 0.93 * tally.seen.total(), tally.told()
    assert tally.items[True] >= 0.93 * tally.items.total(), tally.told()
    assert all(tally.screened[kind, True] == 20 for kind in SPAM), tally.told()
    assert tally.screened["honest", True] <= 0.05 * 20 * 16, tally.told()
