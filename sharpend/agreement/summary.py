"""Agreement in words, for people: the lines of `sharpend status`, `once`, the demo and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpend.agreement.alarm import FEWEST_SAMPLES, NOT_MEASURABLE

if TYPE_CHECKING:
    from collections.abc import Mapping


def summary_lines(agreement: Mapping[str, Any] | None, *, device: str = "") -> list[str]:
    """Describe a report's agreement block for people.

    Args:
        agreement: as `summary` built it, by this version or an older one.
        device: named where it is given.

    Returns:
        SSIM and residual ratio, one line each; no line without a sample.
    """
    if not agreement or not agreement["n"]:
        return []
    line = (
        f"agreement with the teacher: SSIM {agreement['mean']:.4f} on {agreement['n']} crop(s) "
        f"(input itself: {agreement['noop_mean']:.4f})"
    )
    lines = [f"{line}, on {device}" if device else line]
    if "measurable" in agreement:  # older versions did not measure it
        lines.append(describe_ratio(agreement))
    return lines


def describe_ratio(agreement: Mapping[str, Any]) -> str:
    """Describe the residual ratio of a report's agreement block for people."""
    count, ratio = agreement["measurable"], agreement["residual_ratio"]
    crops = f"{count} measurable crop(s) of the last ones"
    if ratio is None:
        return f"residual ratio: {NOT_MEASURABLE}, {crops}, at least {FEWEST_SAMPLES} are needed"
    text = f"residual ratio {ratio:.3f} over {crops}"
    return f"{text} (input itself: 1, alarm above {agreement['residual_above']:.3f})"
