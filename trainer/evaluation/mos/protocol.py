"""Protocol of a study: scales, labels, and the rules by which raters are screened.

Owns what is fixed before the first vote. Sources: ITU-T P.910 (10/2023), absolute category rating
with hidden reference (ACR-HR) and comparison category rating (CCR); ITU-T P.800, annex E, the seven
labels of CCR; ITU-T P.913 and ITU-R BT.500-15, screening of raters and viewing conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PILOT_BELOW = 15
"""Raters below which a result is a pilot: BT.500-15 and P.910 ask for at least 15."""

SECONDS_A_TRIAL = 8
"""For the duration that raters are shown."""


def minutes(trials: int) -> int:
    """About the minutes that trials take; BT.500-15 asks for sessions of at most 30."""
    return max(1, round(trials * SECONDS_A_TRIAL / 60))


class Method(StrEnum):
    """Method by which a trial is rated."""

    ACR = "acr"
    """One image, 1 to 5."""
    CCR = "ccr"
    """Two images, the second compared with the first, -3 to 3."""


LABELS = {
    Method.ACR: {1: "Bad", 2: "Poor", 3: "Fair", 4: "Good", 5: "Excellent"},
    Method.CCR: {
        -3: "Much worse",
        -2: "Worse",
        -1: "Slightly worse",
        0: "About the same",
        1: "Slightly better",
        2: "Better",
        3: "Much better",
    },
}
"""Scores of each method with their labels, from left to right on the page."""
KEYS = {
    method: {score: str(at) for at, score in enumerate(labels, start=1)}
    for method, labels in LABELS.items()
}
"""The key of each score: its place from the left, which of ACR is the score itself."""


@dataclass(frozen=True, slots=True)
class ScreeningRules:
    """Rules by which a rater's votes are left out, written into the study before the first vote.

    Attributes:
        least_share: least share of the trials that a rater must have voted on.
        least_correlation_stimuli: Pearson correlation of a rater's ACR votes with the mean of the
            others, over stimuli. A rater is left out only if both correlations are too low.
        least_correlation_conditions: the same correlation of means over the contents of each
            condition.
        least_reference_gain: mean ACR vote for the hidden reference, less that for the degraded
            image; a rater must be above it.
        most_control: mean of the absolute CCR votes on pairs of two equal images.
        most_same_share: share of the most frequent score among a rater's ACR votes.

    Source: P.913, screening by Pearson correlation over stimuli and over conditions; both limits
    are those of the multimedia test plan of VQEG, annex VI. The other rules are ours.
    """

    least_share: float = 0.9
    least_correlation_stimuli: float = 0.75
    least_correlation_conditions: float = 0.8
    least_reference_gain: float = 0.0
    most_control: float = 1.0
    most_same_share: float = 0.9
