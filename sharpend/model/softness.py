"""Words for the cue of softness, and the line above which a picture counts as sharp.

Measured on hidden photographs and their softened copies: above the line lie 92 of 100 sharp ones
and 15 that were enlarged by 1.5, and none that were enlarged by two. Grain raises the cue.
"""

from __future__ import annotations

SHARP_ABOVE = -0.8
"""The logarithm of the finest band's energy over the next one's, `Cues.sharpness`."""
SOFT_BELOW = -1.2
"""What was enlarged by two lies at -1.24 to -1.46, by four at -1.66 to -1.90."""


def word_for(sharpness: float) -> str:
    """What a cue says, in a word for people: sharp, slightly soft or soft."""
    if sharpness > SHARP_ABOVE:
        return "sharp"
    return "slightly soft" if sharpness > SOFT_BELOW else "soft"
