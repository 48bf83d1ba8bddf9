"""Images that somebody made to do harm: mutants of every format, and bombs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bombs import BOMBS
from tests.campaign.rig import Scenario
from tests.fuzzer import JOB_TIMEOUT_S, Fuzzed, fuzzed
from tests.mutants import mutants

if TYPE_CHECKING:
    from tests.campaign.rig import Finding, Rig

MOST_OF_A_BOMB_MB = 50


def mutated(rig: Rig, rounds: int, finding: Finding) -> None:
    """21: so many images of all formats with bytes changed, cut out, doubled."""
    judge(fuzzed(rig.base / "mutants", mutants(seed=1, count=rounds)), finding)


def bombs(rig: Rig, _rounds: int, finding: Finding) -> None:
    """22: small files that would unfold into gigabytes, or into frames and pages without end."""
    found = fuzzed(rig.base / "bombs", [(name, make()) for name, make in sorted(BOMBS.items())])
    judge(found, finding)
    grown_mb = found.peak_mb - found.idle_mb
    finding.expect(grown_mb < MOST_OF_A_BOMB_MB, f"a worker grew by {grown_mb:.0f} MB")


def judge(found: Fuzzed, finding: Finding) -> None:
    """Each file came to an output or a reason, and no worker hung or grew."""
    finding.rounds = found.files
    finding.violations += found.faults
    finding.recovered(found.longest_s, JOB_TIMEOUT_S)
    finding.figures = (
        f"{found.outputs:,} outputs, {sum(found.reasons.values()):,} reasons,"
        f" {len(found.deaths)} workers died, worker +{found.peak_mb - found.idle_mb:.0f} MB;"
        " recovery is the longest attempt"
    )


SCENARIOS = (
    Scenario(
        "21",
        "images of every format with bytes changed",
        "an output or a reason each, no hang, no exit",
        mutated,
        10_000,
        60,
        in_ci=False,
    ),
    Scenario(
        "22",
        "bombs: headers, text, profiles, frames, directories",
        "refused or harmless, worker +< 50 MB",
        bombs,
        1,
        1,
        in_ci=False,
    ),
)
